# Which of many fds are ready. Its rules are in `_readiness.pyx`.

cimport cython
from libc.stdint cimport int64_t

from fastsock._epoll cimport epoll, epoll_event
from fastsock._poll cimport poll

# The bits of interest and of events: POLLIN, POLLOUT, and on Linux EPOLLIN, EPOLLOUT.
cdef enum:
    READABLE = 1
    WRITABLE = 4


@cython.final
cdef class Readiness:
    cdef epoll by_epoll         # or None
    cdef poll by_poll           # or None
    cdef epoll_event *events    # of the last wait: data.fd and events
    cdef int room
    cdef int64_t busy_poll_ns   # look for so long before each sleep
    cdef int contention         # sleeps in a row after which the GIL was long in coming

    cdef int add(self, int fd, int interest) except -1
    cdef int change(self, int fd, int interest) except -1
    cdef int remove(self, int fd) except -1
    cdef int wait(self, int64_t timeout_ns) except -1
    cdef int wait_by_poll(self, int64_t timeout_ns, int timeout_ms) except -1
    cdef bint has_slept(self) noexcept
    cdef int look_for(self, int64_t busy_poll_ns) except -1
