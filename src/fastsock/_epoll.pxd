# epoll(7) as an object. Its rules are in `_epoll.pyx`.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef extern from "_platform.h" nogil:
    const bint FASTSOCK_HAS_EPOLL
    const int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD
    const uint32_t EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI

    ctypedef union epoll_data_t:
        int fd
        void *ptr

    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data

    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int what, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int count, int timeout_ms)


# The (fd, events) of one fd, as it was last returned.
cdef struct Pair:
    PyObject *pair
    uint32_t events


cdef class epoll:
    cdef int epfd                   # -1: closed
    cdef bint is_made               # else epfd is no fd, but what memory begins with
    cdef uint8_t reluctance         # how often looks found nothing: 0 to 3
    cdef bint slept                 # did the last wait give the GIL away?
    cdef bint is_lent               # is `events` in use by a call?
    cdef int last_count
    cdef epoll_event *events
    cdef int room                   # of `events`
    cdef Pair *pairs                # by fd
    cdef int pairs_size

    cdef int need_open(self) except -1
    cdef int control(self, int what, int fd, uint32_t events) except -1
    cdef epoll_event *borrow_events(self, int count) except NULL
    cdef void give_back_events(self, epoll_event *events) noexcept
    # Wait for events: their number, 0 if none came in time. `timeout_ms` below 0: for ever.
    # `contention`, unless NULL, is raised by a sleep after which the GIL came late, and
    # lowered by one after which it came at once.
    cdef int wait_for(self, epoll_event *events, int count, int64_t timeout_ns,
                      int timeout_ms, int *contention) except -1
    cdef object pair_of(self, int fd, uint32_t events)
    cdef void forget(self, int fd) noexcept
