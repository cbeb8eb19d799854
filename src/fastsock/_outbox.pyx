"""Bytes that are to be sent: small ones copied together, large ones kept as they are.

Rules: what was added goes out in that order, once: `forget` takes off what the kernel
took, and the rest stays for the next try. Only immutable bytes are kept without a
copy. Memory goes back when all was sent.

However often a part of it is sent, the work is linear: what was sent is skipped by an
index, and its place is used again once at least half of the room is such places.
"""

from cpython.bytes cimport PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memmove

from fastsock._buffers cimport fastsock_copy

cdef enum:
    FIRST = 512
    FEW_PARTS = 64              # below this, sent parts are not worth a removal


cdef class Outbox:
    """Internal: belongs to one Stream."""

    def __cinit__(self):
        self.parts = []

    def __dealloc__(self):
        free(self.memory)

    cdef char *make_room(self, Py_ssize_t room) except NULL:
        """Room for `room` more small bytes; the caller counts them in filled and size."""
        cdef Py_ssize_t capacity
        cdef Py_ssize_t kept = self.filled - self.start
        cdef char *memory
        if self.capacity - self.filled < room:
            # Moving costs at most as many bytes as were sent since the last time.
            if self.start and kept <= self.start:
                memmove(self.memory, self.memory + self.start, kept)
                self.start = 0
                self.filled = kept
        if self.capacity - self.filled < room:
            capacity = max(self.filled + room, 2 * self.capacity, FIRST)
            memory = <char *>realloc(self.memory, capacity)
            if memory == NULL:
                raise MemoryError(f"no memory for {capacity} bytes to be sent")
            self.memory = memory
            self.capacity = capacity
        return self.memory + self.filled

    cdef int add(self, object data, const void *memory, Py_ssize_t size) except -1:
        """Add the bytes of `data`, which are at `memory`: all or nothing."""
        if size >= MOST_COPIED:
            self.close_piece()
            self.add_part(data if PyBytes_CheckExact(data)
                          else PyBytes_FromStringAndSize(<const char *>memory, size))
        elif size:
            fastsock_copy(self.make_room(size), memory, size)
            self.filled += size
        self.size += size
        return 0

    cdef int add_part(self, bytes part) except -1:
        if self.first > FEW_PARTS and 2 * self.first > len(self.parts):
            del self.parts[:self.first]
            self.first = 0
        self.parts.append(part)
        return 0

    cdef int close_piece(self) except -1:
        """Make one part of what was copied together."""
        if self.filled > self.start:
            self.add_part(PyBytes_FromStringAndSize(
                self.memory + self.start, self.filled - self.start))
        self.start = self.filled = 0
        return 0

    cdef tuple front_parts(self, Py_ssize_t most):
        """The first parts, at most `most`; what is in `memory` is one if it comes so soon."""
        if parts_left(self) < most:
            self.close_piece()
        cdef list parts = self.parts[self.first:self.first + most]
        if self.first_sent:
            parts[0] = memoryview(parts[0])[self.first_sent:]  # no copy, however large
        return tuple(parts)

    cdef int take_back(self, Py_ssize_t parts, Py_ssize_t in_memory, Py_ssize_t size) except -1:
        """Remove what was added since that many parts were left, and bytes in `memory`."""
        del self.parts[self.first + parts:]
        self.filled = self.start + in_memory
        self.size = size
        return 0

    cdef void forget(self, Py_ssize_t sent) noexcept:
        """Take off the first bytes, which were sent. Needs no memory: it must not fail."""
        cdef Py_ssize_t size
        self.size -= sent
        if self.size == 0:
            self.parts.clear()
            self.first = self.first_sent = self.start = self.filled = self.capacity = 0
            free(self.memory)
            self.memory = NULL
            return
        while sent and self.first < len(self.parts):
            size = PyBytes_GET_SIZE(self.parts[self.first]) - self.first_sent
            if sent < size:
                self.first_sent += sent
                return
            sent -= size
            self.parts[self.first] = None
            self.first += 1
            self.first_sent = 0
        self.start += sent
