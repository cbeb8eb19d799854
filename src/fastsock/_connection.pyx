"""Naming, connecting and accepting: bind, connect, listen, accept, shutdown.

Rules: a connect(2) that was interrupted, or that a socket with a timeout began,
goes on in the kernel and is waited for, never started again; the kernel's word
on how it ended is SO_ERROR (connect(2), EINPROGRESS). An accepted fd belongs to
an object or is closed.
"""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint16_t

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress, from_sockaddr, parse_address
from fastsock._deadline cimport NO_DEADLINE, deadline_after
from fastsock._errors cimport attach, raise_errno, raise_timeout
from fastsock._fdtable cimport (
    FdState, fastsock_mode_changes, fastsock_timeout_now, state_of,
)
from fastsock._libc cimport (
    EAGAIN, ECONNABORTED, EINPROGRESS, EINTR, EISCONN, EWOULDBLOCK, POLLERR, POLLIN, POLLOUT,
    SO_ERROR, SOL_SOCKET, poll, pollfd, sockaddr, socklen_t,
)
from fastsock._lifecycle cimport adopt_fd
from fastsock._operation cimport RECEIVE, Operation
from fastsock._platform cimport (
    FASTSOCK_ACCEPT_INHERITS_NONBLOCK, fastsock_accept, fastsock_is_nonblocking,
    fastsock_set_nonblocking,
)
from fastsock._python cimport PyErr_CheckSignals, PySys_Audit
from fastsock._stats cimport FASTSOCK_COUNT, POLL, counters
from fastsock._stats cimport ACCEPT as NAME_ACCEPT
from fastsock._traits cimport PLAIN
from fastsock._wait cimport TIMED_OUT, Budget, budget_of, call, wait


cdef int bind(SocketHead *sock, object address) except -1:
    """bind(2), after the audit event socket.bind."""
    cdef SocketAddress parsed
    cdef int fd, failed, error
    parse_address(sock, address, &parsed, "bind")
    PySys_Audit("socket.bind", "OO", <PyObject *>sock, <PyObject *>address)
    fd = sock.fd
    with nogil:
        failed = libc.bind(fd, <sockaddr *>&parsed.storage, parsed.size)
        error = libc.errno
    if failed:
        raise_errno(error)
    return 0


cdef int connect(SocketHead *sock, object address) except -1:
    """connect(2), and wait for it as long as the socket's timeout allows."""
    cdef bint timed_out = False
    cdef int error = establish(sock, address, "connect", &timed_out)
    if timed_out:
        raise_timeout()
    if error:
        raise_errno(error)
    return 0


cdef int connect_ex(SocketHead *sock, object address) except? -1:
    """As `connect`, but the error number is returned: EWOULDBLOCK for a timeout."""
    cdef bint timed_out = False
    return establish(sock, address, "connect_ex", &timed_out)


cdef int establish(SocketHead *sock, object address, str caller,
                   bint *timed_out) except? -1:
    """Connect; returns 0 or the error number. Raises for a bad address only, and
    what a signal handler raises."""
    cdef SocketAddress parsed
    cdef FdState *state
    cdef int fd, failed, error
    cdef int64_t timeout_ns, current_ns
    cdef uint16_t mode_changes
    parse_address(sock, address, &parsed, caller)
    PySys_Audit("socket.connect", "OO", <PyObject *>sock, <PyObject *>address)
    fd = sock.fd
    timeout_ns = sock.timeout_ns
    state = state_of(fd)
    mode_changes = fastsock_mode_changes(state)
    with nogil:
        failed = libc.connect(fd, <sockaddr *>&parsed.storage, parsed.size)
        error = libc.errno
    if not failed:
        return 0
    # By the timeout that the socket has now, as internal_connect().
    current_ns = fastsock_timeout_now(&sock.timeout_ns)
    if error == EINTR:
        PyErr_CheckSignals()
        current_ns = fastsock_timeout_now(&sock.timeout_ns)
        if current_ns == 0:
            return error
    elif error != EINPROGRESS or current_ns == 0:
        return error
    elif current_ns < 0:
        if timeout_ns == 0 or fastsock_mode_changes(state) == mode_changes:
            return error  # O_NONBLOCK was set through a dup
        # Another thread's settimeout() set it and has cleared it again (the stdlib raises).
        current_ns = timeout_ns
    return finish_connecting(sock, fd, current_ns, timed_out)


cdef int finish_connecting(SocketHead *sock, int fd, int64_t timeout_ns,
                           bint *timed_out) except? -1:
    """Wait until the connection stands or failed; returns 0 or the error number."""
    cdef int64_t deadline_ns = deadline_after(timeout_ns)
    cdef int outcome
    cdef socklen_t size
    while True:
        if wait(sock, fd, POLLOUT | POLLERR, deadline_ns) == TIMED_OUT:
            timed_out[0] = True
            return EWOULDBLOCK
        outcome = 0
        size = sizeof(outcome)
        if libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome, &size) < 0:
            return libc.errno
        if outcome == EISCONN:
            return 0
        if deadline_ns == NO_DEADLINE or outcome not in (EAGAIN, EWOULDBLOCK):
            return outcome


