# Numbers from Python: the conversions of PyArg_Parse's "i", "n" and "I", so
# that whatever the stdlib takes or refuses is taken or refused here, with the
# same exception class.

from libc.limits cimport INT_MAX, INT_MIN

from fastsock._python cimport (
    PyLong_AsLong, PyLong_AsSsize_t, PyLong_AsUnsignedLongMask, PyNumber_Index,
)


cdef inline int as_int(object value) except? -1:
    """A C int ("i"): anything with __index__; OverflowError beyond 32 bits."""
    cdef long number
    if value is 0:
        return 0  # what flags are, nearly always
    number = PyLong_AsLong(value)
    if number > INT_MAX:
        raise OverflowError("signed integer is greater than maximum")
    if number < INT_MIN:
        raise OverflowError("signed integer is less than minimum")
    return <int>number


cdef inline Py_ssize_t as_size(object value) except? -1:
    """A Py_ssize_t ("n"): anything with __index__; may be negative."""
    if isinstance(value, int):
        return PyLong_AsSsize_t(value)
    return PyLong_AsSsize_t(PyNumber_Index(value))


cdef inline unsigned int as_unsigned(object value) except? <unsigned int>-1:
    """A C unsigned int ("I"): as the stdlib, without a check of the range."""
    return <unsigned int>PyLong_AsUnsignedLongMask(value)


cdef inline str type_name(object value):
    """As PyErr_Format() writes %T."""
    cls = type(value)
    if cls.__module__ in ("builtins", "__main__"):
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"
