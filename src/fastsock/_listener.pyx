"""A listening socket on a loop: accepts what waits, within the limits. And what waits for an
outgoing connection, whose logic is in fastsock/_outgoing.py.

Rules: above max_connections, and where the system has no fds or memory left, the
listener is not watched: it never spins. It is watched again when a connection ended,
and after a second in the second case. What waits meanwhile, waits in the backlog.
"""

import logging
import os

from cpython.object cimport PyObject

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress
from fastsock._errors cimport caught
from fastsock._hub cimport Connection
from fastsock._libc cimport (
    EAGAIN, EBADF, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, EWOULDBLOCK, sockaddr,
)
from fastsock._object cimport SocketHead
from fastsock._platform cimport fastsock_accept_nonblocking, fastsock_no_sigpipe
from fastsock._readiness cimport READABLE, WRITABLE

cdef object logger = logging.getLogger("fastsock.server")

cdef enum:
    MOST_AT_ONCE = 64           # accepted before others have their turn
    RETRY_S = 1
    HUNG_UP = 0x10              # POLLHUP


cdef class WhenWritable(Watched):
    """Internal: calls a function whenever an fd is writable, or has an error.

    Parameters
    ----------
    loop : Loop
    fd : int
        It stays the caller's.
    function : callable
        Without arguments.
    """

    def __init__(self, Loop loop, fd, function):
        self.fd = fd
        self.function = function
        loop.adopt(self, WRITABLE)

    def close(self):
        """Watch no more; the fd stays open."""
        if self.fd >= 0:
            self.loop.drop(self)
            self.fd = -1
            self.function = None

    cdef int ready(self, int events) except -1:
        self.function()
        return 0


cdef class Listener(Watched):
    """Internal: accepts for a Hub.

    Parameters
    ----------
    sock : socket.socket
        Listening and non-blocking; it stays the caller's.
    hub : Hub
    """

    def __init__(self, sock, Hub hub):
        self.fd = sock.fileno()
        self.sock = sock
        self.hub = hub
        self.family = sock.family
        hub.loop.adopt(self, READABLE)

    def close(self):
        """Watch no more; the socket stays open."""
        if self.retry is not None:
            self.retry.cancel()
        if self.fd >= 0:
            self.loop.drop(self)
            self.fd = -1

    def resume(self):
        """Accept again, if there is room."""
        if not (self.is_paused or self.interest):
            return  # it is gone, which was logged
        if self.is_closed_by_others():
            self.is_gone()
        elif self.is_paused and self.hub.connections < self.hub.max_connections:
            if self.retry is not None:
                self.retry.cancel()
                self.retry = None
            try:
                self.watch(READABLE)
            except OSError as error:  # ENOSPC, ENOMEM of epoll_ctl(2)
                self.short_of(caught(error, OSError).errno)
            else:
                self.is_paused = False

    cdef int ready(self, int events) except -1:
        if not self.accept_waiting() and events & HUNG_UP and self.interest:
            self.is_gone()  # for AF_UNIX accept(2) says that nobody waits
        return 0

    def accept_rest(self):
        """Accept what waits, before the socket is closed: nobody who was let in is lost."""
        while not self.is_paused and self.accept_waiting():
            pass

    cdef int accept_waiting(self) except -1:
        """Accept some: 1 if there may be more."""
        cdef SocketAddress peer
        cdef Connection connection
        cdef int accepted
        if self.is_closed_by_others():
            return self.is_gone()
        cdef int _count
        cdef int taken = 0
        cdef int refused = 0
        for _count in range(MOST_AT_ONCE):
            if self.hub.connections >= self.hub.max_connections:
                return self.pause()
            peer.size = sizeof(peer.storage)
            accepted = fastsock_accept_nonblocking(
                self.fd, <sockaddr *>&peer.storage, &peer.size)
            if accepted < 0:
                if libc.errno in (EAGAIN, EWOULDBLOCK):
                    return 0
                if libc.errno in (EMFILE, ENFILE, ENOBUFS, ENOMEM):
                    return self.short_of(libc.errno)
                if libc.errno in (EBADF, EINVAL):
                    return self.is_gone()
                # The peer is gone again, or its network: accept(2) hands its errors on.
                continue
            fastsock_no_sigpipe(accepted)
            try:
                connection = self.hub.make_connection()
            except BaseException:
                libc.close(accepted)
                raise
            try:
                connection.begin(accepted, self.hub, self.family, &peer)
            except OSError as error:  # ENOSPC: the kernel watches no more for this user
                refused = caught(error, OSError).errno
            if refused:
                return self.short_of(refused)
            taken += 1
        if taken == 0:  # only errors, which may last
            return self.short_of(libc.errno)
        return 1

    cdef bint is_closed_by_others(self) noexcept:
        """Was the socket closed? Its number may be another file's by now, whose connections
        are not ours to accept."""
        return (<SocketHead *><PyObject *>self.sock).fd != self.fd

    cdef int is_gone(self) except -1:
        self.is_paused = False
        logger.error("a listening socket of this server was shut down or closed by somebody "
                     "else: it accepts no more")
        return self.watch(0)

    cdef int pause(self) except -1:
        self.is_paused = True
        return self.watch(0)

    cdef int short_of(self, int error) except -1:
        """The system has none left: say so once, and try again later."""
        logger.warning("accept() failed (%s): accepting again in %d s or when a connection "
                       "has ended", os.strerror(error), RETRY_S)
        # In this order: without memory for the timer it would never be watched again.
        self.retry = self.loop.call_later(RETRY_S, self.resume)
        return self.pause()
