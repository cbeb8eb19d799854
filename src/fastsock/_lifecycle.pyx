"""From socket(2) to close(2): opening, the blocking mode, closing.

Rules: fds are not inherited by exec (PEP 446); the type that an object shows has
no flag bits; a fresh socket has the default timeout (socket.setdefaulttimeout),
unless SOCK_NONBLOCK asked for none; an fd is closed exactly once, and never
again after EINTR, since Linux has closed it by then (close(2), NOTES).
"""

import _socket

from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from libc.math cimport ceil
from libc.stdint cimport int64_t

cimport fastsock._libc as libc
from fastsock._errors cimport raise_errno
from fastsock cimport _fdtable
from fastsock._fdtable cimport (
    FASTSOCK_FD_HAS_GRO, fastsock_note_mode_change, fastsock_store_timeout, fastsock_take_fd,
    forget, state_of,
)
from fastsock._libc cimport ECONNRESET, SOCK_DGRAM, SO_RCVLOWAT, SOL_SOCKET
from fastsock._object cimport complete, new_socket
from fastsock._platform cimport (
    FASTSOCK_UDP_GRO,
    FASTSOCK_TYPE_FLAGS, FASTSOCK_TYPE_NONBLOCK, fastsock_set_nonblocking, fastsock_socket,
    fastsock_socketpair,
)
from fastsock._python cimport PyLong_AsLong, PySys_Audit
from fastsock._busy_poll cimport apply_default_busy_poll

cdef object get_default_timeout = _socket.getdefaulttimeout


cdef int open_socket(object self, SocketHead *sock, int family, int type, int proto) except -1:
    """Make `self` a new socket, as `socket.__init__` without `fileno`."""
    cdef int fd, error
    PySys_Audit("socket.__new__", "Oiii", <PyObject *>self, family, type, proto)
    with nogil:
        fd = fastsock_socket(family, type, proto)
        error = libc.errno
    if fd < 0:
        raise_errno(error)
    complete(sock)
    return take_fd(sock, fd, family, type, proto)


cdef int take_fd(SocketHead *sock, int fd, int family, int type, int proto) except -1:
    """Put a fresh fd into an object; on failure the fd is closed."""
    cdef object default
    cdef int64_t timeout_ns = TIMEOUT_BLOCKS
    forget(fd)
    sock.family = family
    sock.type = type & ~FASTSOCK_TYPE_FLAGS
    sock.proto = proto
    if type & FASTSOCK_TYPE_NONBLOCK:
        timeout_ns = 0
    else:
        try:
            default = get_default_timeout()
        except:  # no memory for a float
            libc.close(fd)
            raise
        if default is not None:
            timeout_ns = nanoseconds(default)
            if fastsock_set_nonblocking(fd, True) < 0:
                error = libc.errno
                libc.close(fd)
                raise_errno(error)
    sock.timeout_ns = timeout_ns
    sock.fd = fd
    return apply_default_busy_poll(sock)


cdef object adopt_fd(object cls, int fd, int family, int type, int proto):
    """An object of class `cls` around an fd that a system call just returned.

    Equal to `cls(family, type, proto, fileno=fd)`, with its audit event and
    without asking the kernel what is known. On failure the fd is closed.
    """
    cdef object sock
    try:
        sock = new_socket(cls, -1, family, type, proto)
        PySys_Audit("socket.__new__", "Oiii", <PyObject *>sock, family, type, proto)
    except:
        libc.close(fd)
        raise
    take_fd(<SocketHead *><PyObject *>sock, fd, family, type, proto)
    return sock


cdef enum:
    IPPROTO_UDP = 17


cdef int meet(SocketHead *sock) except -1:
    """A socket whose fd others made and may have set up: what is known of the fd number
    is void, and what must be known (a low-water mark, UDP_GRO) is asked of the kernel."""
    cdef int low_water = 0
    cdef int is_glued = 0
    cdef libc.socklen_t size = sizeof(low_water)
    forget(sock.fd)
    if libc.getsockopt(
            sock.fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, &size) == 0 and low_water > 1:
        _fdtable.lowat_in_use = True
    size = sizeof(is_glued)
    if sock.type == SOCK_DGRAM and FASTSOCK_UDP_GRO >= 0 and libc.getsockopt(
            sock.fd, IPPROTO_UDP, FASTSOCK_UDP_GRO, &is_glued, &size) == 0 and is_glued:
        state_of(sock.fd).flags |= FASTSOCK_FD_HAS_GRO
    return 0


