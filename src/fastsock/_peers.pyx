"""Addresses that are met again and again: each is made into a tuple once.

How: a table that is looked up by a few bits of the address, and compared whole. A peer
that shares its place with another only costs what it would cost without.
"""

from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from fastsock._address cimport SocketAddress, from_sockaddr
from fastsock._libc cimport (
    AF_INET, AF_INET6, sockaddr, sockaddr_storage, socklen_t,
)

cdef enum:
    SLOTS = 256
    MOST = 28                   # the size of a sockaddr_in6; paths are not kept


cdef class Peers:
    """Internal: belongs to a batch."""

    def __cinit__(self):
        self.known = [None] * SLOTS
        self.raw = <char *>malloc(SLOTS * MOST)
        if self.raw == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.raw)

    cdef object name_of(self, const sockaddr_storage *storage, socklen_t size):
        """The address as Python has it; None if there is none."""
        cdef const unsigned char *bytes_ = <const unsigned char *>storage
        cdef SocketAddress address
        cdef unsigned int place = 0
        cdef socklen_t index
        if size == 0:
            return None
        cdef bint is_kept = size <= MOST and (
            storage.ss_family == AF_INET or storage.ss_family == AF_INET6)
        if is_kept:
            for index in range(2, size):
                place = place * 31 + bytes_[index]
            place = (place ^ place >> 8) & (SLOTS - 1)
            known = self.known[place]
            if known is not None and memcmp(self.raw + place * MOST, storage, size) == 0:
                return known
        # Zeroed: of another family 14 bytes are shown, also where the kernel wrote fewer.
        memset(&address.storage, 0, sizeof(sockaddr))
        memcpy(&address.storage, storage, min(<size_t>size, sizeof(sockaddr_storage)))
        address.size = size
        name = from_sockaddr(&address)
        if is_kept:
            memcpy(self.raw + place * MOST, storage, size)
            self.known[place] = name
        return name
