"""poll(2): the object of select.poll, whose array is kept and not built anew.

Rules: the kernel is given a copy of the array (some ns an fd, where poll itself takes
a hundred), so that other threads may register meanwhile. An fd that is taken out
leaves a gap, which poll(2) skips, so that the order stays that of registration; gaps
are closed when they are half of the array. EINTR: as in _epoll.pyx.
"""

import operator
import sys

cimport cython
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.limits cimport INT_MAX, INT_MIN
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

cimport fastsock._libc as libc
from fastsock._deadline cimport (
    NO_DEADLINE, NS_PER_MS, deadline_after, has_passed, monotonic_ns, remaining_ms,
)
from fastsock._errors cimport raise_errno
from fastsock._fdtable cimport learn
from fastsock._libc cimport EINTR, EINVAL, ENOENT, POLLIN, POLLOUT
from fastsock._platform cimport fastsock_poll_ns
from fastsock._polling cimport TAKES_REAL_NUMBERS, fd_of, looks_first, parse_wait, whole_ms
from fastsock._python cimport PyErr_CheckSignals

cdef extern from "<poll.h>" nogil:
    const short POLLPRI

cdef extern from "Python.h":
    unsigned long PyLong_AsUnsignedLong(object value) except? <unsigned long>-1


KEY = object()  # only new_poll() and loops make objects, as in the stdlib


