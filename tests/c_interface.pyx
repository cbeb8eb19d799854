# cython: language_level=3
"""Each function of fastsock/capi.pxd, called as it is: for tests/test_c_interface.py."""

cimport fastsock

cdef enum:
    ROOM = 4096


def recv(sock, Py_ssize_t size, int flags=0, before=None):
    """recv(2); `before` is called when the socket was borrowed already."""
    cdef fastsock.Handle handle
    cdef char[ROOM] memory
    assert size <= ROOM
    fastsock.borrow(sock, &handle)
    if before is not None:
        before()
    with nogil:
        size = fastsock.recv(&handle, memory, size, flags)
    return memory[:size]


def recv_exactly(sock, Py_ssize_t size):
    cdef fastsock.Handle handle
    cdef char[ROOM] memory
    assert size <= ROOM
    fastsock.borrow(sock, &handle)
    with nogil:
        fastsock.recv_exactly(&handle, memory, size)
    return memory[:size]


def send(sock, bytes data, int flags=0):
    """send(2): how many bytes went."""
    cdef fastsock.Handle handle
    cdef const char *memory = data
    cdef Py_ssize_t size = len(data)
    fastsock.borrow(sock, &handle)
    with nogil:
        size = fastsock.send(&handle, memory, size, flags)
    return size


def sendall(sock, bytes data):
    cdef fastsock.Handle handle
    cdef const char *memory = data
    cdef Py_ssize_t size = len(data)
    fastsock.borrow(sock, &handle)
    with nogil:
        fastsock.sendall(&handle, memory, size)
