"""One connection of a server: its beginning, reading, and its end.

Job: the life of a connection. Sending is in _sender.pyx, its public methods are in
_transport_methods.pyx; what is done with what arrives is said by classes derived from
these: a protocol's, a handler's.

Rules: nothing blocks. A connection that is to end is ended at the loop's next turn,
so that its fd is open as long as anybody is at work with it. An exception of the
protocol ends its own connection; the loop sees only KeyboardInterrupt and SystemExit.
"""

import logging
import sys

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.string cimport memcpy

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress, from_sockaddr
from fastsock._buffers cimport borrow_readable
from fastsock._hub cimport Hub
from fastsock._libc cimport EAGAIN, EINTR, EWOULDBLOCK
from fastsock._python cimport (
    BufferView, NewBytes, PyBuffer_Release, PyBytes_AS_STRING, _PyBytes_Resize,
)
from fastsock._readiness cimport READABLE, WRITABLE

cdef object logger = logging.getLogger("fastsock.server")

# What the network does to connections every day is no reason to be loud.
cdef tuple EVERYDAY = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError,
                       TimeoutError)

MADE_BY_SERVER = object()

cdef enum:
    SHUT_WR = 1
    LARGE = 4096                # a receive whose copy costs more than an object of its size
    UNLOGGED_WRITES = 4         # asyncio's LOG_THRESHOLD_FOR_CONNLOST_WRITES, less the end
    MOST_TLS_ANSWERS = 65536    # more than two thousand that the peer asked for and did not read


