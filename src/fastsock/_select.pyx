"""select(2): the function of select.select.

Rules: fds at or above FD_SETSIZE would be written beyond the set, so they are refused,
as in the stdlib. The lists are read once, with calls of fileno() that may change them.
EINTR: as in _epoll.pyx.
"""

from libc.stdint cimport int64_t

cimport fastsock._libc as libc
from fastsock._deadline cimport NO_DEADLINE, NS_PER_S, monotonic_ns
from fastsock._errors cimport raise_errno
from fastsock._fdtable cimport FASTSOCK_HAS_GIL
from fastsock._libc cimport EINTR
from fastsock._polling cimport fd_of, parse_wait
from fastsock._python cimport PyErr_CheckSignals


def select(rlist, wlist, xlist, timeout=None, /):
    """Wait until one or more file descriptors are ready for some kind of I/O.

    Parameters
    ----------
    rlist, wlist, xlist : sequences of int or object with fileno()
        To wait for until they can be read, written, or have an exceptional condition.
    timeout : float or None
        Seconds, 0 or more; None: for ever.

    Returns
    -------
    tuple of three lists
        The given objects that are ready.
    """
    cdef fd_set[3] wanted
    cdef fd_set[3] ready
    cdef int64_t timeout_ns = -1
    cdef int highest = -1
    cdef int which
    if timeout is not None:
        timeout_ns = parse_wait(timeout, NS_PER_S, "a float")
        if timeout_ns < 0:
            raise ValueError("timeout must be non-negative")
    objects = []
    for which, sequence in enumerate((rlist, wlist, xlist)):
        objects.append(read_sequence(sequence, &wanted[which], &highest))
    wait_for_sets(highest + 1, wanted, ready, timeout is not None, timeout_ns)
    return tuple([
        [fileobj for fileobj, fd in objects[which] if FD_ISSET(<int>fd, &ready[which])]
        for which in range(3)])


cdef list read_sequence(object sequence, fd_set *fds, int *highest):
    """[(object, fd)] of a sequence; their fds are set."""
    cdef list found = []
    cdef int fd
    cdef Py_ssize_t index = 0
    FD_ZERO(fds)
    if type(sequence) is not list and type(sequence) is not tuple:
        try:
            iterator = iter(sequence)
        except TypeError:
            raise TypeError("arguments 1-3 must be sequences") from None
        sequence = list(iterator)
    while index < len(sequence):  # a fileno() may shorten it
        fileobj = sequence[index]
        fd = fd_of(fileobj)
        if fd >= FD_SETSIZE:
            raise ValueError("filedescriptor out of range in select()")
        if index >= FD_SETSIZE:
            raise ValueError("too many file descriptors in select()")
        FD_SET(fd, fds)
        highest[0] = max(highest[0], fd)
        found.append((fileobj, fd))
        index += 1
    return found


cdef int wait_for_sets(int count, const fd_set *wanted, fd_set *ready, bint has_timeout,
                       long long timeout_ns) except -1:
    cdef int64_t deadline_ns = NO_DEADLINE
    cdef timeval left
    cdef timeval *limit = NULL
    cdef int found, error, which
    if has_timeout:
        limit = &left
        deadline_ns = monotonic_ns()
        timeout_ns = min(timeout_ns, (1 << 62))
        deadline_ns += timeout_ns
    while True:
        for which in range(3):
            ready[which] = wanted[which]
        if has_timeout:
            left.tv_sec = timeout_ns // NS_PER_S
            left.tv_usec = (timeout_ns % NS_PER_S + 999) // 1000
            if left.tv_usec == 1000000:
                left.tv_sec += 1
                left.tv_usec = 0
        if FASTSOCK_HAS_GIL and has_timeout and timeout_ns == 0:
            found = c_select(count, &ready[0], &ready[1], &ready[2], limit)
            error = libc.errno
        else:
            with nogil:
                found = c_select(count, &ready[0], &ready[1], &ready[2], limit)
                error = libc.errno
        if found >= 0:
            return found
        if error != EINTR:
            raise_errno(error)
        PyErr_CheckSignals()
        if has_timeout:
            timeout_ns = max(deadline_ns - monotonic_ns(), 0)
