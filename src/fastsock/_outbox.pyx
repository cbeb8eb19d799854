"""Bytes that are to be sent: small ones copied together, large ones kept as they are.

Rules: what was added goes out in that order, once: `forget` takes off what the kernel
took, and the rest stays for the next try. Only immutable bytes are kept without a
copy. Memory goes back when all was sent.
"""

from cpython.bytes cimport PyBytes_CheckExact, PyBytes_FromStringAndSize
from libc.stdlib cimport free, realloc
from libc.string cimport memmove

from fastsock._buffers cimport fastsock_copy

cdef enum:
    FIRST = 512


cdef class Outbox:
    """Internal: belongs to one Stream."""

    def __cinit__(self):
        self.parts = []

    def __dealloc__(self):
        free(self.memory)

    cdef char *make_room(self, Py_ssize_t room) except NULL:
        """Room for `room` more small bytes; the caller counts them in filled and size."""
        cdef Py_ssize_t capacity
        cdef char *memory
        if self.capacity - self.filled < room:
            capacity = max(self.filled + room, 2 * self.capacity, FIRST)
            memory = <char *>realloc(self.memory, capacity)
            if memory == NULL:
                raise MemoryError(f"no memory for {capacity} bytes to be sent")
            self.memory = memory
            self.capacity = capacity
        return self.memory + self.filled

    cdef int add(self, object data, const void *memory, Py_ssize_t size) except -1:
        """Add the bytes of `data`, which are at `memory`."""
        if size >= MOST_COPIED:
            self.close_piece()
            self.parts.append(
                data if PyBytes_CheckExact(data)
                else PyBytes_FromStringAndSize(<const char *>memory, size))
        elif size:
            fastsock_copy(self.make_room(size), memory, size)
            self.filled += size
        self.size += size
        return 0

    cdef int close_piece(self) except -1:
        """Make one part of what was copied together."""
        if self.filled:
            self.parts.append(PyBytes_FromStringAndSize(self.memory, self.filled))
            self.filled = 0
        return 0

    cdef list all_parts(self):
        self.close_piece()
        return self.parts

    cdef int forget(self, Py_ssize_t sent) except -1:
        """Take off the first bytes, which were sent."""
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t left = sent
        if sent == 0:
            return 0
        self.size -= sent
        for part in self.parts:
            if left < len(part):
                break
            left -= len(part)
            count += 1
        del self.parts[:count]
        if left and self.parts:
            self.parts[0] = memoryview(self.parts[0])[left:]  # no copy, however large
            left = 0
        if left:
            memmove(self.memory, self.memory + left, self.filled - left)
            self.filled -= left
        if self.size == 0:
            free(self.memory)
            self.memory = NULL
            self.capacity = 0
        return 0
