"""The methods of the selectors: registering, and select() without waste.

Job: bases that stand before the stdlib's EpollSelector, PollSelector and
SelectSelector, whose fields (_fd_to_key, _selector) they keep as the stdlib does.

Rules: what select() returns is found by fd in an array; the (key, events) of an fd is
made once and handed out again while key and events are the same. A selector whose
`_selector` is not our object (a test's) goes the stdlib's way.
"""

import math
import selectors

cimport cython
from cpython.list cimport PyList_Append
from cpython.object cimport PyObject, PyTypeObject
from libc.limits cimport INT_MAX
from libc.stdint cimport INT64_MAX, int64_t
from libc.stdlib cimport free, realloc

from fastsock._deadline cimport NS_PER_MS, NS_PER_S
from fastsock._epoll cimport (
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, epoll, epoll_event,
)
from fastsock._poll cimport poll
from fastsock._polling cimport TAKES_REAL_NUMBERS, fd_of, parse_wait
from fastsock._python cimport PyList_GET_ITEM, TypeSlots
from fastsock._readiness cimport READABLE, WRITABLE
from fastsock._select cimport FD_CLR, FD_ISSET, FD_SET, FD_SETSIZE, FD_ZERO, fd_set, wait_for_sets
from fastsock._self cimport head_of, is_socket

cdef enum:
    READ = 1                # selectors.EVENT_READ
    WRITE = 2
    MOST_ENTRIES = 1 << 20  # fds above are looked up in the dict

cdef type SelectorKey = selectors.SelectorKey
cdef TypeSlots *tuple_type = <TypeSlots *><PyObject *>tuple

# What is known of one fd, beside its key.
cdef struct Entry:
    int wanted              # key.events
    int handed_out          # the events of the pair last handed out; -1: there is none


cdef inline object new_key(object fileobj, object fd, object events, object data):
    """A SelectorKey, as its own __new__ makes it."""
    return tuple_type.tp_new(
        <PyTypeObject *><PyObject *>SelectorKey, ((fileobj, fd, events, data),), NULL)


