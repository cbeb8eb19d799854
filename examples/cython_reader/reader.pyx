# cython: language_level=3
"""Adds up numbers that arrive as 8 bytes each, in C and without the GIL.

What another Cython package does with fastsock's C interface: take the socket with the
GIL, then receive without it, while other threads run Python.
"""

cimport fastsock
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memmove

cdef enum:
    ROOM = 65536


def sum_of(sock):
    """The sum of the little-endian numbers that a socket brings until its end.

    Raises
    ------
    EOFError
        The end came inside a number.
    TimeoutError, OSError
        As sock.recv().
    """
    cdef fastsock.Handle handle
    cdef char[ROOM] memory
    cdef uint64_t number
    cdef uint64_t total = 0
    cdef Py_ssize_t left = 0            # bytes of a number that has not arrived whole
    cdef Py_ssize_t size, at
    fastsock.borrow(sock, &handle)
    with nogil:
        while True:
            size = fastsock.recv(&handle, memory + left, ROOM - left, 0)
            if size == 0:
                break
            size += left
            at = 0
            while size - at >= 8:
                memcpy(&number, memory + at, 8)
                total += number
                at += 8
            left = size - at
            memmove(memory, memory + at, left)
    if left:
        raise EOFError(f"the end came {left} bytes into a number")
    return total


def exchange(sock, bytes request, Py_ssize_t answer_size):
    """Send a request, and receive exactly so many bytes: one function without the GIL."""
    cdef fastsock.Handle handle
    cdef char[ROOM] memory
    cdef const char *data = request
    cdef Py_ssize_t size = len(request)
    if not 0 <= answer_size <= ROOM:
        raise ValueError(f"answer_size must be 0 to {ROOM}, not {answer_size}")
    fastsock.borrow(sock, &handle)
    with nogil:
        fastsock.sendall(&handle, data, size)
        fastsock.recv_exactly(&handle, memory, answer_size)
    return memory[:answer_size]
