"""Waiting for one socket, and calling at the right time.

Job: everything that may block goes through `call()`, and everything that sleeps
in poll(2) through `wait()`. They know the socket's fd and timeout, and nothing
of what is called.

Rules (PEP 475, and CPython's sock_call_ex):
  * The fd is read again before every system call, under the GIL: a socket that
    another thread closed has fd -1, and the call then fails with EBADF.
  * On EINTR the signal handlers run first; if one raises, its exception wins;
    otherwise the call is made again, with what is left of the time.
  * poll(2) may say ready and be wrong (a datagram with a bad checksum is dropped
    at recv): on EAGAIN a socket with a timeout waits again.
"""

from libc.stdint cimport int64_t

cimport fastsock._libc as libc
from fastsock._deadline cimport NO_DEADLINE, has_passed, remaining_ms
from fastsock._errors cimport raise_errno, raise_timeout
from fastsock._libc cimport EAGAIN, EINTR, EWOULDBLOCK, poll, pollfd
from fastsock._python cimport PyErr_CheckSignals


cdef int wait(SocketHead *sock, short events, int64_t deadline_ns) except -1:
    """Sleep until the socket has one of `events`, fails, or the deadline passes.

    Looks at least once, also when the deadline has passed. Returns READY or
    TIMED_OUT. A closed socket is READY, so that the next call says EBADF.
    """
    cdef pollfd watched
    cdef int found, error, timeout_ms
    watched.events = events
    while True:
        watched.fd = sock.fd
        if watched.fd < 0:
            return READY
        timeout_ms = remaining_ms(deadline_ns)
        with nogil:
            found = poll(&watched, 1, timeout_ms)
            error = libc.errno
        if found > 0:
            return READY
        if found < 0:
            if error != EINTR:
                raise_errno(error)
            PyErr_CheckSignals()
        elif has_passed(deadline_ns):
            return TIMED_OUT


cdef Py_ssize_t call(SocketHead *sock, short events, Operation operation,
                     void *arguments, int64_t deadline_ns) except -1:
    """Make one system call that may block, and return its result (0 or more).

    With a deadline, wait for `events` first. Without one, the file descriptor's
    own mode decides: a blocking one sleeps in the call, with the GIL released;
    a non-blocking one fails with BlockingIOError. Raises OSError, TimeoutError,
    and whatever a signal handler raises.
    """
    cdef Py_ssize_t result
    cdef int error, fd
    while True:
        if deadline_ns != NO_DEADLINE and wait(sock, events, deadline_ns) == TIMED_OUT:
            raise_timeout()
        while True:
            fd = sock.fd
            with nogil:
                result = operation(fd, arguments)
                error = libc.errno
            if result >= 0:
                return result
            if error != EINTR:
                break
            PyErr_CheckSignals()
        if deadline_ns == NO_DEADLINE or error not in (EAGAIN, EWOULDBLOCK):
            raise_errno(error)
