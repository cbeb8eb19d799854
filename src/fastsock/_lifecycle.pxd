# From socket(2) to close(2). Its rules are in `_lifecycle.pyx`.

from libc.stdint cimport int64_t

from fastsock._object cimport SocketHead

cdef int open_socket(object self, SocketHead *sock, int family, int type, int proto) except -1
cdef object adopt_fd(object cls, int fd, int family, int type, int proto)
cdef int meet(SocketHead *sock) except -1
cdef tuple open_pair(object cls, int family, int type, int proto)
cdef int close_socket(SocketHead *sock) except -1
cdef void note_mode_change(SocketHead *sock) noexcept
cdef int set_timeout(SocketHead *sock, int64_t timeout_ns) except -1
cdef int64_t parse_timeout(object timeout) except? -2
cdef enum:
    TIMEOUT_BLOCKS = -1000000000      # what the stdlib stores for None
    TIMEOUT_NOT_PLAIN = -2            # a value that the stdlib had better judge
