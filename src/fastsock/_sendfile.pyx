"""sendfile(2): from a file to a socket inside the kernel.

Job: the loop of `socket.sendfile`. Which file it is, and what to do with one that
sendfile(2) refuses, stands with the method (_methods.pyx).

Rules: as in the stdlib, the timeout bounds each wait and not the whole file, and
an unbounded transfer goes on to the end that the file then has. Whatever ends the
loop, `offset` and `sent` say what the kernel took.
"""

from libc.stdint cimport int64_t

cimport fastsock._libc as libc
from fastsock._deadline cimport deadline_after
from fastsock._errors cimport raise_timeout
from fastsock._libc cimport EAGAIN, EINTR, EWOULDBLOCK, POLLOUT
from fastsock._platform cimport fastsock_sendfile
from fastsock._python cimport PyErr_CheckSignals
from fastsock._wait cimport TIMED_OUT, wait

# sendfile(2) moves at most 2 GiB less a page a call; the stdlib asks for 1 GiB.
cdef enum:
    LARGEST_PIECE = 1 << 30


cdef int send_file(SocketHead *sock, FileTransfer *transfer) except -1:
    """Send until the file's end or `count`; returns 0, or the errno of sendfile(2).

    Raises TimeoutError, and what a signal handler raises.
    """
    cdef int64_t timeout_ns = sock.timeout_ns  # later settimeout() calls don't count
    cdef bint must_wait = timeout_ns > 0
    cdef Py_ssize_t piece, sent
    cdef int fd, error
    while True:
        piece = transfer.count - transfer.sent if transfer.is_bounded else transfer.count
        if piece <= 0:
            return 0
        piece = min(piece, LARGEST_PIECE)
        fd = sock.fd
        if must_wait and wait(
                sock, fd, POLLOUT, deadline_after(timeout_ns)) == TIMED_OUT:
            raise_timeout()
        with nogil:
            sent = fastsock_sendfile(fd, transfer.file_fd, transfer.offset, piece)
            error = libc.errno
        if sent == 0:
            return 0
        if sent > 0:
            transfer.offset += sent
            transfer.sent += sent
            must_wait = timeout_ns > 0
            PyErr_CheckSignals()
        elif error == EINTR:
            PyErr_CheckSignals()
        elif error in (EAGAIN, EWOULDBLOCK):
            # Also without a timeout: O_NONBLOCK may have been set through a dup, or by
            # another thread's settimeout().
            must_wait = True
        else:
            return error
