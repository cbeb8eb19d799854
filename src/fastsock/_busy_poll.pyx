"""Busy-polling before sleeping, for sockets that asked for it (set_busy_poll).

Why: falling asleep and being woken is most of a round trip. A thread that keeps
asking for a while, on a processor of its own, sees the answer as soon as it is
there.

Rules: off unless asked for. It belongs to the object that asked, not to the fd:
the object's address is kept beside the fd, and a new socket on the fd starts
without. It never goes past the deadline. The GIL is released. A socket whose
busy-polls keep failing stops busy-polling and tries again now and then, so that an idle
connection costs nothing. Where there is no MSG_DONTWAIT, poll(2) is asked instead.
"""

import os

from libc.stdint cimport int64_t, uint32_t

cimport fastsock._libc as libc
from fastsock._arguments cimport as_size
from fastsock._deadline cimport NO_DEADLINE, monotonic_ns
from fastsock._fdtable cimport (
    FASTSOCK_FD_SHARED, FastsockBusyPoll, fastsock_busy_poll_of, fastsock_enter,
    fastsock_leave, fastsock_owned_fd, state_of,
)
from fastsock._libc cimport (
    EAGAIN, EINTR, EWOULDBLOCK, SOL_SOCKET, poll, pollfd, setsockopt,
)
from fastsock._platform cimport FASTSOCK_DONTWAIT, FASTSOCK_SO_BUSY_POLL
from fastsock._python cimport PyErr_CheckSignals
from fastsock._stats cimport FASTSOCK_COUNT, POLL, counters

cdef enum:
    # Longer than this is no short wait any more: a socket should sleep then.
    LONGEST_BUSY_POLL_US = 1000000
    # After so many failures in a row, busy-poll only at every so many waits.
    FAILURES_TO_SUSPEND = 8
    WAITS_A_PROBE = 64
    # Signal handlers run at least so often.
    SLICE_NS = 2000000


cdef int busy_poll(SocketHead *sock, int fd, FdState *state, const Operation *operation,
                   void *arguments, int64_t deadline_ns, Py_ssize_t *result,
                   int *error) except -1:
    """Try the call until it does not say EAGAIN, for as long as the socket asked.

    Returns 0 if it did all the time, or this socket does not busy-poll now, or has lost
    the fd, or where only poll(2) was asked; else 1, with what the call returned.
    Raises what a signal handler raises.
    """
    cdef FastsockBusyPoll *asked = state.busy_poll
    cdef int64_t now_ns, end_ns, slice_end_ns
    cdef bint is_over
    if asked.owner != <const void *>sock or asked.busy_poll_us == 0:
        return 0
    if asked.failures >= FAILURES_TO_SUSPEND:
        asked.skipped += 1
        if asked.skipped < WAITS_A_PROBE:
            return 0
        asked.skipped = 0
    now_ns = monotonic_ns()
    end_ns = now_ns + <int64_t>asked.busy_poll_us * 1000
    if deadline_ns != NO_DEADLINE:
        end_ns = min(end_ns, deadline_ns)
    while True:
        # In slices: a signal that comes while we busy-poll interrupts nothing.
        slice_end_ns = min(end_ns, now_ns + SLICE_NS)
        if FASTSOCK_DONTWAIT:
            is_over = try_until(sock, fd, state, operation, arguments, slice_end_ns, result,
                                error)
        else:
            is_over = poll_until(sock, fd, state, operation.events, slice_end_ns)
        if is_over:
            asked.failures = 0
            FASTSOCK_COUNT(counters.busy_polls_won, 1)
            return FASTSOCK_DONTWAIT != 0
        PyErr_CheckSignals()
        now_ns = monotonic_ns()
        if now_ns >= end_ns or sock.fd != fd:
            break
    if asked.failures < FAILURES_TO_SUSPEND:
        asked.failures += 1
    return 0


