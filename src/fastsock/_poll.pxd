# poll(2) as an object. Its rules are in `_poll.pyx`.

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t

from fastsock._libc cimport pollfd

cdef object KEY             # what it takes to make a poll object

# The (fd, revents) at one place, as it was last returned.
cdef struct Returned:
    PyObject *pair
    unsigned short revents


cdef class poll:
    cdef pollfd *fds                # in the order of their registration; -1: taken out
    cdef pollfd *watched            # what the kernel is given: a copy of `fds`
    cdef Returned *returned         # what was handed out for each of them
    cdef dict places                # fd to its place in `fds`
    cdef Py_ssize_t count           # places in use, those taken out included
    cdef Py_ssize_t room
    cdef Py_ssize_t watched_room
    cdef uint8_t reluctance
    cdef bint slept                 # did the last wait give the GIL away?
    cdef bint is_polling            # a call waits, or reads `watched`

    cdef int add(self, int fd, unsigned short events) except -1
    cdef int change(self, int fd, unsigned short events) except -1
    cdef int remove(self, int fd) except -1
    cdef int make_room(self) except -1
    cdef void close_gaps(self)
    # Wait for events: how many places of `watched` have one; `timeout_ms` below 0: for ever.
    # Unless it raises, the caller sets `is_polling` to False when it has read `watched`.
    cdef Py_ssize_t wait_for(self, int64_t timeout_ns, int timeout_ms) except -1
    cdef Py_ssize_t look_or_sleep(self, int64_t timeout_ns, int timeout_ms) except -1
    cdef Py_ssize_t copy(self) except -1
    cdef object pair_at(self, Py_ssize_t place)
