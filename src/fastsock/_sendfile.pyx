"""sendfile(2): from a file to a socket inside the kernel.

Job: one piece, sent when the socket can take it. The loop over pieces, and what
to do with a file that sendfile refuses, is the stdlib's rule and stands with the
method (_socket.pyx).

Rule: as in the stdlib, the timeout bounds each wait and not the whole file; what
is returned was taken by the kernel, and nothing else was.
"""

from libc.stdint cimport int64_t

cimport fastsock._libc as libc
from fastsock._deadline cimport NO_DEADLINE, deadline_after
from fastsock._errors cimport raise_timeout
from fastsock._libc cimport EAGAIN, EINTR, EWOULDBLOCK, POLLOUT, off_t
from fastsock._platform cimport fastsock_sendfile
from fastsock._python cimport PyErr_CheckSignals
from fastsock._wait cimport TIMED_OUT, wait


cdef Py_ssize_t send_file(SocketHead *sock, FileTransfer *transfer) except -2:
    """Send a piece of the file; returns the bytes sent, 0 at its end, and -1 with
    errno set where sendfile(2) itself failed (the caller decides what that means).

    Raises TimeoutError, and what a signal handler raises.
    """
    cdef int64_t deadline_ns = deadline_after(sock.timeout_ns)
    cdef Py_ssize_t sent
    cdef int fd, error
    cdef bint must_wait = deadline_ns != NO_DEADLINE
    while True:
        if must_wait and wait(sock, POLLOUT, deadline_ns) == TIMED_OUT:
            raise_timeout()
        fd = sock.fd
        with nogil:
            sent = fastsock_sendfile(fd, transfer.file_fd, transfer.offset, transfer.count)
            error = libc.errno
        if sent >= 0:
            return sent
        if error == EINTR:
            PyErr_CheckSignals()
        elif error in (EAGAIN, EWOULDBLOCK):
            # Also without a timeout: O_NONBLOCK may have been set through a dup.
            must_wait = True
        else:
            libc.errno = error
            return -1
