# Waiting for a socket and calling at the right time. Its rules are in `_wait.pyx`.

from libc.stdint cimport int64_t

from fastsock._object cimport SocketHead

# One system call on `fd`: its result, or -1 with errno set. It may run without
# the GIL, so it touches nothing of Python's.
ctypedef Py_ssize_t (*Operation)(int fd, void *arguments) noexcept nogil

cdef enum Readiness:
    TIMED_OUT = 0
    READY = 1

cdef int wait(SocketHead *sock, short events, int64_t deadline_ns) except -1
cdef Py_ssize_t call(SocketHead *sock, short events, Operation operation,
                     void *arguments, int64_t deadline_ns) except -1