cdef class Transport(Sender):
    """The moving half of a connection; no type to make objects of."""

    def __cinit__(self, made_by=None):
        # Its methods rely on begin(): type(transport).__new__() must make none without it.
        if made_by is not MADE_BY_SERVER:
            raise TypeError("connections are made by a Server")

    def __dealloc__(self):
        # 0 is what an object has that never began.
        if self.fd > 0 and not self.has_sock:
            libc.close(self.fd)

    def __repr__(self):
        state = ("ended" if self.has_ended else "closing" if self.closing
                 else "open" if self.is_open else "beginning")
        return f"<{type(self).__name__} fd={self.fd} {state}>"

    cdef int begin(self, int fd, Hub hub, int family, SocketAddress *peer) except -1:
        """Take an accepted fd over. Raises what is not this connection's fault."""
        self.fd = fd
        self.hub = hub
        self.family = family
        self.high_water = hub.high_water
        self.low_water = hub.low_water
        if peer.size <= PEER_ROOM:
            self.peer_size = peer.size
            memcpy(self.peer, &peer.storage, peer.size)
        else:  # a path
            self.long_peer_name = from_sockaddr(peer)
        hub.loop.adopt(self, READABLE)
        hub.connections += 1
        self.is_active()
        if hub.ssl_context is None:
            return self.establish()
        try:
            self.tls = TlsFilter(hub.ssl_context, hub.parent is None, hub.server_hostname)
            if hub.parent is not None:
                self.tls.shake_hands()  # a client speaks first
        except Exception as error:
            if hub.parent is None:
                self.callback_raised("TLS")
            else:
                self.fail(error)  # connect() reports it
        else:
            self.handshake_timer = hub.loop.call_later(
                hub.handshake_timeout_s, self._end_handshake)
            self.send_soon(self.tls.to_send())
        return 0

    cdef int establish(self) except -1:
        """Tell the protocol of its connection."""
        if self.handshake_timer is not None:
            self.handshake_timer.cancel()
            self.handshake_timer = None
        self.is_open = True
        self.is_dispatching = True
        try:
            self.opened()
        finally:
            self.is_dispatching = False
            self.flush()  # also where KeyboardInterrupt leaves the loop
        return 0

    def _end_handshake(self):
        """Internal: the time for the TLS handshake is over."""
        self.fail(TimeoutError("the TLS handshake took longer than "
                               f"{self.hub.handshake_timeout_s} s"))

    cdef int set_interest(self) except -1:
        """Watch for what is wanted now."""
        cdef int wanted = 0
        if self.is_ending:
            return 0
        if not (self.is_read_paused or self.unread is not None or self.is_held
                or self.has_peer_ended or self.closing):
            wanted = READABLE
        if self.pending_size or self.region is not None:
            wanted |= WRITABLE
        return self.watch(wanted)

    # What the classes derived from this do.

    cdef int opened(self) except -1:
        """The connection stands."""
        raise NotImplementedError

    cdef int received(self, const char *data, Py_ssize_t size) except -1:
        """Bytes arrived."""
        raise NotImplementedError

    cdef int received_bytes(self, bytes data) except -1:
        """Bytes arrived, and need not be copied to be kept; see read_into_bytes()."""
        return self.received(PyBytes_AS_STRING(<PyObject *>data), PyBytes_GET_SIZE(data))

    cdef int peer_ended(self) except -1:
        """The peer sends no more. Whoever does not want to send either closes."""
        raise NotImplementedError

    cdef int lost(self, object reason) except -1:
        """The connection is gone: by an exception, or None."""
        raise NotImplementedError

    # Reading.

    cdef int ready(self, int events) except -1:
        if self.is_ending:
            return 0
        if events & ~READABLE and (self.pending_size or self.region is not None):
            self.flush()
        if self.interest & READABLE and events & ~WRITABLE:
            self.read()
        return 0

    cdef int ready_raised(self) except -1:
        # No memory, mostly: what a protocol raises is met earlier.
        return self.callback_raised("the work")

    cdef int read(self) except -1:
        """Receive into the loop's memory."""
        cdef Py_ssize_t size = libc.recv(self.fd, self.loop.scratch, self.loop.scratch_size, 0)
        if size > 0:
            return self.take_in(None, self.loop.scratch, size)
        return self.read_nothing(size, libc.errno)

    cdef int read_into_bytes(self) except -1:
        """As read(), into the object that is handed over: what is large is not copied.

        Chosen where the last one was large, since whoever sends much does so again.
        """
        cdef Py_ssize_t room = self.loop.scratch_size
        cdef Py_ssize_t size
        cdef int error
        cdef PyObject *made = NewBytes(NULL, room)
        size = libc.recv(self.fd, PyBytes_AS_STRING(made), room, 0)
        error = libc.errno
        if size <= 0:
            Py_DECREF(<object>made)
            return self.read_nothing(size, error)
        if size < room:
            _PyBytes_Resize(&made, size)
        data = <bytes>made
        Py_DECREF(data)  # `data` owns it
        return self.take_in(data, PyBytes_AS_STRING(made), size)

    cdef int read_nothing(self, Py_ssize_t size, int error) except -1:
        """recv(2) said that the peer has ended, or nothing is there, or an error."""
        if size == 0:
            return self.take_eof()
        if error in (EAGAIN, EWOULDBLOCK, EINTR):
            return 0
        return self.fail_by(error)

    cdef int take_in(self, bytes made, const char *data, Py_ssize_t size) except -1:
        """Bytes arrived, in an object of their own or not: to the protocol, and send what
        it wrote."""
        self.comes_large = size >= LARGE
        self.is_active()
        self.is_dispatching = True
        try:
            if made is not None:
                self.received_bytes(made)
            elif self.tls is None:
                self.received(data, size)
            else:
                self.take_in_tls(data, size)
        finally:
            self.is_dispatching = False
            if self.pending_size or self.region is not None:
                self.flush()  # also where KeyboardInterrupt leaves the loop
        return 0

    cdef int take_in_tls(self, const char *data, Py_ssize_t size) except -1:
        cdef bint was_established = self.tls.is_established
        pieces = None
        try:
            pieces = self.tls.feed(data, size)
        except Exception as error:
            self.send_soon(self.tls.to_send())  # the alert that says why
            self.is_dispatching = False
            self.flush()
            self.fail(error)
        if pieces is None:
            return 0
        self.answer_by_tls(self.tls.to_send())
        if not was_established and self.tls.is_established:
            self.establish()
            self.is_dispatching = True
        for piece in pieces:
            if self.closing:
                break
            self.received(PyBytes_AS_STRING(<PyObject *>piece), PyBytes_GET_SIZE(piece))
        if self.tls.has_ended and self.unread is None and not self.closing:
            self.take_eof()
        return 0

    cdef int answer_by_tls(self, bytes answer) except -1:
        """Send what TLS itself answers: to a handshake, or to each request for new keys.

        The protocol can't stop these, and whether it stops reading is its own affair: who
        asks without end, and reads nothing, is ended here.
        """
        if self.pending_size == 0:
            self.tls_answers = 0
        self.send_soon(answer)
        if self.pending_size:
            self.tls_answers += PyBytes_GET_SIZE(answer)
            if self.tls_answers > MOST_TLS_ANSWERS and self.pending_size > MOST_TLS_ANSWERS:
                self.flush()
                if self.pending_size > MOST_TLS_ANSWERS:
                    return self.fail(ConnectionAbortedError(
                        "the peer does not read what it asked TLS for"))
        return 0

    cdef int take_eof(self) except -1:
        self.has_peer_ended = True
        if not self.is_open:
            return self.fail(None)
        self.set_interest()
        self.is_dispatching = True
        try:
            self.peer_ended()
        finally:
            self.is_dispatching = False
            self.flush()
        if self.tls is not None and not (self.closing or self.is_held):
            self.close_gently()  # TLS has no half-closed connections here
        return self.flush()

    # Writing.

    cdef int say(self, object data) except -1:
        """Send what the protocol says, bytes or another buffer."""
        cdef BufferView view
        if self.tls is not None:
            self.tls.encrypt(data)
            return self.send_soon(self.tls.to_send())
        if type(data) is bytes:
            return self.send_soon(<bytes>data)
        borrow_readable(data, &view)  # may change: sent or copied now
        try:
            return self.send_memory(<const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef int nothing_pending(self) except -1:
        """All was sent: what waited for that?"""
        if self.interest & WRITABLE:
            self.set_interest()
        if self.closing:
            return self.end()
        if self.is_eof_wanted and not self.has_ended:
            libc.shutdown(self.fd, SHUT_WR)  # failing, the connection is gone: read() says so
        return 0

    # The end.

    cdef int fail(self, object reason) except -1:
        """End it now, without sending what waits."""
        if self.is_ending:
            return 0
        if reason is not None and not isinstance(reason, EVERYDAY):
            logger.info("%r is lost: %r", self, reason)
        self.reason = reason
        self.closing = True
        self.first = None
        self.others = None
        self.start = 0
        self.region = None
        self.pending_size = 0
        return self.end()

    cdef int callback_raised(self, str what) except -1:
        """Log the exception that is being handled, and end the connection with it, unless it
        has ended already.

        KeyboardInterrupt and SystemExit go on, and leave the loop. Every other is met
        here, also those that are no Exception, such as asyncio.CancelledError.
        """
        error = sys.exc_info()[1]
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error
        if self.is_ending:
            logger.error("%s of %r raised", what, self, exc_info=error)
            return 0
        logger.error("%s of %r raised: the connection is closed", what, self, exc_info=error)
        if self.is_dispatching and self.pending_size:
            self.flush()  # what was written before, as far as the kernel takes it
        return self.fail(error)

    cdef int callback_failed(self, str what) except -1:
        """Log the exception that is being handled; the connection stays open.

        KeyboardInterrupt and SystemExit leave the loop.
        """
        error = sys.exc_info()[1]
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise error
        logger.error("%s of %r raised", what, self, exc_info=error)
        return 0

    cdef int write_is_lost(self) except -1:
        """Something was written after the end: asyncio logs that from the fifth time on."""
        if self.lost_writes < UNLOGGED_WRITES:
            self.lost_writes += 1
        elif self.tls is None:
            logger.warning("socket.send() raised exception.")
        else:
            logger.warning("SSL connection is closed")
        return 0

    cdef int end_now(self) except -1:
        """The server has ended: say what can be said without waiting, then go."""
        if not self.is_ending:
            self.close_gently()
            self.fail(None)
        return 0

    cdef int close_gently(self) except -1:
        """End it when all was sent; nothing is read any more."""
        if self.closing:
            return 0
        if self.tls is not None and self.tls.is_established:
            self.tls.say_goodbye()
            self.send_soon(self.tls.to_send())
        self.closing = True
        self.set_interest()
        if not self.is_dispatching or not (self.pending_size or self.region is not None):
            self.flush()
        return 0

    cdef int timed_out(self) except -1:
        seconds = self.loop.idle_timeout_ns / 1e9
        return self.fail(TimeoutError(f"nothing was received or sent for {seconds} s"))

    cdef int end(self) except -1:
        """Have it ended at the loop's next turn."""
        if not self.is_ending:
            # In this order: where there is no memory, it is ended by the next who tries.
            self.loop.soon.append((self._finish, ()))
            self.is_ending = True
            self.watch(0)
        return 0

    def _finish(self):
        """Internal: the end. The protocol is told, then the fd closed."""
        cdef int fd = self.fd
        self.has_ended = True
        if self.handshake_timer is not None:
            self.handshake_timer.cancel()  # it would keep this object until it is due
        try:
            if self.is_open:
                self.lost(self.reason)
        finally:
            self.loop.drop(self)
            self.fd = -1
            if self.sock is not None:
                self.sock.detach()
            libc.close(fd)
            waiter = self.hub.waiter
            self.hub.waiter = None
            self.hub.connection_ended()
            if waiter is not None:
                waiter.lost(self.reason)
