"""Making a system call that may have to wait, at the right time.

Job: everything that may block goes through `call()`, and everything that sleeps
in poll(2) through `wait()`. They know the socket's fd and timeout, and nothing
of what is called.

How: a call that may be tried is tried first, with MSG_DONTWAIT, so that data that
is there costs one system call and, where the call is short, no hand-over of the
GIL. What a try finds is remembered for the fd (_fdtable), as a branch predictor
does; where the last calls found nothing, the next one waits first, so that it
never makes more system calls than the stdlib's. A socket with a timeout waits in
poll(2); a blocking one in the call itself, as the user set it up (SO_RCVTIMEO).

Rules (PEP 475, and CPython's sock_call_ex):
  * After every hand-over of the GIL the socket must still own the fd, or the call
    ends with EBADF: another thread closed it, and the number may be another's.
  * On EINTR the signal handlers run first; if one raises, its exception wins;
    otherwise the call is made again, with what is left of the time.
  * poll(2) may say ready and be wrong (a datagram with a bad checksum is dropped
    at recv): on EAGAIN a socket with a timeout waits again.
  * Another thread may change the timeout during an operation. The deadline is computed
    from the timeout at the start; EAGAIN is judged by the current one (`after_eagain`).
  * The GIL is kept only if no other thread is inside a released call on this fd:
    MSG_DONTWAIT still waits for the kernel's lock of the socket.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t

cimport fastsock._libc as libc
from fastsock._deadline cimport (
    NO_DEADLINE, NS_PER_S, deadline_after, has_passed, monotonic_ns, remaining_ms,
)
from fastsock._errors cimport raise_errno, raise_timeout
from fastsock._fdtable cimport (
    FASTSOCK_HAS_GIL, FdState, fastsock_enter, fastsock_leave, fastsock_mode_changes,
    fastsock_timeout_now, learn, lowat_in_use, state_of,
)
from fastsock._libc cimport (
    EAGAIN, EBADF, EINTR, EWOULDBLOCK, SOL_SOCKET, SO_RCVTIMEO, SO_SNDTIMEO, getsockopt, poll,
    pollfd, socklen_t,
)
from fastsock._operation cimport RECEIVE, Operation
from fastsock._platform cimport FASTSOCK_DONTWAIT
from fastsock._python cimport PyErr_CheckSignals
from fastsock._select cimport timeval
from fastsock._busy_poll cimport busy_poll
from fastsock._stats cimport FASTSOCK_COUNT, POLL, counters
from fastsock._traits cimport MAY_KEEP_GIL, MAY_BUSY_POLL, MAY_TRY_FIRST

# A wait that ends sooner found the socket ready; falling asleep and being woken
# takes longer. Copying data takes 1 ns for some 4 bytes, at the slowest.
cdef enum:
    READY_NS = 4000
    BYTES_A_NS = 4


cdef int check_owner(SocketHead *sock, int fd) except -1:
    """Raise EBADF unless the socket still owns the fd."""
    if sock.fd != fd:
        raise_errno(EBADF)
    return 0


cdef int wait(SocketHead *sock, int fd, short events, int64_t deadline_ns) except -1:
    """Sleep until the fd has one of `events`, fails, or the deadline passes.

    Looks at least once, also when the deadline has passed. Returns READY or
    TIMED_OUT. Raises EBADF when the socket lost the fd meanwhile.
    """
    cdef pollfd watched
    cdef int found, error, timeout_ms
    watched.fd = fd
    watched.events = events
    while True:
        check_owner(sock, fd)
        if fd < 0:
            return READY  # so that the call says EBADF
        timeout_ms = remaining_ms(deadline_ns)
        with nogil:
            found = poll(&watched, 1, timeout_ms)
            error = libc.errno
        FASTSOCK_COUNT(counters.system_calls[<int>POLL], 1)
        if found > 0:
            check_owner(sock, fd)
            return READY
        if found < 0:
            if error != EINTR:
                raise_errno(error)
            PyErr_CheckSignals()
        elif has_passed(deadline_ns):
            return TIMED_OUT


cdef int check_progress(Budget *budget, bint is_done) except -1:
    """Between two calls of one operation: signal handlers, and the deadline of the whole.

    The time runs from the first call on, also while none of them has to wait.
    """
    PyErr_CheckSignals()
    if not is_done:
        if budget.deadline_ns == NO_DEADLINE:
            budget.deadline_ns = deadline_after(budget.timeout_ns)
        elif has_passed(budget.deadline_ns):
            raise_timeout()
    return 0


cdef inline bint may_keep_gil(int traits, FdState *state) noexcept:
    return (FASTSOCK_HAS_GIL and traits & MAY_KEEP_GIL and state.in_flight == 0
            and state.flags == 0)


cdef inline Py_ssize_t run(const Operation *operation, int fd, void *arguments,
                           int extra_flags, bint keep_gil, FdState *state,
                           int *error) noexcept:
    """The system call, with or without the GIL; where it fails, `error` is errno."""
    cdef Py_ssize_t result
    if keep_gil:
        result = operation.run(fd, arguments, extra_flags)
        if result < 0:
            error[0] = libc.errno
        FASTSOCK_COUNT(counters.gil_kept, 1)
    else:
        fastsock_enter(state)
        with nogil:
            result = operation.run(fd, arguments, extra_flags)
            if result < 0:
                error[0] = libc.errno
        fastsock_leave(state)
    FASTSOCK_COUNT(counters.system_calls[operation.name], 1)
    return result


cdef Py_ssize_t call(SocketHead *sock, const Operation *operation, void *arguments,
                     int traits, Budget *budget) except -1:
    """Make one system call that may block, and return its result (0 or more).

    A budget below 0 blocks, one of 0 raises BlockingIOError where nothing is
    ready, one above 0 raises TimeoutError when it is used up. Raises OSError, and
    whatever a signal handler raises.
    """
    cdef int fd = sock.fd
    cdef FdState *state = state_of(fd)
    cdef uint8_t *reluctance = &state.reluctance[operation.direction]
    cdef Py_ssize_t result
    cdef int error = 0
    FASTSOCK_COUNT(counters.calls, 1)
    # Without waiting, MSG_DONTWAIT takes what is there whatever the low-water mark is.
    if lowat_in_use and operation.direction == RECEIVE and budget.timeout_ns != 0:
        traits &= ~MAY_TRY_FIRST
    if not traits & MAY_TRY_FIRST or (reluctance[0] >= 2 and budget.timeout_ns != 0):
        return wait_and_call(sock, fd, state, operation, arguments, traits, budget)
    result = run(operation, fd, arguments, FASTSOCK_DONTWAIT,
                 may_keep_gil(traits, state), state, &error)
    if result >= 0:
        learn(reluctance, False)
        if budget.timeout_ns > 0:
            FASTSOCK_COUNT(counters.polls_saved, 1)
        return result
    if error == EINTR:
        PyErr_CheckSignals()
    elif error not in (EAGAIN, EWOULDBLOCK):
        return raise_errno(error)
    else:
        FASTSOCK_COUNT(counters.tries_failed, 1)
        if budget.timeout_ns == 0:
            return raise_errno(error)
        learn(reluctance, True)
    return wait_and_call(sock, fd, state, operation, arguments, traits, budget)


cdef Step after_eagain(SocketHead *sock, FdState *state, int direction, int64_t timeout_ns,
                       uint16_t mode_changes, int64_t took_ns) noexcept nogil:
    """The next step after EAGAIN, by the socket's current timeout, as in sock_call_impl().

    `timeout_ns` is the timeout at the start of the operation, `mode_changes` the counter
    before the call. If the socket has a timeout now, O_NONBLOCK caused EAGAIN: another thread
    or a signal handler called settimeout() before the call. If it still blocks, EAGAIN is the
    result: O_NONBLOCK was set through a dup, or SO_RCVTIMEO expired. But if settimeout()
    changed the mode and restored it since, the call is repeated (the stdlib raises).
    """
    cdef int64_t current_ns = fastsock_timeout_now(&sock.timeout_ns)
    if timeout_ns == 0 or current_ns == 0:
        return FAIL
    if timeout_ns > 0 or current_ns > 0:
        return POLL_FIRST
    if (fastsock_mode_changes(state) != mode_changes
            and not kernel_timeout_expired(sock.fd, direction, took_ns)):
        return REPEAT
    return FAIL


cdef bint kernel_timeout_expired(int fd, int direction, int64_t took_ns) noexcept nogil:
    """Was the call at least as long as SO_RCVTIMEO or SO_SNDTIMEO?"""
    cdef timeval limit
    cdef socklen_t size = sizeof(limit)
    cdef int option = SO_RCVTIMEO if direction == RECEIVE else SO_SNDTIMEO
    cdef int64_t limit_ns
    if getsockopt(fd, SOL_SOCKET, option, &limit, &size) < 0:
        return False
    limit_ns = limit.tv_sec * <int64_t>NS_PER_S + limit.tv_usec * 1000
    return 0 < limit_ns <= took_ns


cdef Py_ssize_t wait_and_call(SocketHead *sock, int fd, FdState *state,
                              const Operation *operation, void *arguments, int traits,
                              Budget *budget) except -1:
    """`call()`, where nothing was ready or that is likely."""
    cdef bint has_timeout = budget.timeout_ns > 0
    cdef bint polls_first = has_timeout
    cdef int64_t began_ns, asleep_ns
    cdef uint16_t mode_changes
    cdef Py_ssize_t result
    cdef Step step
    cdef int extra_flags = 0
    cdef int error = 0
    if has_timeout and budget.deadline_ns == NO_DEADLINE:
        budget.deadline_ns = deadline_after(budget.timeout_ns)
    if has_timeout and traits & MAY_TRY_FIRST:
        extra_flags = FASTSOCK_DONTWAIT  # O_NONBLOCK may have been cleared through a dup
    while True:
        check_owner(sock, fd)
        if traits & (MAY_TRY_FIRST | MAY_BUSY_POLL) and state.busy_poll != NULL:
            if busy_poll(sock, fd, state, operation, arguments, budget.deadline_ns,
                         &result, &error):
                if result >= 0:
                    return result
                return raise_errno(error)
            check_owner(sock, fd)
        began_ns = monotonic_ns()
        mode_changes = fastsock_mode_changes(state)
        if polls_first:
            if wait(sock, fd, operation.events, budget.deadline_ns) == TIMED_OUT:
                raise_timeout()
            asleep_ns = monotonic_ns() - began_ns
            result = run(operation, fd, arguments, extra_flags,
                         extra_flags != 0 and may_keep_gil(traits, state), state, &error)
        else:
            result = run(operation, fd, arguments, 0, False, state, &error)
            asleep_ns = monotonic_ns() - began_ns - max(result, 0) // BYTES_A_NS
        if asleep_ns > READY_NS:
            FASTSOCK_COUNT(counters.waits, 1)
        if result >= 0:
            if traits & MAY_TRY_FIRST:
                learn(&state.reluctance[operation.direction], asleep_ns > READY_NS)
            return result
        if error == EINTR:
            PyErr_CheckSignals()
        elif error not in (EAGAIN, EWOULDBLOCK):
            return raise_errno(error)
        else:
            step = after_eagain(sock, state, operation.direction, budget.timeout_ns,
                                mode_changes, 0 if polls_first else asleep_ns)
            if step == FAIL:
                return raise_errno(error)
            polls_first = step == POLL_FIRST
            # poll(2) said ready, and may say so for ever: an unconnected AF_UNIX
            # datagram socket is writable while its receiver's queue is full.
            PyErr_CheckSignals()
            if has_passed(budget.deadline_ns):
                raise_timeout()
