"""epoll(7): the object of select.epoll, which waits without waste.

Rules: memory for events and the (fd, events) tuples are made once and used again; a
tuple is only handed out again for the same events, so nobody can tell. A second thread
that waits on the same object gets memory of its own. EINTR: signal handlers run, and
the wait goes on with what is left of the time (PEP 475).
"""

import sys

cimport cython
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.limits cimport INT_MAX, INT_MIN
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memset

cimport fastsock._libc as libc
from fastsock._arguments cimport as_unsigned
from fastsock._deadline cimport (
    NO_DEADLINE, NS_PER_MS, NS_PER_S, deadline_after, monotonic_ns, remaining_ms,
)
from fastsock._errors cimport raise_errno
from fastsock._fdtable cimport FASTSOCK_HAS_GIL, learn
from fastsock._libc cimport EBADF, EINTR
from fastsock._polling cimport as_c_int, fd_of, looks_first, parse_wait
from fastsock._python cimport PyErr_CheckSignals

cdef enum:
    MOST_DEFAULT = 1023         # FD_SETSIZE - 1, as the stdlib
    MOST_PAIRS = 1 << 20        # fds above get a new tuple each time
    # If the GIL comes back later than this after a sleep, another thread computes.
    LATE_NS = 1000000

cdef bint TELLS_OF_CLOSE = sys.hexversion >= 0x030f0000
cdef object NO_FD = object()    # in the place of flags: fromfd() sets the fd


