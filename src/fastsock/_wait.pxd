# Making a call at the right time. Its rules are in `_wait.pyx`.

from libc.stdint cimport int64_t, uint16_t

from fastsock._deadline cimport NO_DEADLINE
from fastsock._fdtable cimport FdState
from fastsock._object cimport SocketHead
from fastsock._operation cimport Operation

# The time that an operation may take; several calls can share one.
cdef struct Budget:
    int64_t timeout_ns      # when the operation began; below 0: blocks; 0: non-blocking
    int64_t deadline_ns     # NO_DEADLINE until a call first had to wait

# What follows EAGAIN.
cdef enum Step:
    FAIL            # raise it
    POLL_FIRST      # wait in poll(2), until the deadline if there is one, and repeat the call
    REPEAT          # the call itself blocks

cdef enum Readiness:
    TIMED_OUT = 0
    READY = 1


cdef inline Budget budget_of(SocketHead *sock) noexcept nogil:
    cdef Budget budget
    budget.timeout_ns = sock.timeout_ns
    budget.deadline_ns = NO_DEADLINE
    return budget


cdef int wait(SocketHead *sock, int fd, short events, int64_t deadline_ns) except -1
cdef Py_ssize_t call(SocketHead *sock, const Operation *operation, void *arguments,
                     int traits, Budget *budget) except -1
cdef Step after_eagain(SocketHead *sock, FdState *state, int direction, int64_t timeout_ns,
                       uint16_t mode_changes, int64_t took_ns) noexcept nogil
cdef int check_owner(SocketHead *sock, int fd) except -1
cdef int check_progress(Budget *budget, bint is_done) except -1
