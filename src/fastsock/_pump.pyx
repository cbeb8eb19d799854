"""Bytes from one socket to another, one direction, until the source has ended.

Job: copies through a buffer that others share, and where the source fills it again and
again goes over to splice(2), which moves pages. Nothing here knows of Python, or waits:
a pump runs until a socket would block, and says for what.

Rules: both sockets are non-blocking. What was read and not yet written is the pump's;
EOF of the source is passed on by shutdown(2) of the target when all was written. Only
that is an end: whatever else stops a pump, leaves its target without one.

The kernel reports the error of a connection once, and clears it: to SO_ERROR, or to the
send(2), recv(2) or splice(2) that comes first. From then on recv(2) returns 0 as after a
FIN. So each call that may take the error leaves it with the pump that reads this socket.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cimport fastsock._libc as libc
from fastsock._libc cimport (
    EAGAIN, EINTR, EINVAL, ENOMEM, EPIPE, EWOULDBLOCK, SO_ERROR, SOL_SOCKET, socklen_t,
)
from fastsock._platform cimport (
    FASTSOCK_HAS_SPLICE, FASTSOCK_NOSIGNAL, fastsock_no_sigpipe, fastsock_splice,
    fastsock_splice_pipe,
)

cdef extern from "<sys/socket.h>" nogil:
    const int SO_LINGER
    cdef struct linger:
        int l_onoff
        int l_linger

cdef enum:
    SHUT_WR = 1
    ENOUGH_FULL_READS = 4       # then it is a bulk transfer
    MOST_TURNS = 16             # then the other direction has its turn
    MOST_DRAINS = 8             # of so many turns: more than a receive buffer holds
    PIPE_SIZE = 1048576
    NOT_NOW = -1                # it would block
    NEVER = -2                  # `error` is set


cdef void start_pump(Pump *pump, int source, int target, Pump *reverse) noexcept nogil:
    pump.reverse = reverse
    pump.source_error = 0
    pump.source = source
    pump.target = target
    pump.state = PUMP_READS
    pump.error = 0
    pump.failed_fd = -1
    pump.moved = 0
    pump.rest = NULL
    pump.rest_start = pump.rest_end = pump.piped = 0
    pump.pipe_in = pump.pipe_out = -1
    pump.full_reads = 0
    pump.may_splice = FASTSOCK_HAS_SPLICE
    pump.has_ended = False
    fastsock_no_sigpipe(target)


cdef void end_pump(Pump *pump) noexcept nogil:
    """Give back what it has, but the sockets."""
    free(pump.rest)
    pump.rest = NULL
    if pump.pipe_in >= 0:
        libc.close(pump.pipe_in)
        libc.close(pump.pipe_out)
        pump.pipe_in = pump.pipe_out = -1


cdef inline Py_ssize_t judge(Pump *pump, int fd, Py_ssize_t result) noexcept nogil:
    """The result of a system call on one of the sockets: itself, NOT_NOW or NEVER."""
    if result >= 0:
        return result
    if libc.errno in (EAGAIN, EWOULDBLOCK, EINTR):
        return NOT_NOW
    if fd == pump.target:
        remember(pump.reverse, libc.errno)
    fail_of(pump, fd, libc.errno)
    return NEVER


cdef inline void fail_of(Pump *pump, int fd, int error) noexcept nogil:
    pump.error = error
    pump.failed_fd = fd
    pump.state = PUMP_FAILED


cdef void remember(Pump *pump, int error) noexcept nogil:
    """Note an error of the source that the kernel has cleared by reporting it.

    EPIPE is not one: send(2) returns it where the peer takes nothing more, and TCP sets
    it for a reset after the peer's FIN. What recv(2) returns is right in both cases.
    """
    if error != EPIPE and pump.source_error == 0:
        pump.source_error = error


cdef void run_pump(Pump *pump, char *room, Py_ssize_t size) noexcept nogil:
    """Move what can be moved now; `room`, of `size` bytes, is only used meanwhile."""
    cdef int _turn
    cdef bint may_go_on = True
    if pump.state >= PUMP_ENDED:
        return
    for _turn in range(MOST_TURNS):
        if pump.piped:
            may_go_on = empty_pipe(pump)
        elif pump.rest != NULL:
            may_go_on = write_rest(pump)
        elif pump.has_ended:
            libc.shutdown(pump.target, SHUT_WR)
            pump.state = PUMP_ENDED
            return
        elif pump.pipe_in >= 0:
            may_go_on = fill_pipe(pump, room, size)
        else:
            may_go_on = copy(pump, room, size)
        if not may_go_on:
            return
    # The other direction's turn: what is this one's next step?
    pump.state = PUMP_WRITES if pump.piped or pump.rest != NULL else PUMP_READS


cdef void drain_pump(Pump *pump, char *room, Py_ssize_t size) noexcept nogil:
    """The source's connection has failed: move what it had received and is taken at once."""
    cdef int _turn
    cdef int64_t moved
    for _turn in range(MOST_DRAINS):
        moved = pump.moved
        run_pump(pump, room, size)
        if pump.moved == moved:
            return


