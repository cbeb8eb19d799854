# The parts of Python's C API that need more control than Cython's own syntax
# gives: externs only.

from cpython.object cimport PyObject, PyTypeObject

cdef extern from "Python.h":
    # Cython's own Py_buffer types `obj` as an object; a view of exact bytes
    # has none (see _buffers.pxd).
    ctypedef struct BufferView "Py_buffer":
        void *buf
        PyObject *obj
        Py_ssize_t len

    const int PyBUF_SIMPLE, PyBUF_WRITABLE
    int PyObject_GetBuffer(object exporter, BufferView *view, int flags) except -1
    void PyBuffer_Release(BufferView *view) noexcept

    bint PyMemoryView_Check(object value) noexcept
    PyObject *PyMemoryView_GET_BASE(object view) noexcept

    int PyErr_CheckSignals() except -1
    void PyErr_Clear() noexcept
    int PyErr_WarnEx(object category, const char *text, Py_ssize_t stack_level) except -1
    PyObject *PyErr_SetFromErrno(PyObject *exception_class) noexcept
    PyObject *PyExc_OSError
    int PySys_Audit(const char *event, const char *format, ...) except -1

    bint PyIndex_Check(object value) noexcept
    bint PySequence_Check(object value) noexcept
    object PyNumber_Index(object value)
    long PyLong_AsLong(object value) except? -1
    unsigned long PyLong_AsUnsignedLongMask(object value) except? <unsigned long>-1
    Py_ssize_t PyLong_AsSsize_t(object value) except? -1

    PyObject *NewBytes "PyBytes_FromStringAndSize"(const char *text, Py_ssize_t size) except NULL
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1
    char *PyBytes_AS_STRING(PyObject *bytes) noexcept nogil

    PyObject *PyList_GET_ITEM(object items, Py_ssize_t position) noexcept
    PyObject *PyTuple_GET_ITEM(object items, Py_ssize_t position) noexcept

    bint PyUnicode_IS_COMPACT_ASCII(object text) noexcept
    void *PyUnicode_DATA(object text) noexcept
    object PyUnicode_FromString(const char *text)
    object PyUnicode_DecodeFSDefaultAndSize(const char *text, Py_ssize_t size)
    object PyUnicode_DecodeLocale(const char *text, const char *errors)
    object PyUnicode_EncodeFSDefault(object text)

    int PyObject_GenericSetAttr(object instance, object name, object value) except -1
    bint PyObject_TypeCheck(object instance, PyTypeObject *type) noexcept
    # A method that is looked up and called without an object for it in between.
    object PyObject_CallMethodOneArg(object owner, object name, object argument)

ctypedef object (*NewFunction)(PyTypeObject *type, object arguments, PyObject *keywords)

cdef extern from "Python.h":
    ctypedef struct TypeSlots "PyTypeObject":
        NewFunction tp_new
        Py_ssize_t tp_basicsize
