# errno to exception: the one door through which a failed system call leaves.
#
# OSError itself picks the subclass (ConnectionResetError, BlockingIOError, ...),
# so there is no table here.

cimport fastsock._libc as libc
from fastsock._python cimport PyErr_SetFromErrno, PyExc_OSError, PyObject_GenericSetAttr


cdef inline int raise_errno(int error) except -1:
    """Raise the OSError of `error`; always returns -1 with an exception set."""
    libc.errno = error
    PyErr_SetFromErrno(PyExc_OSError)
    return -1


cdef inline int attach(object error, str name, object value) except -1:
    """Set an attribute of an exception, also where its class has a `__setattr__` that refuses
    (a frozen dataclass); one that has no place for it stays as it is."""
    try:
        setattr(error, name, value)
    except Exception:
        try:
            PyObject_GenericSetAttr(error, name, value)
        except Exception:
            pass
    return 0


cdef inline object caught(object error, object kind):
    """What an except clause for `kind` has got. Where memory lacks for its traceback, Cython
    hands a MemoryError over in its place: that goes on, and has nothing of what is looked at.

    Nor has it a traceback then, and leaving the clause by return, break or continue would
    crash: clauses come to their end, or raise. tests/test_own_c.py looks for others.
    """
    if not isinstance(error, kind):
        raise error
    return error


cdef inline int raise_timeout() except -1:
    """Raise the TimeoutError that the stdlib raises, with its text."""
    raise TimeoutError("timed out")
