"""Which of many fds are ready: epoll(7) where there is one, else poll(2).

Job: the one place of a loop that waits. What is ready is in `events` until the next
wait, as (fd, events) with POLLIN and POLLOUT.

Rules: level-triggered, so that whoever leaves data unread is told again. The GIL is kept
to look and given away to sleep; where another thread computes, it comes back some ms
late, so then the next sleeps are put off by a few looks.
"""

import os

from libc.errno cimport EBADF, ENOENT, ENOMEM
from libc.limits cimport INT_MAX
from libc.stdlib cimport free, malloc, realloc
from posix.unistd cimport usleep

from fastsock._deadline cimport NS_PER_MS, monotonic_ns
from fastsock._epoll cimport (
    EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, FASTSOCK_HAS_EPOLL, epoll_wait,
)
from fastsock._errors cimport caught
from fastsock._poll cimport KEY

cdef enum:
    MOST_EVENTS = 256
    CONTENDED_BUSY_POLL_NS = 100000
    OUT_OF_MEMORY_PAUSE_US = 10000


cdef class Readiness:
    """Internal: belongs to one Loop."""

    def __cinit__(self, use_poll=False):
        if FASTSOCK_HAS_EPOLL and not use_poll:
            self.by_epoll = epoll()
        else:
            self.by_poll = poll(KEY)
        self.room = MOST_EVENTS
        self.events = <epoll_event *>malloc(MOST_EVENTS * sizeof(epoll_event))
        if self.events == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.events)

    def close(self):
        """Close the epoll object, where there is one."""
        if self.by_epoll is not None:
            self.by_epoll.close()

    def begin_again(self, is_running):
        """After fork(), in the child: an epoll(7) object of its own, under the same number,
        that watches nothing. In a copy of the parent's, what is added or removed is so for
        the parent, too."""
        cdef epoll fresh
        if self.by_epoll is not None:
            fresh = epoll()
            os.dup2(fresh.epfd, self.by_epoll.epfd, False)
            fresh.close()
        elif not is_running:
            self.by_poll = poll(KEY)  # another thread may have been in the midst of it

    def set_busy_poll(self, busy_poll_us):
        """Look for so many microseconds before each sleep; 0: don't."""
        self.busy_poll_ns = <int64_t>busy_poll_us * 1000

    cdef int add(self, int fd, int interest) except -1:
        if self.by_epoll is not None:
            return self.by_epoll.control(EPOLL_CTL_ADD, fd, interest)
        return self.by_poll.add(fd, interest)

    cdef int change(self, int fd, int interest) except -1:
        if self.by_epoll is not None:
            return self.by_epoll.control(EPOLL_CTL_MOD, fd, interest)
        return self.by_poll.change(fd, interest)

    cdef int remove(self, int fd) except -1:
        """Watch it no more: 1 if the kernel goes on."""
        cdef int goes_on
        if self.by_epoll is None:
            return self.by_poll.remove(fd)
        try:
            goes_on = self.by_epoll.control(EPOLL_CTL_DEL, fd, 0)
        except OSError as error:
            # Who was closed is watched no more.
            goes_on = caught(error, OSError).errno not in (EBADF, ENOENT)
        return goes_on

    cdef int wait(self, int64_t timeout_ns) except -1:
        """Wait until something is ready: how many `events` there are, 0 after the timeout.
        Raises what a signal handler raises."""
        cdef int timeout_ms = <int>min((timeout_ns + NS_PER_MS - 1) // NS_PER_MS, INT_MAX)
        cdef int found
        if self.by_epoll is None:
            return self.wait_by_poll(timeout_ns, timeout_ms)
        if timeout_ms != 0 and (self.busy_poll_ns or self.contention):
            found = self.look_for(max(
                self.busy_poll_ns, CONTENDED_BUSY_POLL_NS if self.contention else 0))
            if found:
                return found
        return self.by_epoll.wait_for(self.events, MOST_EVENTS, timeout_ns, timeout_ms,
                                      &self.contention)

    cdef bint has_slept(self) noexcept:
        """Did the last wait give the GIL away?"""
        return self.by_poll.slept if self.by_epoll is None else self.by_epoll.slept

    cdef int look_for(self, int64_t busy_poll_ns) except -1:
        """Look again and again, without the GIL unless another thread would take it for
        long: a request that is about to come is then met without a sleep."""
        cdef int epfd = self.by_epoll.epfd
        cdef bint is_contended = self.contention > 0
        cdef int64_t end_ns = monotonic_ns() + busy_poll_ns
        cdef int found = 0
        if is_contended:
            while found == 0 and monotonic_ns() < end_ns:
                found = epoll_wait(epfd, self.events, MOST_EVENTS, 0)
        else:
            with nogil:
                while found == 0 and monotonic_ns() < end_ns:
                    found = epoll_wait(epfd, self.events, MOST_EVENTS, 0)
            self.by_epoll.slept = True
        return max(found, 0)  # an error the next wait will meet

    cdef int wait_by_poll(self, int64_t timeout_ns, int timeout_ms) except -1:
        cdef Py_ssize_t found
        cdef Py_ssize_t place = 0
        cdef int count = 0
        cdef epoll_event *events
        try:
            found = self.by_poll.wait_for(timeout_ns, timeout_ms)
        except OSError as error:
            if caught(error, OSError).errno != ENOMEM:
                raise
            # The kernel makes a copy of the fds for each call. What lacks memory now need
            # not lack it soon, and a loop that ends would end every connection.
            with nogil:
                usleep(OUT_OF_MEMORY_PAUSE_US)
            found = 0
        if found > self.room:
            # All of them, since poll(2) names them in the same order each time.
            events = <epoll_event *>realloc(self.events, found * sizeof(epoll_event))
            if events == NULL:
                found = self.room  # the others are told of again
            else:
                self.events = events
                self.room = <int>found
        while count < found:
            if self.by_poll.watched[place].revents:
                self.events[count].data.fd = self.by_poll.watched[place].fd
                self.events[count].events = <unsigned short>self.by_poll.watched[place].revents
                count += 1
            place += 1
        self.by_poll.is_polling = False  # `watched` was read
        return count
