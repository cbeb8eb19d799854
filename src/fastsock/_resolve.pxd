# Host names. Its rules are in `_resolve.pyx`.

from fastsock._libc cimport sockaddr

cdef int resolve(object host, int family, sockaddr *address, size_t size) except -1
