"""A connection of a Relay: two fds, and a pump for each direction.

Job: connects to where it is to go, then moves bytes both ways until both have ended.

Rules: nothing blocks. The accepted fd (the front) is what counts as the connection; the
other one (the rear) is watched beside it. Either failing ends both. A FIN is only sent to
pass on one that was received: both sides are reset unless both pumps have ended. A side
from which nothing is wanted now is still watched for its failure, but not after its
hang-up, which poll(2) and epoll(7) would report for ever.
"""

import logging
import os
import sys
from socket import IPPROTO_TCP, TCP_NODELAY

from libc.stdint cimport int64_t

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress
from fastsock._hub cimport Connection, Hub
from fastsock._libc cimport AF_UNIX, ECONNRESET, EINPROGRESS, EPIPE, SOCK_STREAM, sockaddr
from fastsock._loop cimport Loop, TimerHandle, Watched
from fastsock._pump cimport (
    FAILURE, HANG_UP, PUMP_ENDED, PUMP_FAILED, PUMP_READS, PUMP_WRITES, Pump, drain_pump,
    end_pump, error_of, failure_of, remember, reset_on_close, run_pump, start_pump,
)
from fastsock._readiness cimport READABLE, WRITABLE

from fastsock._socket_class import socket

cdef object logger = logging.getLogger("fastsock.server")

# How many fork()s led to this process. SO_LINGER would be the parent's, too.
cdef int forks = 0


def begin_again():
    """Internal: after fork(), in the child."""
    global forks
    forks += 1


os.register_at_fork(after_in_child=begin_again)


cdef class Rear(Watched):
    """The connection to where a relay leads."""
    cdef Front front
    cdef int made_after             # so many fork()s
    cdef bint has_hung_up

    def __dealloc__(self):
        if self.fd > 0:  # the relay was forgotten
            close_connection(self.fd, self.made_after == forks)

    cdef int ready(self, int events) except -1:
        if self.front.is_connecting:
            return self.front.connected()
        if events & (FAILURE | HANG_UP):
            self.has_hung_up = True
            return self.front.hung_up(self, events)
        return self.front.work(events & ~READABLE, events & ~WRITABLE)

    cdef int ready_raised(self) except -1:
        return self.front.ready_raised()


