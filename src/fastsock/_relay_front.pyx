"""A connection of a Relay: two fds, and a pump for each direction.

Job: connects to where it is to go, then moves bytes both ways until both have ended.

Rules: nothing blocks. The accepted fd (the front) is what counts as the connection; the
other one (the rear) is watched beside it. Either failing ends both.
"""

import logging
import os
import sys
from socket import IPPROTO_TCP, TCP_NODELAY

from libc.stdint cimport int64_t

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress
from fastsock._hub cimport Connection, Hub
from fastsock._libc cimport AF_UNIX, EINPROGRESS, SO_ERROR, SOCK_STREAM, SOL_SOCKET, socklen_t
from fastsock._loop cimport Loop, TimerHandle, Watched
from fastsock._pump cimport (
    PUMP_ENDED, PUMP_FAILED, PUMP_READS, PUMP_WRITES, Pump, end_pump, run_pump, start_pump,
)
from fastsock._readiness cimport READABLE, WRITABLE

from fastsock._socket_class import socket

cdef object logger = logging.getLogger("fastsock.server")


cdef class Rear(Watched):
    """The connection to where a relay leads."""
    cdef Front front

    def __dealloc__(self):
        if self.fd > 0:
            libc.close(self.fd)

    cdef int ready(self, int events) except -1:
        if self.front.is_connecting:
            return self.front.connected()
        return self.front.work(events & ~READABLE, events & ~WRITABLE)

    cdef int ready_raised(self) except -1:
        return self.front.ready_raised()


cdef class Front(Connection):
    """One relayed connection, by its accepted end."""
    cdef object targets             # the addresses that are left to try: (family, address)
    cdef double connect_timeout_s
    cdef object counters            # a list of bytes relayed: forth, back
    cdef Rear rear
    cdef bint is_connecting
    cdef bint has_ended
    cdef TimerHandle connect_timer
    cdef Pump forth
    cdef Pump back

    def __cinit__(self):
        start_pump(&self.forth, -1, -1)  # pipes of 0 would be fds
        start_pump(&self.back, -1, -1)

    def __dealloc__(self):
        end_pump(&self.forth)
        end_pump(&self.back)
        if self.fd > 0:
            libc.close(self.fd)

    cdef int begin(self, int fd, Hub hub, int family, SocketAddress *peer) except -1:
        self.fd = fd
        self.hub = hub
        self.rear = Rear.__new__(Rear)  # first: end() has need of it, whatever fails
        self.rear.fd = -1
        hub.loop.adopt(self, 0)
        hub.connections += 1
        hub.loop.touch(self)
        self.rear.front = self
        try:
            self.connect_timer = hub.loop.call_later(self.connect_timeout_s, self.give_up)
            self.connect_next("no address")
        except Exception:  # the listener would take it for its own
            self.ready_raised()
        return 0

    cdef int connect_next(self, str why) except -1:
        """Try the next address; without one, end."""
        cdef int error
        for family, address in self.targets:
            sock = None
            try:
                sock = socket(family, SOCK_STREAM)
                sock.setblocking(False)
                error = sock.connect_ex(address)
                if family != AF_UNIX and error in (0, EINPROGRESS):
                    sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                if error in (0, EINPROGRESS):
                    self.rear.fd = sock.detach()
                else:
                    why = os.strerror(error)
            except (OSError, ValueError) as problem:
                why = str(problem)
            finally:
                if sock is not None:
                    sock.close()
            if self.rear.fd >= 0:
                self.is_connecting = True
                self.loop.adopt(self.rear, WRITABLE)
                return 0
        logger.warning("a relay can't connect: %s", why)
        return self.end()

    cdef int connected(self) except -1:
        cdef int error = 0
        cdef socklen_t size = sizeof(error)
        libc.getsockopt(self.rear.fd, SOL_SOCKET, SO_ERROR, &error, &size)
        self.is_connecting = False
        if error:
            self.drop_rear()
            return self.connect_next(os.strerror(error))
        self.connect_timer.cancel()
        self.connect_timer = None
        start_pump(&self.forth, self.fd, self.rear.fd)
        start_pump(&self.back, self.rear.fd, self.fd)
        return self.work(True, True)

    def give_up(self):
        """Internal: the time for connecting is over."""
        logger.warning("a relay can't connect within %s s", self.connect_timeout_s)
        self.end()

    cdef int ready(self, int events) except -1:
        return self.work(events & ~WRITABLE, events & ~READABLE)

    cdef int ready_raised(self) except -1:
        # No memory, here or in the kernel: this connection's end, and not the relay's.
        logger.warning("a relayed connection is ended: %s", sys.exc_info()[1])
        return self.end()

    cdef int work(self, bint forth, bint back) except -1:
        """Move what can be moved in these directions, and watch for what is waited for."""
        cdef int64_t moved = self.forth.moved + self.back.moved
        cdef Loop loop = self.loop
        if self.has_ended or self.is_connecting:
            return 0
        if forth:
            run_pump(&self.forth, loop.scratch, loop.scratch_size)
        if back or self.forth.state == PUMP_FAILED:  # what the other side had said
            run_pump(&self.back, loop.scratch, loop.scratch_size)
        if self.forth.moved + self.back.moved != moved:
            loop.touch(self)
        if (self.forth.state == PUMP_FAILED or self.back.state == PUMP_FAILED
                or (self.forth.state == PUMP_ENDED and self.back.state == PUMP_ENDED)):
            return self.end()
        self.watch((READABLE if self.forth.state == PUMP_READS else 0)
                   | (WRITABLE if self.back.state == PUMP_WRITES else 0))
        self.rear.watch((READABLE if self.back.state == PUMP_READS else 0)
                        | (WRITABLE if self.forth.state == PUMP_WRITES else 0))
        return 0

    cdef int timed_out(self) except -1:
        return self.end()

    cdef int end_now(self) except -1:
        return self.end()

    cdef int drop_rear(self) except -1:
        cdef int fd = self.rear.fd
        if fd >= 0:
            self.loop.drop(self.rear)
            self.rear.fd = -1
            libc.close(fd)
        return 0

    cdef int end(self) except -1:
        """Have it ended at the loop's next turn."""
        if not self.has_ended:
            # In this order: where there is no memory, it is ended by the next who tries.
            self.loop.soon.append((self.finish, ()))
            self.has_ended = True
            self.watch(0)
            self.rear.watch(0)
        return 0

    def finish(self):
        """Internal: the end of both connections."""
        cdef int fd = self.fd
        try:
            if self.connect_timer is not None:
                self.connect_timer.cancel()
            self.counters[0] += self.forth.moved
            self.counters[1] += self.back.moved
        finally:
            end_pump(&self.forth)
            end_pump(&self.back)
            self.drop_rear()
            self.rear.front = None
            self.rear = None
            self.loop.drop(self)
            self.fd = -1
            libc.close(fd)
            self.hub.connection_ended()


def new_connection(targets, connect_timeout_s, counters):
    """Internal: a relayed connection for an accepted fd."""
    cdef Front made = Front.__new__(Front)
    made.targets = iter(targets)
    made.connect_timeout_s = connect_timeout_s
    made.counters = counters
    return made