cdef bint try_until(SocketHead *sock, int fd, FdState *state, const Operation *operation,
                    void *arguments, int64_t end_ns, Py_ssize_t *result,
                    int *error) noexcept:
    """Try again and again until `end_ns`; was there an answer other than "not yet"?"""
    cdef int64_t calls = 0
    cdef bint has_answer = False
    fastsock_enter(state)
    with nogil:
        # Another thread may close the socket, and the number be another's by then.
        while fastsock_owned_fd(<const int *>&sock.fd) == fd:
            result[0] = operation.run(fd, arguments, FASTSOCK_DONTWAIT)
            error[0] = libc.errno
            calls += 1
            if result[0] >= 0 or error[0] not in (EAGAIN, EWOULDBLOCK, EINTR):
                has_answer = True
                break
            if monotonic_ns() >= end_ns:
                break
    fastsock_leave(state)
    FASTSOCK_COUNT(counters.system_calls[operation.name], calls)
    return has_answer


cdef bint poll_until(SocketHead *sock, int fd, FdState *state, short events,
                     int64_t end_ns) noexcept:
    """Look again and again until `end_ns`: may the call be made now? It was not."""
    cdef pollfd watched
    cdef int64_t looks = 0
    cdef int found = 0
    watched.fd = fd
    watched.events = events
    fastsock_enter(state)
    with nogil:
        while fastsock_owned_fd(<const int *>&sock.fd) == fd:
            found = poll(&watched, 1, 0)
            looks += 1
            if found > 0 or monotonic_ns() >= end_ns:
                break
    fastsock_leave(state)
    FASTSOCK_COUNT(counters.system_calls[<int>POLL], looks)
    return found > 0


cdef Py_ssize_t default_busy_poll_us = 0


def set_busy_poll(microseconds, /):
    """Have every socket that is made from now on busy-poll: see socket.set_busy_poll().

    Parameters
    ----------
    microseconds : int
        0 (off, the default) to 1,000,000. The environment variable FASTSOCK_BUSY_POLL_US
        sets it at import, unless it is empty.
    """
    global default_busy_poll_us
    default_busy_poll_us = checked(microseconds)


cdef int apply_default_busy_poll(SocketHead *sock) except -1:
    if default_busy_poll_us:
        set_socket_busy_poll(sock, default_busy_poll_us)
    return 0


cdef Py_ssize_t checked(object microseconds) except -1:
    cdef Py_ssize_t busy_poll_us = as_size(microseconds)
    if not 0 <= busy_poll_us <= LONGEST_BUSY_POLL_US:
        raise ValueError(f"a busy poll takes 0 to {LONGEST_BUSY_POLL_US} microseconds, "
                         f"not {busy_poll_us}")
    return busy_poll_us


cdef int set_socket_busy_poll(SocketHead *sock, object microseconds) except -1:
    """Have the socket busy-poll for so long before each sleep; 0 ends it.

    The kernel's own busy polling of a network device (SO_BUSY_POLL) is set too,
    where it is allowed; it needs CAP_NET_ADMIN to be raised.
    """
    cdef Py_ssize_t busy_poll_us = checked(microseconds)
    cdef FdState *state = state_of(sock.fd)
    cdef FastsockBusyPoll *asked
    cdef int busy_us
    if sock.fd < 0:
        raise OSError(libc.EBADF, "set_busy_poll() on a closed socket")
    if state.flags & FASTSOCK_FD_SHARED:
        raise OSError(libc.ENOMEM, f"no room to remember the busy poll of fd {sock.fd}")
    if state.busy_poll == NULL and busy_poll_us == 0:
        return 0
    asked = fastsock_busy_poll_of(state)
    if asked == NULL:
        raise MemoryError
    asked.owner = <const void *>sock if busy_poll_us else NULL
    asked.busy_poll_us = <uint32_t>busy_poll_us
    asked.failures = asked.skipped = 0
    if FASTSOCK_SO_BUSY_POLL >= 0:
        busy_us = <int>busy_poll_us
        setsockopt(sock.fd, SOL_SOCKET, FASTSOCK_SO_BUSY_POLL, &busy_us, sizeof(busy_us))
    return 0


def _from_environment():
    text = os.environ.get("FASTSOCK_BUSY_POLL_US") or "0"
    try:
        set_busy_poll(int(text))
    except ValueError:
        raise ImportError("FASTSOCK_BUSY_POLL_US must be a whole number of microseconds, "
                          f"0 to {LONGEST_BUSY_POLL_US}, not {text!r}") from None


_from_environment()