cdef class Front(Connection):
    """One relayed connection, by its accepted end."""
    cdef object targets             # the addresses that are left to try: (family, address)
    cdef object target              # the address that is tried
    cdef list refusals              # texts: which address failed, of what
    cdef double connect_timeout_s
    cdef object counters            # a list of bytes relayed: forth, back
    cdef Rear rear
    cdef bint is_connecting
    cdef bint has_ended
    cdef bint is_complete           # both pumps have ended: no reset
    cdef bint has_hung_up
    cdef int early_error            # of the accepted fd, from before the rear was connected
    cdef int made_after             # so many fork()s
    cdef TimerHandle connect_timer
    cdef Pump forth
    cdef Pump back

    def __cinit__(self):
        start_pump(&self.forth, -1, -1, &self.back)  # pipes of 0 would be fds
        start_pump(&self.back, -1, -1, &self.forth)

    def __dealloc__(self):
        end_pump(&self.forth)
        end_pump(&self.back)
        if self.fd > 0:
            close_connection(self.fd, self.made_after == forks)

    cdef int begin(self, int fd, Hub hub, int family, SocketAddress *peer) except -1:
        self.fd = fd
        self.hub = hub
        self.rear = Rear.__new__(Rear)  # first: end() has need of it, whatever fails
        self.rear.fd = -1
        self.rear.made_after = self.made_after = forks
        hub.loop.adopt(self, 0)
        hub.connections += 1
        hub.loop.touch(self)
        self.rear.front = self
        try:
            self.connect_timer = hub.loop.call_later(self.connect_timeout_s, self.give_up)
            self.connect_next()
        except Exception:  # the listener would take it for its own
            self.ready_raised()
        return 0

    cdef int connect_next(self) except -1:
        """Try the next address; without one, end."""
        cdef int error
        for family, self.target in self.targets:
            sock = None
            try:
                sock = socket(family, SOCK_STREAM)
                sock.setblocking(False)
                error = sock.connect_ex(self.target)
                if family != AF_UNIX and error in (0, EINPROGRESS):
                    sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                if error in (0, EINPROGRESS):
                    self.rear.fd = sock.detach()
                else:
                    self.refusals.append(f"{self.target!r}: {os.strerror(error)}")
            except (OSError, ValueError) as problem:
                self.refusals.append(f"{self.target!r}: {problem}")
            finally:
                if sock is not None:
                    sock.close()
            if self.rear.fd >= 0:
                self.is_connecting = True
                self.loop.adopt(self.rear, WRITABLE)
                if not self.has_hung_up:  # the client may be gone before that stands
                    self.watch(FAILURE)
                return 0
        logger.warning("a relay can't connect to %s",
                       "; ".join(self.refusals) or "anything: there is no address")
        return self.end()

    cdef int connected(self) except -1:
        """The attempt to connect is over: begin to move, or try the next address."""
        cdef int error
        if self.has_ended:  # earlier in this turn of the loop
            return 0
        error = error_of(self.rear.fd)
        self.is_connecting = False
        # These two are errors of a connection that was established: RST in the place of
        # SYN+ACK is ECONNREFUSED.
        if error and error not in (ECONNRESET, EPIPE):
            self.drop_rear()
            self.refusals.append(f"{self.target!r}: {os.strerror(error)}")
            return self.connect_next()
        self.connect_timer.cancel()
        self.connect_timer = None
        start_pump(&self.forth, self.fd, self.rear.fd, &self.back)
        start_pump(&self.back, self.rear.fd, self.fd, &self.forth)
        remember(&self.forth, self.early_error)
        remember(&self.back, error)
        return self.fail() if error or self.early_error else self.work(True, True)

    def give_up(self):
        """Internal: the time for connecting is over."""
        if self.has_ended:  # earlier in this turn of the loop
            return
        logger.warning("a relay can't connect within %s s to %s", self.connect_timeout_s,
                       "; ".join([*self.refusals, f"{self.target!r}: no answer"]))
        self.end()

    cdef int ready(self, int events) except -1:
        if events & (FAILURE | HANG_UP):
            self.has_hung_up = True
            return self.hung_up(self, events)
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
        if back:
            run_pump(&self.back, loop.scratch, loop.scratch_size)
        if self.forth.moved + self.back.moved != moved:
            loop.touch(self)
        if self.forth.state == PUMP_FAILED or self.back.state == PUMP_FAILED:
            return self.fail()
        if self.forth.state == PUMP_ENDED and self.back.state == PUMP_ENDED:
            self.is_complete = True
            return self.end()
        self.watch(interest(&self.forth, &self.back, self.has_hung_up))
        self.rear.watch(interest(&self.back, &self.forth, self.rear.has_hung_up))
        return 0

    cdef int hung_up(self, Watched side, int events) except -1:
        """One side has failed, or hung up: of AF_UNIX as its peer was closed, else as both
        directions were ended in order."""
        cdef Pump *from_it = &self.forth if side is self else &self.back
        cdef int64_t moved = from_it.moved
        cdef int error
        if self.has_ended:
            return 0
        if self.is_connecting:
            return self.hung_up_early(events)
        # What it had sent comes before its failure, and recv(2) before SO_ERROR: only
        # until the error is taken does recv(2) tell FIN from RST.
        drain_pump(from_it, self.loop.scratch, self.loop.scratch_size)
        if from_it.moved != moved:
            self.loop.touch(self)
        self.work(True, True)
        if self.has_ended or (from_it.has_ended and from_it.reverse.state == PUMP_ENDED):
            return 0  # all that this side has to do with is done
        error = failure_of(from_it)
        return self.fail() if error or events & FAILURE else 0

    cdef int hung_up_early(self, int events) except -1:
        """The client has failed or hung up, and the rear is not known to be connected."""
        cdef SocketAddress peer
        cdef int error = error_of(self.fd)
        if not error and not events & FAILURE:
            return self.watch(0)
        self.early_error = error or ECONNRESET
        peer.size = sizeof(peer.storage)
        if libc.getpeername(self.rear.fd, <sockaddr *>&peer.storage, &peer.size) < 0:
            return self.end()
        return self.connected()  # its event comes in this turn, or in the next one

    cdef int fail(self) except -1:
        """Pass on what was received and is taken at once, and end by resets."""
        drain_pump(&self.forth, self.loop.scratch, self.loop.scratch_size)
        drain_pump(&self.back, self.loop.scratch, self.loop.scratch_size)
        return self.end()

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
            if not self.is_complete and self.made_after == forks:
                for each in (fd, self.rear.fd):
                    if each >= 0:
                        reset_on_close(each)
            self.drop_rear()
            self.rear.front = None
            self.rear = None
            self.loop.drop(self)
            self.fd = -1
            libc.close(fd)
            self.hub.connection_ended()


cdef int interest(const Pump *from_it, const Pump *to_it, bint has_hung_up) noexcept:
    """What a side is watched for."""
    cdef int wanted = ((READABLE if from_it.state == PUMP_READS else 0)
                       | (WRITABLE if to_it.state == PUMP_WRITES else 0))
    if wanted or has_hung_up or (from_it.has_ended and to_it.state == PUMP_ENDED):
        return wanted
    return FAILURE


cdef void close_connection(int fd, bint by_reset) noexcept nogil:
    if by_reset:
        reset_on_close(fd)
    libc.close(fd)


def new_connection(targets, connect_timeout_s, counters):
    """Internal: a relayed connection for an accepted fd."""
    cdef Front made = Front.__new__(Front)
    made.targets = iter(targets)
    made.refusals = []
    made.connect_timeout_s = connect_timeout_s
    made.counters = counters
    return made
