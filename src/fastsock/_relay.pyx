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
from fastsock._libc cimport EBADF, EINTR, POLLIN, POLLOUT, SOCK_STREAM, poll, pollfd
from fastsock._object cimport SocketHead
from fastsock._platform cimport fastsock_set_nonblocking
from fastsock._pump cimport (
    PUMP_ENDED, PUMP_FAILED, PUMP_READS, PUMP_WRITES, Pump, end_pump, run_pump, start_pump,
)
from fastsock._python cimport PyErr_CheckSignals
from fastsock._self cimport head_of, is_socket, overrides, class_of_stdlib

cdef enum:
    ROOM = 65536

# How a turn of the loop ended.
cdef enum Turn:
    DONE = 0
    FAILED = 1                  # of `error`
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
    char *room


def relay(a, b, /, *, idle_timeout=None):
    """Move bytes between two connected stream sockets until both sides have ended.

    By splice(2) where much is moved and the kernel can, else through a buffer. The end
    of one side is passed on to the other, which may go on.

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
        Of idle_timeout.
    OSError
        One of the connections failed, or was closed by another thread.
    TypeError, ValueError
        These sockets can't be relayed.

    All these carry `.bytes_relayed`, the tuple that would have been returned.

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
        seconds = idle_timeout
        if not seconds > 0:
            raise ValueError("idle_timeout must be above 0 seconds or None, "
                             f"not {idle_timeout!r}")
    if state.a == state.b:
        raise ValueError("relay() needs two sockets, not one twice")
    state.idle_ns = <int64_t>min(seconds * 1e9, 9e18)
    state.deadline_ns = deadline_after(state.idle_ns)
    state.fd_a = state.a.fd
    state.fd_b = state.b.fd
    state.room = <char *>malloc(ROOM)
    if state.room == NULL:
        raise MemoryError()
    start_pump(&state.forth, state.fd_a, state.fd_b)
    start_pump(&state.back, state.fd_b, state.fd_a)
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
                raise_errno(state.forth.error or state.back.error)
            PyErr_CheckSignals()
            # The handler, or another thread while this one waited for the GIL.
            if state.a.fd != state.fd_a or state.b.fd != state.fd_b:
                raise_errno(EBADF)
        is_restored = True
        if restore(state.a, state.fd_a) + restore(state.b, state.fd_b) < 0:  # both are tried
            raise_errno(libc.errno)
        return state.forth.moved, state.back.moved
    except BaseException as error:
        attach(error, "bytes_relayed", (state.forth.moved, state.back.moved))
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
            return FAILED
        if state.forth.state == PUMP_ENDED and state.back.state == PUMP_ENDED:
            return DONE
        if state.forth.moved + state.back.moved != moved:
            moved = state.forth.moved + state.back.moved
            state.deadline_ns = deadline_after(state.idle_ns)
        watched[0].events = ((POLLIN if state.forth.state == PUMP_READS else 0)
                             | (POLLOUT if state.back.state == PUMP_WRITES else 0))
        watched[1].events = ((POLLIN if state.back.state == PUMP_READS else 0)
                             | (POLLOUT if state.forth.state == PUMP_WRITES else 0))
        # One whose end was passed on says POLLHUP for ever: it is not to be asked.
        watched[0].fd = state.fd_a if watched[0].events else -1
        watched[1].fd = state.fd_b if watched[1].events else -1
        found = poll(watched, 2, remaining_ms(state.deadline_ns))
        if (fastsock_owned_fd(&state.a.fd) != state.fd_a
                or fastsock_owned_fd(&state.b.fd) != state.fd_b):
            state.forth.error = EBADF
            return FAILED
        if found < 0:
            if libc.errno == EINTR:
                return SIGNALLED
            state.forth.error = libc.errno
            return FAILED
        if found == 0 and has_passed(state.deadline_ns):
            return IDLE
        # What POLLERR and POLLHUP mean, the calls will say.
        forth = (watched[0].fd >= 0 and watched[0].revents & ~POLLOUT
                 or watched[1].fd >= 0 and watched[1].revents & ~POLLIN)
        back = (watched[1].fd >= 0 and watched[1].revents & ~POLLOUT
                or watched[0].fd >= 0 and watched[0].revents & ~POLLIN)
