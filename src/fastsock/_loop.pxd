# The event loop: what it watches, and when. Its rules are in `_loop.pyx`.

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t

from fastsock._readiness cimport Readiness


cdef class Watched:
    cdef int fd                     # -1: closed
    cdef int interest               # READABLE, WRITABLE, both; 0: not watched
    cdef Loop loop
    # In the list of those that an idle timeout ends, the longest idle first.
    cdef PyObject *idle_before
    cdef PyObject *idle_after
    cdef int64_t active_ns

    cdef int watch(self, int interest) except -1
    cdef int ready(self, int events) except -1
    cdef int ready_raised(self) except -1
    cdef int timed_out(self) except -1
    cdef int drain(self) except -1
    cdef int end_now(self) except -1

    @cython.final
    cdef inline void is_active(self) noexcept:
        """Something happened here just now; once a wake-up is enough."""
        if self.active_ns != self.loop.now_ns:
            self.loop.touch(self)


@cython.final
cdef class TimerHandle:
    cdef object callback            # None: cancelled or done
    cdef tuple arguments
    cdef int64_t deadline_ns


@cython.final
cdef class Loop:
    cdef readonly Readiness readiness
    cdef list watched               # by fd
    cdef object soon                # a deque of (callback, arguments)
    cdef list timers                # a heap of (deadline_ns, number, TimerHandle)
    cdef int64_t timers_made
    cdef list at_wake_up            # called at the end of each wake-up
    cdef int64_t now_ns             # when the last wait ended
    cdef int64_t idle_timeout_ns    # 0: none
    cdef PyObject *longest_idle
    cdef PyObject *least_idle
    cdef readonly bint is_running
    cdef bint is_stopped
    cdef bint is_woken
    cdef bint has_wake_up_fd        # signals are written to the pipe
    cdef int wake_reader
    cdef int wake_writer
    cdef char *scratch              # what is received goes here first
    cdef Py_ssize_t scratch_size

    cdef int adopt(self, Watched watched, int interest) except -1
    cdef int drop(self, Watched watched) except -1
    cdef void touch(self, Watched watched) noexcept
    cdef void forget_idle(self, Watched watched) noexcept
    cdef int check_open(self) except -1
    cdef int wake(self) except -1
    cdef int run_soon(self) except -1
    cdef int run_timers(self) except -1
    cdef int end_idle(self) except -1
    cdef int64_t time_to_wait(self) except -2
    cdef int dispatch(self, int count) except -1
