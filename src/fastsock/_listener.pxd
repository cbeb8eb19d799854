# A listening socket on a loop. Its rules are in `_listener.pyx`.

from fastsock._hub cimport Hub
from fastsock._loop cimport Loop, TimerHandle, Watched


cdef class WhenWritable(Watched):
    cdef object function            # None: closed


cdef class Listener(Watched):
    cdef Hub hub
    cdef object sock                # kept open while it is watched
    cdef int family
    cdef bint is_paused
    cdef TimerHandle retry

    cdef int accept_waiting(self) except -1
    cdef bint is_closed_by_others(self) noexcept
    cdef int is_gone(self) except -1
    cdef int pause(self) except -1
    cdef int short_of(self, int error) except -1
