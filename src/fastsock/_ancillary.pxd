# Control messages. Its rules are in `_ancillary.pyx`.

from fastsock._libc cimport msghdr

cdef int pack(object messages, msghdr *header) except -1
cdef list unpack(msghdr *header)
cdef int close_received_fds(msghdr *header) noexcept