cdef tuple open_pair(object cls, int family, int type, int proto):
    """socketpair(2): two connected objects of class `cls`."""
    cdef int[2] fds
    cdef int failed, error
    with nogil:
        failed = fastsock_socketpair(family, type, proto, fds)
        error = libc.errno
    if failed:
        raise_errno(error)
    try:
        first = adopt_fd(cls, fds[0], family, type, proto)
    except:
        libc.close(fds[1])
        raise
    try:
        return first, adopt_fd(cls, fds[1], family, type, proto)
    except:
        first.close()
        raise


cdef int close_socket(SocketHead *sock) except -1:
    """close(2). The object's fd is -1 before the call: no other thread may use
    the number once it can belong to somebody else. ECONNRESET is no error: the
    peer went away first, and the fd is closed."""
    cdef int fd = fastsock_take_fd(&sock.fd)
    cdef int failed, error
    if fd < 0:
        return 0
    with nogil:
        failed = libc.close(fd)
        error = libc.errno
    if failed and error != ECONNRESET:
        raise_errno(error)
    return 0


cdef int set_timeout(SocketHead *sock, int64_t timeout_ns) except -1:
    """Store the timeout and set the fd's mode: only a socket without a timeout
    blocks in the kernel.

    From one timeout above 0 to another the mode stays. Into None and 0 it is set
    each time: O_NONBLOCK belongs to the open file, which others may share, and
    programs repair it that way.

    Without a GIL the order counts: a call of another thread that meets O_NONBLOCK finds a
    timeout, or that the mode has changed since (`_wait.pyx`).
    """
    cdef int fd = sock.fd
    cdef int failed
    if sock.timeout_ns > 0 and timeout_ns > 0 and fd >= 0:
        fastsock_store_timeout(&sock.timeout_ns, timeout_ns)
        return 0
    if timeout_ns >= 0:
        note_mode_change(sock)
        fastsock_store_timeout(&sock.timeout_ns, timeout_ns)
        failed = fastsock_set_nonblocking(fd, True)
    else:
        failed = fastsock_set_nonblocking(fd, False)
        note_mode_change(sock)
        fastsock_store_timeout(&sock.timeout_ns, timeout_ns)  # the stdlib's stays, too
    if failed < 0:
        raise_errno(libc.errno)
    return 0


cdef void note_mode_change(SocketHead *sock) noexcept:
    """O_NONBLOCK of this object's fd changes, or has changed, by its settimeout()."""
    fastsock_note_mode_change(state_of(sock.fd))


cdef int64_t parse_timeout(object timeout) except? -2:
    """Nanoseconds, rounded up, of a plain timeout: None, a float or an int.

    Returns TIMEOUT_NOT_PLAIN (without an exception) for every other value, also
    for those that are wrong: the stdlib says best what is wrong with them.
    """
    cdef double seconds
    if timeout is None:
        return TIMEOUT_BLOCKS
    if PyFloat_CheckExact(timeout):
        seconds = PyFloat_AS_DOUBLE(timeout)
    elif PyLong_CheckExact(timeout) and -1 < timeout < 1_000_000_000:
        seconds = <double>PyLong_AsLong(timeout)
    else:
        return TIMEOUT_NOT_PLAIN
    # False for a NaN; above, a double has no room for every nanosecond.
    if not (0.0 <= seconds < 1e9):
        return TIMEOUT_NOT_PLAIN
    return nanoseconds(seconds)


cdef inline int64_t nanoseconds(double seconds) noexcept:
    """Seconds (0 or more) in nanoseconds, rounded up. The stdlib takes no default timeout that
    has more of them than an int64_t."""
    return <int64_t>ceil(seconds * 1e9)