@cython.final
cdef class epoll:
    "epoll(sizehint=-1, flags=0)\n--\n\n" \
        """An epoll(7) object.

    Parameters
    ----------
    sizehint : int
        -1, or a positive number; not used by any kernel since 2.6.8.
    flags : int
        0 or EPOLL_CLOEXEC, which is set in any case (PEP 446).

    Thread safety: as select.epoll's; several threads may wait on one object.
    """

    def __cinit__(self, object sizehint=-1, object flags=0):
        cdef int hint, bits
        self.epfd = -1
        self.is_made = True
        if flags is NO_FD:
            return
        hint = as_c_int(sizehint)
        bits = as_c_int(flags)
        if hint != -1 and hint <= 0:
            raise ValueError("negative sizehint")
        if bits and bits != EPOLL_CLOEXEC:
            raise OSError("invalid flags")
        self.epfd = epoll_create1(EPOLL_CLOEXEC)
        if self.epfd < 0:
            raise_errno(libc.errno)

    def __dealloc__(self):
        cdef int fd
        # Where the arguments are refused, __cinit__ does not run, and epfd is 0.
        if self.is_made and self.epfd >= 0:
            libc.close(self.epfd)
        free(self.events)
        for fd in range(self.pairs_size):
            Py_XDECREF(self.pairs[fd].pair)
        free(self.pairs)

    @staticmethod
    def fromfd(fd, /):
        """An object around an open epoll fd, which it then owns; -1: a new fd."""
        cdef int number = as_c_int(fd)
        cdef epoll made
        if number == -1:
            return epoll.__new__(epoll)
        if number < 0:
            raise_errno(EBADF)
        made = epoll.__new__(epoll, -1, NO_FD)
        made.epfd = number
        return made

    def __reduce__(self):
        raise TypeError("cannot pickle 'select.epoll' object")

    def __enter__(self):
        self.need_open()
        return self

    def __exit__(self, exception_type=None, exception=None, traceback=None, /):
        self.close()

    def close(self):
        """Close the fd. Does nothing if it is closed."""
        cdef int fd = self.epfd
        cdef int failed, error
        if fd < 0:
            return
        self.epfd = -1
        with nogil:
            failed = libc.close(fd)
            error = libc.errno
        if failed and TELLS_OF_CLOSE:
            raise_errno(error)

    @property
    def closed(self):
        """True if the epoll handler is closed"""
        return self.epfd < 0

    def fileno(self):
        """The fd of the epoll object itself."""
        self.need_open()
        return self.epfd

    cdef int need_open(self) except -1:
        if self.epfd < 0:
            raise ValueError("I/O operation on closed epoll object")
        return 0

    cdef int control(self, int what, int fd, uint32_t events) except -1:
        """epoll_ctl(2). It waits for nothing but other calls of its own, so the GIL stays."""
        cdef epoll_event event
        self.need_open()
        memset(&event, 0, sizeof(event))
        event.events = events
        event.data.fd = fd
        if epoll_ctl(self.epfd, what, fd, &event) < 0:
            raise_errno(libc.errno)
        return 0

    # A C constant would be no default that inspect.signature() can read.
    @cython.embedsignature(False)
    def register(self, fd, eventmask=EPOLLIN | EPOLLPRI | EPOLLOUT):
        "register($self, fd, " \
            "eventmask=select.EPOLLIN | select.EPOLLPRI | select.EPOLLOUT)\n--\n\n" \
            """Watch an fd. Raises OSError if it is watched already, or can't be.

        Parameters
        ----------
        fd : int or object with fileno()
        eventmask : int
            EPOLLIN, EPOLLOUT, ..., EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE.
        """
        self.control(EPOLL_CTL_ADD, fd_of(fd), as_unsigned(eventmask))

    def modify(self, fd, eventmask):
        """Watch a registered fd for other events."""
        self.control(EPOLL_CTL_MOD, fd_of(fd), as_unsigned(eventmask))

    def unregister(self, fd):
        """Watch an fd no more."""
        cdef int number = fd_of(fd)
        self.control(EPOLL_CTL_DEL, number, 0)
        self.forget(number)

    def poll(self, timeout=None, maxevents=-1):
        """Wait for events.

        Parameters
        ----------
        timeout : float or None
            Seconds, rounded up to milliseconds; None or below 0: for ever.
        maxevents : int
            At most so many; -1: 1,023.

        Returns
        -------
        list of (fd, events)
        """
        cdef int64_t timeout_ns = -1
        cdef int timeout_ms = -1
        cdef int most = as_c_int(maxevents)
        cdef int count, index
        cdef epoll_event *events
        cdef list ready
        self.need_open()
        if timeout is not None:
            timeout_ns = parse_wait(timeout, NS_PER_S, "an integer")
            timeout_ms = in_milliseconds(timeout_ns)
        if most == -1:
            most = MOST_DEFAULT
        elif most < 1:
            raise ValueError(f"maxevents must be greater than 0, got {most}")
        events = self.borrow_events(most)
        try:
            count = self.wait_for(events, most, timeout_ns, timeout_ms, NULL)
            ready = PyList_New(count)
            with cython.critical_section(self):
                for index in range(count):
                    pair = self.pair_of(events[index].data.fd, events[index].events)
                    Py_INCREF(pair)
                    PyList_SET_ITEM(ready, index, pair)
            return ready
        finally:
            self.give_back_events(events)

    cdef int wait_for(self, epoll_event *events, int count, int64_t timeout_ns,
                      int timeout_ms, int *contention) except -1:
        cdef int64_t deadline_ns = NO_DEADLINE
        cdef int64_t woken_ns = 0
        cdef int epfd = self.epfd
        cdef int found, error
        self.slept = False
        if looks_first(self.reluctance, timeout_ms, self.last_count):
            found = epoll_wait(epfd, events, count, 0)
            if timeout_ms != 0:
                learn(&self.reluctance, found == 0)
            if found > 0 or (found == 0 and timeout_ms == 0):
                self.last_count = found
                return found
            if found < 0 and libc.errno != EINTR:
                raise_errno(libc.errno)
        if timeout_ms > 0:
            deadline_ns = deadline_after(timeout_ns)
        while True:
            with nogil:
                found = epoll_wait(epfd, events, count, timeout_ms)
                error = libc.errno
                if contention != NULL:
                    woken_ns = monotonic_ns()
            if found >= 0:
                break
            if error != EINTR:
                raise_errno(error)
            PyErr_CheckSignals()
            epfd = self.epfd
            if epfd < 0:
                raise_errno(EBADF)  # closed meanwhile; the number may be another's
            if timeout_ms > 0:
                timeout_ms = remaining_ms(deadline_ns)
        if contention != NULL:
            if monotonic_ns() - woken_ns > LATE_NS:
                contention[0] = 8
            elif contention[0] > 0:
                contention[0] -= 1
        self.slept = True
        self.last_count = found
        # A sleep that found as much as a look might is no reason to go on without looks.
        learn(&self.reluctance, found <= 1)
        return found

    cdef epoll_event *borrow_events(self, int count) except NULL:
        """Memory for events: the object's own, or if another thread has it, some more."""
        cdef epoll_event *events
        if not FASTSOCK_HAS_GIL or self.is_lent:
            events = <epoll_event *>malloc(<size_t>count * sizeof(epoll_event))
            if events == NULL:
                raise MemoryError()
            return events
        if self.room < count:
            events = <epoll_event *>realloc(self.events, <size_t>count * sizeof(epoll_event))
            if events == NULL:
                raise MemoryError()
            self.events = events
            self.room = count
        self.is_lent = True
        return self.events

    cdef void give_back_events(self, epoll_event *events) noexcept:
        if events == self.events:
            self.is_lent = False
        else:
            free(events)

    cdef object pair_of(self, int fd, uint32_t events):
        """The tuple (fd, events): the same object as last time, if it says the same."""
        cdef Pair *pairs
        cdef Pair *known
        cdef int size
        # Other code that registered at this epoll may have left any number here.
        if 0 <= fd < self.pairs_size:
            known = &self.pairs[fd]
            if known.pair != NULL and known.events == events:
                return <object>known.pair
        pair = (fd, events)
        if not 0 <= fd < self.pairs_size:
            if not 0 <= fd < MOST_PAIRS:
                return pair
            size = max(64, fd + 1 + fd // 2)
            pairs = <Pair *>realloc(self.pairs, <size_t>size * sizeof(Pair))
            if pairs == NULL:
                return pair
            memset(&pairs[self.pairs_size], 0, <size_t>(size - self.pairs_size) * sizeof(Pair))
            self.pairs = pairs
            self.pairs_size = size
        known = &self.pairs[fd]
        Py_XDECREF(known.pair)
        Py_INCREF(pair)
        known.pair = <PyObject *>pair
        known.events = events
        return pair

    cdef void forget(self, int fd) noexcept:
        cdef PyObject *pair = NULL
        with cython.critical_section(self):
            if fd < self.pairs_size:
                pair = self.pairs[fd].pair
                self.pairs[fd].pair = NULL
        Py_XDECREF(pair)


cdef int in_milliseconds(int64_t timeout_ns) except? -1:
    """For epoll_wait(2): rounded up; -1, for ever, for what is below 0."""
    if (timeout_ns > <int64_t>INT_MAX * NS_PER_MS
            or timeout_ns <= (<int64_t>INT_MIN - 1) * NS_PER_MS):
        raise OverflowError("timeout is too large")
    if timeout_ns > -NS_PER_MS:
        return <int>((max(timeout_ns, 0) + NS_PER_MS - 1) // NS_PER_MS)
    return -1


def is_there():
    """Has this build epoll(7)?"""
    return bool(FASTSOCK_HAS_EPOLL)
