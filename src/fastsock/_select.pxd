# select(2), as Cython sees it.

cdef extern from "<sys/select.h>" nogil:
    const int FD_SETSIZE

    ctypedef struct fd_set:
        pass

    cdef struct timeval:
        long tv_sec
        long tv_usec

    void FD_ZERO(fd_set *fds)
    void FD_SET(int fd, fd_set *fds)
    void FD_CLR(int fd, fd_set *fds)
    bint FD_ISSET(int fd, fd_set *fds)
    int c_select "select"(int count, fd_set *readers, fd_set *writers, fd_set *exceptional,
                          timeval *timeout)


# select(2) on copies of the sets in `wanted`, which come back in `ready`: how many fds are
# ready. `has_timeout` False: for ever.
cdef int wait_for_sets(int count, const fd_set *wanted, fd_set *ready, bint has_timeout,
                       long long timeout_ns) except -1
