# Memory for many datagrams. Its rules are in `_batch.pyx`.

from fastsock._libc cimport iovec, sockaddr_storage
from fastsock._peers cimport Peers
from fastsock._platform cimport FastsockMessage

cdef enum:
    CONTROL_ROOM = 512          # bytes of control messages a kernel buffer
    LARGEST_DATAGRAM = 65536    # and what a receive with UDP_GRO may bring

# One datagram.
cdef struct Entry:
    char *data
    Py_ssize_t size
    Py_ssize_t full_size        # as sent: above `size` if the rest was cut off
    Py_ssize_t slot             # the kernel buffer that it came in


cdef class DatagramBatch:
    cdef readonly Py_ssize_t count      # kernel buffers
    cdef readonly Py_ssize_t size       # bytes a datagram
    cdef Py_ssize_t room                # bytes a kernel buffer
    cdef bytearray block                # their memory
    cdef object view                    # a memoryview of it
    cdef FastsockMessage *messages      # a slot a kernel buffer, ...
    cdef iovec *parts
    cdef sockaddr_storage *addresses
    cdef char *controls                 # NULL until control messages are asked for
    cdef Py_ssize_t slots_used
    cdef Py_ssize_t written             # buffers that the kernel wrote to last time
    cdef Py_ssize_t slots_with_controls  # whose descriptors may still be nobody's
    cdef bint had_controls              # and was it given room for control messages?
    cdef Entry *entries                 # ... and an entry a datagram
    cdef Py_ssize_t entry_room
    cdef Py_ssize_t used
    cdef Peers peers
    cdef int is_claimed                 # by a call

    cdef char *block_start(self)
    cdef int make_block(self, Py_ssize_t room) except -1
    cdef int want_controls(self) except -1
    cdef int prepare(self, bint with_controls) noexcept
    cdef int own_controls(self) noexcept
    cdef int close_unclaimed_fds(self) noexcept
    cdef int take_in(self, Py_ssize_t slots) except -1
    cdef int add_entries(self, Py_ssize_t slot, Py_ssize_t segment_size) except -1
    cdef int claim(self) except -1
    cdef void release(self) noexcept
    cdef Entry *entry(self, object index) except NULL
    cdef object address_of(self, Py_ssize_t slot)
    cdef object text_of(self, const Entry *entry)