cdef class SelectorMethods:
    """What the three have in common; no type to make objects of."""
    cdef public dict _fd_to_key
    cdef list keys              # by fd; None: not registered
    cdef list pairs             # by fd: the (key, events) last handed out
    cdef Entry *entries         # by fd
    cdef Py_ssize_t entries_size

    def __cinit__(self, *arguments, **keywords):
        self.keys = []
        self.pairs = []

    def __dealloc__(self):
        free(self.entries)

    cdef int forget_all(self) except -1:
        cdef Py_ssize_t fd
        with cython.critical_section(self):
            for fd in range(self.entries_size):
                self.keys[fd] = self.pairs[fd] = None
        return 0

    cdef int make_entries(self, Py_ssize_t size) except -1:
        """Room for the fds below `size`."""
        cdef Entry *entries
        # One by one: of the last time either may be short, if there was no memory.
        self.keys += [None] * (size - len(self.keys))
        self.pairs += [None] * (size - len(self.pairs))
        entries = <Entry *>realloc(self.entries, <size_t>size * sizeof(Entry))
        if entries == NULL:
            raise MemoryError()
        self.entries = entries
        self.entries_size = size
        return 0

    cdef int remember(self, object fd, object key, object events) except -1:
        """Store a key in the dict and in the array."""
        cdef Py_ssize_t number
        cdef int wanted = events & (READ | WRITE)  # may raise: nothing is stored yet
        if 0 <= fd < MOST_ENTRIES:
            number = fd
            with cython.critical_section(self):
                if number >= self.entries_size:
                    self.make_entries(max(64, number + 1 + number // 2))
                self.keys[number] = key
                self.pairs[number] = None
                self.entries[number].wanted = wanted
                self.entries[number].handed_out = -1
        self._fd_to_key[fd] = key
        return 0

    cdef int forget(self, object fd) except -1:
        with cython.critical_section(self):
            if 0 <= fd < self.entries_size:
                self.keys[fd] = self.pairs[fd] = None
        return 0

    cdef object fd_behind(self, object fileobj):
        """The fd of a file object; ValueError for what has none and is not registered."""
        cdef int fd
        if type(fileobj) is int:
            if fileobj >= 0:
                return fileobj
        elif is_socket(fileobj) and type(fileobj).fileno is socket_fileno:
            fd = head_of(fileobj).fd
            if fd >= 0:
                return fd
        return self._fileobj_lookup(fileobj)

    cdef object key_of(self, object fileobj):
        try:
            key = self._fd_to_key.get(self.fd_behind(fileobj))
        except KeyError:  # a fileno()'s
            key = None
        if key is None:
            raise KeyError("{!r} is not registered".format(fileobj)) from None
        return key

    def get_key(self, fileobj):
        """The key of a registered file object; KeyError if it is not registered."""
        if self._map is None:
            raise RuntimeError("Selector is closed")
        return self.key_of(fileobj)

    def register(self, fileobj, events, data=None):
        """Register a file object for events; returns its SelectorKey.

        Raises ValueError for bad events or no file, KeyError if it is registered
        already, OSError if the kernel refuses it.
        """
        if not events or events & ~(READ | WRITE):
            raise ValueError("Invalid events: {!r}".format(events))
        fd = self.fd_behind(fileobj)
        key = new_key(fileobj, fd, events, data)
        if fd in self._fd_to_key:
            raise KeyError("{!r} (FD {}) is already registered".format(fileobj, fd))
        try:
            self.remember(fd, key, events)
            self.watch(fd, events)
        except:
            self._fd_to_key.pop(fd, None)
            self.forget(fd)
            raise
        return key

    def unregister(self, fileobj):
        """Unregister a file object, also one that is closed; returns its key."""
        try:
            fd = self.fd_behind(fileobj)
            key = self._fd_to_key.pop(fd)
        except KeyError:
            raise KeyError("{!r} is not registered".format(fileobj)) from None
        self.forget(fd)
        self.unwatch(fd)
        return key

    def modify(self, fileobj, events, data=None):
        """Register for other events or with other data; returns the new key."""
        key = self.key_of(fileobj)
        fd = key.fd
        if events != key.events:
            wanted = (READ if events & READ else 0) | (WRITE if events & WRITE else 0)
            try:
                self.rewatch(fd, wanted)
            except:
                self._fd_to_key.pop(fd, None)
                self.forget(fd)
                raise
        elif not (data != key.data):
            return key
        key = new_key(key.fileobj, fd, events, data)
        self.remember(fd, key, events)
        return key

    cdef int watch(self, object fd, object events) except -1:
        raise NotImplementedError

    cdef int rewatch(self, object fd, object events) except -1:
        raise NotImplementedError

    cdef int unwatch(self, object fd) except -1:
        raise NotImplementedError

    cdef int add_ready(self, list ready, int fd, int events) except -1:
        """Append (key, events) to `ready`, if the fd is registered."""
        if not 0 <= fd < self.entries_size:  # other code that registered may say any number
            found = self._fd_to_key.get(fd)
            if found is not None:
                ready.append((found, events & found.events))
            return 0
        key = <object>PyList_GET_ITEM(self.keys, fd)
        if key is None:
            return 0
        events &= self.entries[fd].wanted
        if self.entries[fd].handed_out == events:
            PyList_Append(ready, <object>PyList_GET_ITEM(self.pairs, fd))
            return 0
        pair = (key, events)
        # It may have set off a collection, and so code that registered or unregistered.
        if key is <object>PyList_GET_ITEM(self.keys, fd):
            self.pairs[fd] = pair
            self.entries[fd].handed_out = events
        PyList_Append(ready, pair)
        return 0


socket_fileno = None


def know_fileno(method):
    """Tell which fileno() method of a class of sockets needs no call: fastsock.socket's."""
    global socket_fileno
    socket_fileno = method


cdef int timeout_in_ms(object timeout, bint in_seconds, int64_t *timeout_ns) except? -2:
    """select()'s timeout for poll and epoll: -1 for None, 0 for 0 or less.

    `in_seconds`: the stdlib's selector hands on seconds, which have other errors.
    """
    if timeout is None:
        timeout_ns[0] = -1
        return -1
    if timeout <= 0:
        timeout_ns[0] = 0
        return 0
    milliseconds = math.ceil(timeout * 1e3)
    if in_seconds and milliseconds > INT64_MAX // NS_PER_MS:
        parse_wait(milliseconds * 1e-3, NS_PER_S, "an integer")
    timeout_ns[0] = parse_wait(milliseconds, NS_PER_MS, "an integer")
    if timeout_ns[0] > <int64_t>INT_MAX * NS_PER_MS:
        if in_seconds or not TAKES_REAL_NUMBERS:
            raise OverflowError("timeout is too large")
        return INT_MAX  # at a time
    return <int>(timeout_ns[0] // NS_PER_MS)


cdef inline unsigned int poller_events(object events) except? 0xffffffff:
    """What poll(2), and epoll(7) by the same numbers, call these events."""
    cdef int wanted = events
    return (READABLE if wanted & READ else 0) | (WRITABLE if wanted & WRITE else 0)


cdef inline int selector_events(unsigned int found) noexcept:
    """What a poller found, as EVENT_READ and EVENT_WRITE: errors and ends are both."""
    return (WRITE if found & ~<unsigned int>READABLE else 0) | (
        READ if found & ~<unsigned int>WRITABLE else 0)


cdef class PollerMethods(SelectorMethods):
    """What the selectors over a poller have in common; no type to make objects of."""
    cdef public object _selector

    cdef bint is_ours(self) except -1:
        """Is `_selector` the object that this class knows from inside?"""
        raise NotImplementedError

    cdef int control(self, int what, int fd, unsigned int events) except -1:
        """Register (EPOLL_CTL_ADD), modify or unregister, at our own object."""
        raise NotImplementedError

    cdef int watch(self, object fd, object events) except -1:
        if self.is_ours():
            self.control(EPOLL_CTL_ADD, fd_of(fd), poller_events(events))
        else:
            self._selector.register(fd, poller_events(events))
        return 0

    cdef int rewatch(self, object fd, object events) except -1:
        if self.is_ours():
            self.control(EPOLL_CTL_MOD, fd, poller_events(events))
        else:
            self._selector.modify(fd, poller_events(events))
        return 0

    cdef int unwatch(self, object fd) except -1:
        try:
            if self.is_ours():
                self.control(EPOLL_CTL_DEL, fd, 0)
            else:
                self._selector.unregister(fd)
        except OSError:
            pass  # the fd was closed since
        return 0


cdef class EpollMethods(PollerMethods):
    """register() and select() by epoll(7); no type to make objects of."""

    cdef bint is_ours(self) except -1:
        return type(self._selector) is epoll

    cdef int control(self, int what, int fd, unsigned int events) except -1:
        return (<epoll>self._selector).control(what, fd, events)

    def select(self, timeout=None):
        """Wait for events of the registered files.

        Parameters
        ----------
        timeout : float or None
            Seconds, rounded up to milliseconds; 0 or less: only look; None: for ever.

        Returns
        -------
        list of (SelectorKey, events)
        """
        cdef epoll poller
        cdef epoll_event *events
        cdef int64_t timeout_ns
        cdef int timeout_ms, most, count, index
        cdef list ready = []
        if not self.is_ours():
            return super().select(timeout)
        poller = <epoll>self._selector
        timeout_ms = timeout_in_ms(timeout, True, &timeout_ns)
        poller.need_open()
        most = <int>min(max(len(self._fd_to_key), 1), INT_MAX)
        events = poller.borrow_events(most)
        try:
            count = poller.wait_for(events, most, timeout_ns, timeout_ms, NULL)
            with cython.critical_section(self):
                for index in range(count):
                    self.add_ready(ready, events[index].data.fd,
                                   selector_events(events[index].events))
        except InterruptedError:
            pass
        finally:
            poller.give_back_events(events)
        return ready

    def close(self):
        """Close the epoll object and forget every registration."""
        self._selector.close()
        super().close()
        self.forget_all()


cdef class PollMethods(PollerMethods):
    """register() and select() by poll(2); no type to make objects of."""

    cdef bint is_ours(self) except -1:
        return type(self._selector) is poll

    cdef int control(self, int what, int fd, unsigned int events) except -1:
        cdef poll poller = <poll>self._selector
        if what == EPOLL_CTL_ADD:
            return poller.add(fd, events)
        if what == EPOLL_CTL_MOD:
            return poller.change(fd, events)
        return poller.remove(fd)

    def select(self, timeout=None):
        """As EpollSelector's."""
        cdef poll poller
        cdef int64_t timeout_ns
        cdef int timeout_ms
        cdef Py_ssize_t count
        cdef Py_ssize_t place = 0
        cdef unsigned short found
        cdef list ready = []
        if not self.is_ours():
            return super().select(timeout)
        poller = <poll>self._selector
        timeout_ms = timeout_in_ms(timeout, False, &timeout_ns)
        try:
            with cython.critical_section(poller):
                count = poller.wait_for(timeout_ns, timeout_ms)
                try:
                    while count:
                        found = <unsigned short>poller.watched[place].revents
                        if found:
                            self.add_ready(ready, poller.watched[place].fd,
                                           selector_events(found))
                            count -= 1
                        place += 1
                finally:
                    poller.is_polling = False
        except InterruptedError:
            pass
        return ready

    def close(self):
        """Forget every registration."""
        super().close()
        self.forget_all()


cdef class SelectMethods(SelectorMethods):
    """register() and select() by select(2); no type to make objects of."""
    cdef fd_set[3] wanted       # readers, writers, none
    cdef int highest            # no fd above this is in a set
    cdef int out_of_range       # registered fds that select(2) can't take

    def __cinit__(self, *arguments, **keywords):
        cdef int which
        for which in range(3):
            FD_ZERO(&self.wanted[which])
        self.highest = -1

    cdef int watch(self, object fd, object events) except -1:
        cdef int bits = events
        if not 0 <= fd < FD_SETSIZE:
            self.out_of_range += 1
            return 0
        if bits & READ:
            FD_SET(fd, &self.wanted[0])
        if bits & WRITE:
            FD_SET(fd, &self.wanted[1])
        self.highest = max(self.highest, <int>fd)
        return 0

    cdef int unwatch(self, object fd) except -1:
        if not 0 <= fd < FD_SETSIZE:
            self.out_of_range -= 1
            return 0
        FD_CLR(fd, &self.wanted[0])
        FD_CLR(fd, &self.wanted[1])
        return 0

    def modify(self, fileobj, events, data=None):
        """Register for other events, which is to register anew, or with other data."""
        key = self.key_of(fileobj)
        if events != key.events:
            self.unregister(fileobj)
            return self.register(fileobj, events, data)
        if data != key.data:
            key = new_key(key.fileobj, key.fd, key.events, data)
            self.remember(key.fd, key, key.events)
        return key

    def select(self, timeout=None):
        """As EpollSelector's, but the timeout is not rounded to milliseconds."""
        cdef fd_set[3] wanted
        cdef fd_set[3] found
        cdef int64_t timeout_ns = 0
        cdef int fd, highest, events
        cdef list ready = []
        if timeout is not None:
            timeout_ns = parse_wait(max(timeout, 0), NS_PER_S, "a float")
        if self.out_of_range:
            raise ValueError("filedescriptor out of range in select()")
        highest = self.highest
        wanted = self.wanted
        try:
            wait_for_sets(highest + 1, wanted, found, timeout is not None, timeout_ns)
        except InterruptedError:
            return ready
        with cython.critical_section(self):
            for fd in range(highest + 1):
                events = ((READ if FD_ISSET(fd, &found[0]) else 0)
                          | (WRITE if FD_ISSET(fd, &found[1]) else 0))
                if events:
                    self.add_ready(ready, fd, events)
        return ready

    def close(self):
        """Forget every registration."""
        cdef int which
        super().close()
        self.forget_all()
        for which in range(3):
            FD_ZERO(&self.wanted[which])
        self.highest = -1
        self.out_of_range = 0