cdef int listen(SocketHead *sock, int backlog) except -1:
    """listen(2); a backlog below 0 counts as 0, since some systems refuse it."""
    cdef int fd = sock.fd
    cdef int failed, error
    with nogil:
        failed = libc.listen(fd, max(backlog, 0))
        error = libc.errno
    if failed:
        raise_errno(error)
    return 0


cdef Py_ssize_t call_accept(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef SocketAddress *peer = <SocketAddress *>arguments
    peer.size = sizeof(peer.storage)
    return fastsock_accept(fd, <sockaddr *>&peer.storage, &peer.size)


cdef Operation ACCEPT = Operation(call_accept, POLLIN, RECEIVE, NAME_ACCEPT)


cdef tuple accept(SocketHead *sock, object cls):
    """accept(2): (a new object of class `cls`, the peer's address).

    The new socket has the default timeout. Where there is none it blocks, also
    where the system let it inherit the listener's O_NONBLOCK (bpo-7995).
    """
    cdef Budget budget = budget_of(sock)
    cdef SocketAddress peer
    # Never tried first: accept(2) has no flag for it, and the listener's O_NONBLOCK
    # may have been cleared through a dup.
    cdef int fd = <int>call(sock, &ACCEPT, &peer, PLAIN, &budget)
    return connection_of(sock, cls, fd, &peer)


cdef tuple connection_of(SocketHead *sock, object cls, int fd, SocketAddress *peer):
    """(a new object of class `cls`, the peer's address), for an accepted fd."""
    cdef object connection = adopt_fd(cls, fd, sock.family, sock.type, sock.proto)
    if FASTSOCK_ACCEPT_INHERITS_NONBLOCK and sock.timeout_ns > 0:
        if (<SocketHead *><PyObject *>connection).timeout_ns < 0 and (
                fastsock_set_nonblocking(fd, False) < 0):
            raise_errno(libc.errno)
    return connection, from_sockaddr(peer)


cdef list accept_many(SocketHead *sock, object cls, Py_ssize_t limit):
    """accept(2) until none waits: one connection is waited for, the others are not.

    accept(2) has no flag that keeps it from waiting. Where the listener's file is
    O_NONBLOCK, which one fcntl(2) tells, it is called until it says EAGAIN; else
    poll(2) is asked before each.
    """
    cdef list connections = [accept(sock, cls)]
    cdef int fd = sock.fd
    cdef FdState *state = state_of(fd)
    cdef uint16_t mode_changes = fastsock_mode_changes(state)
    cdef bint is_nonblocking = fastsock_is_nonblocking(fd) > 0
    cdef SocketAddress peer
    cdef Py_ssize_t accepted
    cdef int error
    while len(connections) < limit and sock.fd == fd:
        if fastsock_mode_changes(state) != mode_changes:  # by another thread's settimeout()
            mode_changes = fastsock_mode_changes(state)
            is_nonblocking = fastsock_is_nonblocking(fd) > 0
        if not is_nonblocking and not has_waiting(fd):
            break
        with nogil:
            accepted = call_accept(fd, &peer, 0)
            error = libc.errno
        FASTSOCK_COUNT(counters.system_calls[<int>NAME_ACCEPT], 1)
        if accepted < 0:
            if error == ECONNABORTED:
                continue
            # EAGAIN: none is left. EINTR: a handler that raises must not lose those who were
            # accepted; it runs when they are handed out. Anything else the next call will meet.
            break
        try:
            connections.append(connection_of(sock, cls, <int>accepted, &peer))
        except BaseException as failure:  # no memory: this one is closed, those before are not
            attach(failure, "accepted", connections)
            raise
    return connections


cdef bint has_waiting(int fd) noexcept:
    """Does one wait to be accepted? False also where poll(2) fails (ENOMEM, EINTR), which
    the next call will meet: raising would lose those who were accepted before."""
    cdef pollfd watched
    cdef int found
    watched.fd = fd
    watched.events = POLLIN
    with nogil:
        found = poll(&watched, 1, 0)
    FASTSOCK_COUNT(counters.system_calls[<int>POLL], 1)
    return found > 0


cdef int shutdown(SocketHead *sock, int how) except -1:
    """shutdown(2)."""
    cdef int fd = sock.fd
    cdef int failed, error
    with nogil:
        failed = libc.shutdown(fd, how)
        error = libc.errno
    if failed:
        raise_errno(error)
    return 0


ctypedef int (*NameFunction)(int, sockaddr *, socklen_t *) noexcept nogil


cdef object name_of(SocketHead *sock, NameFunction function):
    cdef SocketAddress name
    cdef int fd = sock.fd
    cdef int failed, error
    name.size = sizeof(name.storage)
    with nogil:
        failed = function(fd, <sockaddr *>&name.storage, &name.size)
        error = libc.errno
    if failed:
        raise_errno(error)
    return from_sockaddr(&name)


cdef object getsockname(SocketHead *sock):
    """getsockname(2): the local address."""
    return name_of(sock, libc.getsockname)


cdef object getpeername(SocketHead *sock):
    """getpeername(2): the peer's address."""
    return name_of(sock, libc.getpeername)
