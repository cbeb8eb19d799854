"""getsockopt(2) and setsockopt(2), in the forms that the stdlib gives them.

Rule: an option is an int or bytes; what the bytes mean is the caller's to know.
"""

import sys

from cpython.buffer cimport PyObject_CheckBuffer
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF

cimport fastsock._libc as libc
from fastsock._arguments cimport as_int, type_name
from fastsock._buffers cimport borrow_readable
from fastsock._errors cimport raise_errno
from fastsock cimport _fdtable
from fastsock._fdtable cimport FASTSOCK_FD_HAS_GRO, FASTSOCK_FD_HAS_ULP, state_of
from fastsock._libc cimport SO_RCVLOWAT, SOL_SOCKET, getsockopt, setsockopt, socklen_t
from fastsock._platform cimport FASTSOCK_TCP_ULP, FASTSOCK_UDP_GRO
from fastsock._python cimport (
    BufferView, NewBytes, PyBuffer_Release, PyBytes_AS_STRING, PyIndex_Check, _PyBytes_Resize,
)

cdef enum:
    IPPROTO_TCP = 6
    IPPROTO_UDP = 17


cdef object get_option(SocketHead *sock, int level, int name, int size):
    """The option as an int (`size` 0) or as bytes of at most `size`.

    The stdlib refuses more than 1,024 bytes, which large options exceed
    (TCP_INFO grows, SO_PEERGROUPS, gh-112740); here any size is good.
    """
    cdef int number = 0
    cdef socklen_t length = sizeof(number)
    cdef PyObject *value
    cdef object result
    if size < 0:
        raise OSError("getsockopt buflen out of range")
    if size == 0:
        if getsockopt(sock.fd, level, name, &number, &length) < 0:
            raise_errno(libc.errno)
        return number
    value = NewBytes(NULL, size)
    length = size
    if getsockopt(sock.fd, level, name, PyBytes_AS_STRING(value), &length) < 0:
        error = libc.errno
        Py_DECREF(<object>value)
        raise_errno(error)
    _PyBytes_Resize(&value, length)
    result = <object>value
    Py_DECREF(result)
    return result


# It tells what is wrong with an option: before, the stdlib only said that it is no bytes.
cdef bint IS_3_15 = sys.hexversion >= 0x030f0000


cdef int set_option(SocketHead *sock, int level, int name, object value) except -1:
    """Set the option to an int, or to the bytes of a buffer."""
    cdef BufferView view
    cdef int number, failed, error
    if PyIndex_Check(value):
        try:
            number = as_int(value)
        except Exception:
            if IS_3_15:
                raise
            # No C int, then: the stdlib asks it for bytes, and so says TypeError.
        else:
            if setsockopt(sock.fd, level, name, &number, sizeof(number)) < 0:
                raise_errno(libc.errno)
            note(sock.fd, level, name)
            return 0
    if IS_3_15 and not PyObject_CheckBuffer(value):
        if value is None:
            raise TypeError("setsockopt() requires 4 arguments when the third argument is None")
        raise TypeError("socket option should be int, bytes-like object or None "
                        f"(got {type_name(value)})")
    borrow_readable(value, &view)
    failed = setsockopt(sock.fd, level, name, view.buf, <socklen_t>view.len)
    error = libc.errno
    PyBuffer_Release(&view)
    if failed:
        raise_errno(error)
    note(sock.fd, level, name)
    return 0


cdef void note(int fd, int level, int name) noexcept:
    """Remember the options that decide whether a call may be tried first."""
    cdef int low_water = 2      # also where it can't be asked for
    cdef socklen_t size = sizeof(low_water)
    if level == SOL_SOCKET and name == SO_RCVLOWAT:
        # 1 is what every socket has: it must not slow down all others for good.
        getsockopt(fd, level, name, &low_water, &size)
        if low_water > 1:
            _fdtable.lowat_in_use = True
    elif level == IPPROTO_TCP and name == FASTSOCK_TCP_ULP:
        state_of(fd).flags |= FASTSOCK_FD_HAS_ULP
    elif level == IPPROTO_UDP and name == FASTSOCK_UDP_GRO:
        state_of(fd).flags |= FASTSOCK_FD_HAS_GRO
