"""relay(): bytes between two connected sockets, both ways, until both have ended.

Rules: without the GIL from beginning to end, but for signal handlers. The sockets are
non-blocking meanwhile, and then again what their timeouts say. An fd that another
thread closes is not used any more after a wait.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc

cimport fastsock._libc as libc
from fastsock._deadline cimport deadline_after, has_passed, remaining_ms
from fastsock._errors cimport attach, raise_errno
from fastsock._fdtable cimport fastsock_owned_fd
from fastsock._libc cimport (
    EBADF, ECONNRESET, EINTR, EPIPE, POLLIN, POLLOUT, SOCK_STREAM, poll, pollfd,
)
from fastsock._object cimport SocketHead
from fastsock._platform cimport fastsock_set_nonblocking
from fastsock._pump cimport (
    FAILURE, HANG_UP, PUMP_ENDED, PUMP_FAILED, PUMP_READS, PUMP_WRITES, Pump, drain_pump,
    end_pump, failure_of, run_pump, start_pump,
)
from fastsock._python cimport PyErr_CheckSignals
from fastsock._self cimport head_of, is_socket, overrides, class_of_stdlib

cdef enum:
    ROOM = 65536

# How a turn of the loop ended.
cdef enum Turn:
    DONE = 0
    FAILED = 1                  # of `error`, of `failed_fd`
    IDLE = 2                    # the idle timeout passed
    SIGNALLED = 3


cdef struct Relay:
    SocketHead *a
    SocketHead *b
    int fd_a
    int fd_b
    Pump forth                  # a to b
    Pump back
    int64_t idle_ns             # 0: no timeout
    int64_t deadline_ns         # of now
    int error
    int failed_fd               # -1: neither
    bint a_hung_up              # poll(2) would say so for ever
    bint b_hung_up
    char *room


def relay(a, b, /, *, idle_timeout=None):
    """Move bytes between two connected stream sockets until both sides have ended.

    By splice(2) where much is moved and the kernel can, else through a buffer. The end
    of one side is passed on to the other, which may go on. A reset is not an end: it is
    raised, as soon as it comes.

    Parameters
    ----------
    a, b : socket.socket
        Connected, of type SOCK_STREAM; they stay open. A class with a recv or send of
        its own (TLS) is refused: its bytes are not the socket's.
    idle_timeout : float or None
        Seconds without a byte in either direction after which it ends.

    Returns
    -------
    tuple of two ints
        Bytes moved from a to b, and from b to a.

    Raises
    ------
    TimeoutError
        Of idle_timeout; or a connection timed out, which its `.errno` tells: ETIMEDOUT.
    ConnectionResetError
        The peer of one side reset its connection, also after its half-close.
    OSError
        One of the connections failed otherwise (BrokenPipeError: it takes nothing any
        more), or was closed by another thread.
    TypeError, ValueError
        These sockets can't be relayed.

    All these carry `.bytes_relayed`, the tuple that would have been returned, and
    `.failed_socket`: a or b, or None where neither connection failed.

    Notes
    -----
    What a failed side had sent before is passed on if the other side takes it at once.
    The sockets are the caller's, so no reset is sent to the other side: without one its
    peer takes what it got for all. To send it, set SO_LINGER to
    `struct.pack("ii", 1, 0)` before closing, as Relay does.

    Thread safety: other threads may use the sockets, but then nobody knows who gets
    what; they may close them, which ends the relay.
    """
    cdef Relay state
    cdef Turn turn
    cdef bint is_restored = False
    cdef double seconds = 0
    state.a = checked(a)
    state.b = checked(b)
    if idle_timeout is not None:
        try:
            seconds = idle_timeout
        except TypeError:
            raise TypeError("idle_timeout must be a number of seconds above 0, or None, "
                            f"not {idle_timeout!r}") from None
        if not seconds > 0:
            raise ValueError("idle_timeout must be above 0 seconds or None, "
                             f"not {idle_timeout!r}")
    if state.a == state.b:
        raise ValueError("relay() needs two sockets, not one twice")
    state.idle_ns = <int64_t>min(seconds * 1e9, 9e18)
    state.deadline_ns = deadline_after(state.idle_ns)
    state.fd_a = state.a.fd
    state.fd_b = state.b.fd
    state.error = 0
    state.failed_fd = -1
    state.a_hung_up = state.b_hung_up = False
    state.room = <char *>malloc(ROOM)
    if state.room == NULL:
        raise MemoryError()
    start_pump(&state.forth, state.fd_a, state.fd_b, &state.back)
    start_pump(&state.back, state.fd_b, state.fd_a, &state.forth)
    try:
        if (fastsock_set_nonblocking(state.fd_a, True) < 0
                or fastsock_set_nonblocking(state.fd_b, True) < 0):
            raise_errno(libc.errno)
        while True:
            with nogil:
                turn = take_turns(&state)
            if turn == DONE:
                break
            if turn == IDLE:
                raise TimeoutError(f"nothing was relayed for {idle_timeout} s")
            if turn == FAILED:
                raise_errno(state.error)
            PyErr_CheckSignals()
            # The handler, or another thread while this one waited for the GIL.
            if find_closed(&state):
                raise_errno(EBADF)
        is_restored = True
        if restore(state.a, state.fd_a) + restore(state.b, state.fd_b) < 0:  # both are tried
            raise_errno(libc.errno)
        return state.forth.moved, state.back.moved
    except BaseException as error:
        attach(error, "bytes_relayed", (state.forth.moved, state.back.moved))
        attach(error, "failed_socket", None if state.failed_fd < 0
               else a if state.failed_fd == state.fd_a else b)
        raise
    finally:
        end_pump(&state.forth)
        end_pump(&state.back)
        free(state.room)
        if not is_restored:  # the exception that is on its way says more than a failure here
            restore(state.a, state.fd_a)
            restore(state.b, state.fd_b)


cdef SocketHead *checked(object sock) except NULL:
    if not is_socket(sock):
        raise TypeError(f"relay() takes sockets, not {type(sock).__name__!r}")
    if type(sock) is not class_of_stdlib() and overrides(sock):
        raise TypeError(f"relay() can't go through {type(sock).__name__}.recv() and send(): "
                        "it moves the bytes of the connection itself")
    if head_of(sock).type != SOCK_STREAM:
        raise ValueError(f"relay() needs SOCK_STREAM sockets, and this one is {sock.type!r}")
    if head_of(sock).fd < 0:
        raise_errno(EBADF)
    return head_of(sock)


cdef int restore(SocketHead *head, int fd) noexcept:
    """Blocking again, if it has no timeout: 0, or -1 and errno."""
    if head.fd == fd and head.timeout_ns < 0:
        return fastsock_set_nonblocking(fd, False)
    return 0


cdef Turn take_turns(Relay *state) noexcept nogil:
    """Move and wait until it is over, or a signal came."""
    cdef pollfd[2] watched
    cdef int64_t moved = state.forth.moved + state.back.moved
    cdef int found
    cdef bint forth = True          # which has something to do
    cdef bint back = True
    while True:
        if forth:
            run_pump(&state.forth, state.room, ROOM)
        if back:
            run_pump(&state.back, state.room, ROOM)
        if state.forth.state == PUMP_FAILED or state.back.state == PUMP_FAILED:
            return failed(state)
        if state.forth.state == PUMP_ENDED and state.back.state == PUMP_ENDED:
            return DONE
        if state.forth.moved + state.back.moved != moved:
            moved = state.forth.moved + state.back.moved
            state.deadline_ns = deadline_after(state.idle_ns)
        watch(&watched[0], state.fd_a, &state.forth, &state.back, state.a_hung_up)
        watch(&watched[1], state.fd_b, &state.back, &state.forth, state.b_hung_up)
        found = poll(watched, 2, remaining_ms(state.deadline_ns))
        if find_closed(state):
            return FAILED
        if found < 0:
            if libc.errno == EINTR:
                return SIGNALLED
            state.error = libc.errno
            return FAILED
        if found == 0 and has_passed(state.deadline_ns):
            return IDLE
        forth = (watched[0].fd >= 0 and watched[0].revents & ~POLLOUT
                 or watched[1].fd >= 0 and watched[1].revents & ~POLLIN)
        back = (watched[1].fd >= 0 and watched[1].revents & ~POLLOUT
                or watched[0].fd >= 0 and watched[0].revents & ~POLLIN)
        if watched[0].fd >= 0 and watched[0].revents & (FAILURE | HANG_UP):
            state.a_hung_up = True
            if has_failed(state, watched[0].fd, &state.forth, &state.back):
                return FAILED
        if watched[1].fd >= 0 and watched[1].revents & (FAILURE | HANG_UP):
            state.b_hung_up = True
            if has_failed(state, watched[1].fd, &state.back, &state.forth):
                return FAILED


cdef bint find_closed(Relay *state) noexcept nogil:
    """Did another thread close a socket?"""
    if fastsock_owned_fd(&state.a.fd) != state.fd_a:
        state.failed_fd = state.fd_a
    elif fastsock_owned_fd(&state.b.fd) != state.fd_b:
        state.failed_fd = state.fd_b
    else:
        return False
    state.error = EBADF
    return True


cdef void watch(pollfd *watched, int fd, Pump *from_it, Pump *to_it,
                bint has_hung_up) noexcept nogil:
    """What to ask of a side; where nothing is wanted, whether it fails."""
    cdef bint is_over = from_it.has_ended and to_it.state == PUMP_ENDED
    watched.events = ((POLLIN if from_it.state == PUMP_READS else 0)
                      | (POLLOUT if to_it.state == PUMP_WRITES else 0))
    watched.fd = -1 if watched.events == 0 and (has_hung_up or is_over) else fd
    watched.revents = 0


cdef bint has_failed(Relay *state, int fd, Pump *from_it, Pump *to_it) noexcept nogil:
    """A side that failed or hung up: has it failed, and is there still something to move?"""
    drain_pump(from_it, state.room, ROOM)  # what it had sent comes before its failure
    if from_it.state == PUMP_FAILED or (from_it.has_ended and to_it.state == PUMP_ENDED):
        return False  # the next turn of the loop sees it
    state.error = failure_of(from_it)
    if state.error == 0:
        return False
    if state.error == EPIPE:  # of a reset behind the peer's half-close
        state.error = ECONNRESET
    state.failed_fd = fd
    return True


cdef Turn failed(Relay *state) noexcept nogil:
    """A pump has failed: let the other one move what it can."""
    cdef Pump *pump = &state.forth if state.forth.state == PUMP_FAILED else &state.back
    state.error = pump.error
    state.failed_fd = pump.failed_fd
    drain_pump(&state.forth, state.room, ROOM)
    drain_pump(&state.back, state.room, ROOM)
    return FAILED
