# Addresses that are met again and again. Its rules are in `_peers.pyx`.

from fastsock._libc cimport sockaddr_storage, socklen_t


cdef class Peers:
    cdef list known             # SLOTS addresses, or None
    cdef char *raw              # what the kernel wrote of each

    cdef object name_of(self, const sockaddr_storage *storage, socklen_t size)
