# Memory lent by Python objects: the conversions of PyArg_Parse's "y*" and "w*".
#
# Rule: a view is held until the system call that uses its memory returned, and
# is then given back with PyBuffer_Release, on every way out.

from cpython.bytearray cimport PyByteArray_CheckExact
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject

from fastsock._python cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, BufferView, PyBytes_AS_STRING, PyMemoryView_Check,
    PyMemoryView_GET_BASE, PyObject_GetBuffer,
)

cdef extern from "_copy.h" nogil:
    void fastsock_copy(void *target, const void *source, size_t size)


cdef inline int borrow_readable(object data, BufferView *view) except -1:
    """Borrow the bytes of `data`, which the caller keeps alive meanwhile.

    Exact bytes can't change or move, so they need no export: `view.obj` stays
    NULL, and PyBuffer_Release of such a view does nothing.
    """
    if PyBytes_CheckExact(data):
        view.buf = PyBytes_AS_STRING(<PyObject *>data)
        view.len = PyBytes_GET_SIZE(data)
        view.obj = NULL
        return 0
    return PyObject_GetBuffer(data, view, PyBUF_SIMPLE)


cdef inline int borrow_writable(object target, BufferView *view, str what) except -1:
    """Borrow the memory of `target` for writing; `what` names the argument."""
    try:
        return PyObject_GetBuffer(target, view, PyBUF_WRITABLE)
    except Exception:
        raise TypeError(f"{what} must be read-write bytes-like object, "
                        f"not {type(target).__name__}") from None


cdef inline bint is_plain(BufferView *view) noexcept:
    """Is the borrowed memory owned by bytes or a bytearray, also through a memoryview?

    Such memory is ordinary: a system call that touches it can't wait for a file
    that is mapped there.
    """
    cdef PyObject *owner = view.obj
    if owner == NULL:
        return True
    if PyMemoryView_Check(<object>owner):
        owner = PyMemoryView_GET_BASE(<object>owner)
        if owner == NULL:
            return False
    return PyByteArray_CheckExact(<object>owner) or PyBytes_CheckExact(<object>owner)


cdef inline bint has_no_owner(BufferView *view) noexcept:
    """Is the borrowed memory that of a C library, lent through a bare memoryview?"""
    cdef PyObject *lender = view.obj
    return (lender != NULL and PyMemoryView_Check(<object>lender)
            and PyMemoryView_GET_BASE(<object>lender) == NULL)
