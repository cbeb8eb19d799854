# What a system call that may wait is, to those who make it at the right time.

# One system call on `fd`: its result, or -1 with errno set. It may run without
# the GIL, so it touches nothing of Python's. `extra_flags` is 0 or MSG_DONTWAIT.
ctypedef Py_ssize_t (*SystemCall)(int fd, void *arguments, int extra_flags) noexcept nogil

cdef enum Direction:
    RECEIVE = 0
    SEND = 1

cdef struct Operation:
    SystemCall run
    short events            # what to poll for
    int direction           # RECEIVE or SEND: whose prediction counts
    int name                # a SystemCallName