@cython.final
cdef class poll:
    """What select.poll() returns: a set of fds for poll(2).

    Thread safety: register and unregister while another thread polls hold from its
    next poll() on; two threads in poll() are refused, as in the stdlib.
    """

    def __cinit__(self, key=None):
        if key is not KEY:
            raise TypeError(f"cannot create '{poll.__module__}.{poll.__name__}' instances")
        self.places = {}

    def __dealloc__(self):
        cdef Py_ssize_t place
        for place in range(self.count):
            Py_XDECREF(self.returned[place].pair)
        free(self.fds)
        free(self.watched)
        free(self.returned)

    def __reduce__(self):
        raise TypeError("cannot pickle 'select.poll' object")

    def register(self, fd, eventmask=POLLIN | POLLPRI | POLLOUT, /):
        """Watch an fd; one that is watched already is from now on watched for these.

        Parameters
        ----------
        fd : int or object with fileno()
        eventmask : int
            POLLIN, POLLOUT, POLLPRI, ...
        """
        cdef int number = fd_of(fd)
        self.add(number, as_events(eventmask))

    def modify(self, fd, eventmask, /):
        """Watch a registered fd for other events; OSError (ENOENT) if it is not."""
        cdef int number = fd_of(fd)
        self.change(number, as_events(eventmask))

    def unregister(self, fd, /):
        """Watch an fd no more; KeyError if it is not watched."""
        self.remove(fd_of(fd))

    def poll(self, timeout=None, /):
        """Wait for events.

        Parameters
        ----------
        timeout : float or None
            Milliseconds, up to 3.14 rounded up; None or below 0: for ever.

        Returns
        -------
        list of (fd, events)
        """
        cdef int64_t timeout_ns = -1
        cdef int timeout_ms = -1
        cdef Py_ssize_t found, index
        cdef Py_ssize_t place = 0
        cdef list ready
        if timeout is not None:
            timeout_ns = parse_wait(timeout, NS_PER_MS, "an integer")
            if not TAKES_REAL_NUMBERS and (timeout_ns > <int64_t>INT_MAX * NS_PER_MS
                                           or timeout_ns < <int64_t>INT_MIN * NS_PER_MS):
                raise OverflowError("timeout is too large")
            if timeout_ns >= 0:
                timeout_ms = whole_ms(timeout_ns)
        with cython.critical_section(self):
            found = self.wait_for(timeout_ns, timeout_ms)
            try:
                ready = PyList_New(found)
                for index in range(found):
                    while not self.watched[place].revents:
                        place += 1
                    pair = self.pair_at(place)
                    Py_INCREF(pair)
                    PyList_SET_ITEM(ready, index, pair)
                    place += 1
            finally:
                self.is_polling = False
        return ready

    cdef Py_ssize_t wait_for(self, int64_t timeout_ns, int timeout_ms) except -1:
        if self.is_polling:
            raise RuntimeError("concurrent poll() invocation")
        if self.count > 64 and 2 * len(self.places) < self.count:
            self.close_gaps()
        self.is_polling = True
        try:
            return self.look_or_sleep(timeout_ns, timeout_ms)
        except:
            self.is_polling = False
            raise

    cdef Py_ssize_t copy(self) except -1:
        """Make `watched` what `fds` is now; how many places it has."""
        cdef Py_ssize_t count = self.count
        if self.watched_room < count:
            free(self.watched)
            self.watched_room = 0
            self.watched = <pollfd *>malloc(self.room * sizeof(pollfd))
            if self.watched == NULL:
                raise MemoryError()
            self.watched_room = self.room
        if count:
            memcpy(self.watched, self.fds, <size_t>count * sizeof(pollfd))
        return count

    cdef Py_ssize_t look_or_sleep(self, int64_t timeout_ns, int timeout_ms) except -1:
        cdef int64_t deadline_ns = NO_DEADLINE
        cdef Py_ssize_t count = self.copy()
        cdef int found, error
        cdef bint is_exact = False
        self.slept = False
        if looks_first(self.reluctance, timeout_ms, <int>min(count, INT_MAX)):
            found = libc.poll(self.watched, count, 0)
            if timeout_ms != 0:
                learn(&self.reluctance, found == 0)
            if found > 0 or (found == 0 and timeout_ms == 0):
                return found
            if found < 0 and libc.errno != EINTR and libc.errno != EINVAL:
                raise_errno(libc.errno)
        if timeout_ms > 0:
            deadline_ns = deadline_after(timeout_ns)
            is_exact = TAKES_REAL_NUMBERS and timeout_ns != timeout_ms * <int64_t>NS_PER_MS
        while True:
            with nogil:
                if is_exact:
                    found = fastsock_poll_ns(self.watched, count, timeout_ns)
                else:
                    found = libc.poll(self.watched, count, timeout_ms)
                error = libc.errno
            if found > 0 or found == 0 and (not is_exact or has_passed(deadline_ns)):
                break
            if found < 0 and error == EINVAL and len(self.places) < self.count:
                # More places than RLIMIT_NOFILE, which poll(2) refuses; gaps count.
                self.close_gaps()
                count = self.copy()
                continue
            if found < 0 and error != EINTR:
                raise_errno(error)
            PyErr_CheckSignals()
            if timeout_ms > 0:
                timeout_ms = remaining_ms(deadline_ns)
                timeout_ns = max(deadline_ns - monotonic_ns(), 0)
        self.slept = True
        learn(&self.reluctance, found <= 1)
        return found

    cdef object pair_at(self, Py_ssize_t place):
        """The tuple (fd, revents): the same object as last time, if it says the same."""
        cdef unsigned short revents = <unsigned short>self.watched[place].revents
        cdef int fd = self.watched[place].fd
        cdef Returned *returned
        # No place is taken away during a poll(): gaps are closed before and after it.
        if self.fds[place].fd == fd:
            returned = &self.returned[place]
            if returned.pair != NULL and returned.revents == revents:
                return <object>returned.pair
        pair = (fd, revents)
        # It may have set off a collection, and so code that registered or unregistered.
        if self.fds[place].fd == fd:
            returned = &self.returned[place]
            Py_XDECREF(returned.pair)
            Py_INCREF(pair)
            returned.pair = <PyObject *>pair
            returned.revents = revents
        return pair

    cdef int add(self, int fd, unsigned short events) except -1:
        place = self.places.get(fd)
        if place is not None:
            self.fds[<Py_ssize_t>place].events = <short>events
            return 0
        if self.count == self.room:
            self.make_room()
        self.places[fd] = self.count
        self.fds[self.count].fd = fd
        self.fds[self.count].events = <short>events
        self.fds[self.count].revents = 0
        self.returned[self.count].pair = NULL
        self.count += 1
        return 0

    cdef int change(self, int fd, unsigned short events) except -1:
        place = self.places.get(fd)
        if place is None:
            raise_errno(ENOENT)
        self.fds[<Py_ssize_t>place].events = <short>events
        return 0

    cdef int remove(self, int fd) except -1:
        cdef Py_ssize_t place = self.places.pop(fd)
        cdef PyObject *pair = self.returned[place].pair
        self.fds[place].fd = -1
        self.returned[place].pair = NULL
        Py_XDECREF(pair)
        return 0

    cdef int make_room(self) except -1:
        cdef Py_ssize_t room = max(16, 2 * self.room)
        cdef void *memory = realloc(self.fds, room * sizeof(pollfd))
        if memory == NULL:
            raise MemoryError()
        self.fds = <pollfd *>memory
        memory = realloc(self.returned, room * sizeof(Returned))
        if memory == NULL:
            raise MemoryError()
        self.returned = <Returned *>memory
        self.room = room
        return 0

    cdef void close_gaps(self):
        cdef Py_ssize_t kept = 0
        cdef Py_ssize_t place
        for place in range(self.count):
            if self.fds[place].fd >= 0:
                self.fds[kept] = self.fds[place]
                self.returned[kept] = self.returned[place]
                self.places[self.fds[kept].fd] = kept
                kept += 1
        self.count = kept


cdef unsigned int as_events(object value) except? 0xffffffff:
    """A C unsigned short, with the errors of the stdlib's converter, of 3.14 and before."""
    if sys.hexversion >= 0x030e0000:
        value = operator.index(value)
        if value < 0:
            raise ValueError("Cannot convert negative int")
        if value > 0xffff:
            raise OverflowError("Python int too large for C unsigned short")
        return value
    if not isinstance(value, int):
        raise TypeError("an integer is required")
    if value < 0:
        raise ValueError("value must be positive")
    PyLong_AsUnsignedLong(value)  # its text, for what is too large for that
    if value > 0xffff:
        raise OverflowError("Python int too large for C unsigned short")
    return value


def new_poll():
    """A polling object: register fds, then poll them for events (poll(2))."""
    return poll(KEY)
