# Host names. Its rules are in `_resolve.pyx`.

from fastsock._libc cimport sockaddr

cdef object host_name(object host)
cdef int resolve(object name, int family, sockaddr *address, size_t size) except -1