cdef int error_of(int fd) noexcept nogil:
    """SO_ERROR, which this clears in the kernel; 0 if the connection has not failed."""
    cdef int error = 0
    cdef socklen_t size = sizeof(error)
    if libc.getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0:
        return libc.errno
    return error


cdef int failure_of(Pump *pump) noexcept nogil:
    """The error of the source, which the pump remembers; 0 if there is none."""
    cdef int error = error_of(pump.source)
    remember(pump, error)
    return error


cdef void reset_on_close(int fd) noexcept nogil:
    """Have close(2) send RST in the place of FIN. AF_UNIX has no such thing."""
    cdef linger at_once
    at_once.l_onoff = 1
    at_once.l_linger = 0
    libc.setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once))


cdef bint copy(Pump *pump, char *room, Py_ssize_t size) noexcept nogil:
    """Read into the room and write from it; False if it has to wait, or failed."""
    cdef Py_ssize_t received, sent
    received = judge(pump, pump.source, libc.recv(pump.source, room, size, 0))
    if received == NEVER:
        return False
    pump.state = PUMP_READS
    if received == NOT_NOW:
        return False
    if received == 0:
        if pump.source_error:  # recv(2) would have returned it
            fail_of(pump, pump.source, pump.source_error)
            return False
        pump.has_ended = True
        return True
    pump.full_reads = pump.full_reads + 1 if received == size else 0
    if pump.full_reads >= ENOUGH_FULL_READS and pump.may_splice:
        open_pipe(pump)
    sent = judge(
        pump, pump.target, libc.send(pump.target, room, received, FASTSOCK_NOSIGNAL))
    if sent == NEVER:
        return False
    if sent > 0:
        pump.moved += sent
    else:
        sent = 0
    if sent < received:
        return keep_rest(pump, room + sent, received - sent)
    # Less than there was room for: there is no more, so this needs no call that says so.
    return received == size


cdef bint keep_rest(Pump *pump, const char *data, Py_ssize_t size) noexcept nogil:
    pump.rest = <char *>malloc(size)
    if pump.rest == NULL:
        pump.error = ENOMEM
        pump.state = PUMP_FAILED
        return False
    memcpy(pump.rest, data, size)
    pump.rest_start = 0
    pump.rest_end = size
    pump.state = PUMP_WRITES
    return False


cdef bint write_rest(Pump *pump) noexcept nogil:
    cdef Py_ssize_t sent = judge(pump, pump.target, libc.send(
        pump.target, pump.rest + pump.rest_start, pump.rest_end - pump.rest_start,
        FASTSOCK_NOSIGNAL))
    if sent < 0:
        return False
    pump.moved += sent
    pump.rest_start += sent
    if pump.rest_start < pump.rest_end:
        return False
    free(pump.rest)
    pump.rest = NULL
    pump.state = PUMP_READS
    return True


cdef void open_pipe(Pump *pump) noexcept nogil:
    """Go over to splice(2), if the system has a pipe for it."""
    cdef int[2] fds
    pump.may_splice = False  # tried once
    if fastsock_splice_pipe(fds, PIPE_SIZE) == 0:
        pump.pipe_in = fds[1]
        pump.pipe_out = fds[0]


cdef bint fill_pipe(Pump *pump, char *room, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t received = fastsock_splice(pump.source, pump.pipe_in, PIPE_SIZE)
    if received < 0 and libc.errno == EINVAL:
        end_pump(pump)  # these files can't be spliced: back to copying
        return True
    if received == 0 or (received < 0 and libc.errno in (EAGAIN, EWOULDBLOCK)):
        # Before urgent data splice(2) says so for ever; recv(2) passes over it.
        return copy(pump, room, size)
    received = judge(pump, pump.source, received)
    if received < 0:
        return False
    pump.state = PUMP_READS
    pump.piped = received
    return True


cdef bint empty_pipe(Pump *pump) noexcept nogil:
    cdef Py_ssize_t sent = judge(
        pump, pump.target, fastsock_splice(pump.pipe_out, pump.target, pump.piped))
    if sent == NEVER:
        return False
    if sent > 0:
        pump.moved += sent
        pump.piped -= sent
    if pump.piped:
        pump.state = PUMP_WRITES
        return sent > 0
    pump.state = PUMP_READS
    return True
