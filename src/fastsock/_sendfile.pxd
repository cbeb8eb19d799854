# sendfile. Its rules are in `_sendfile.pyx`.

from fastsock._libc cimport off_t
from fastsock._object cimport SocketHead

cdef struct FileTransfer:
    int file_fd
    bint is_bounded         # stop after `count` bytes, not only at the end of the file
    Py_ssize_t count        # bytes to send; of an unbounded transfer the file's size
    off_t offset            # where in the file the next byte is
    Py_ssize_t sent

cdef int send_file(SocketHead *sock, FileTransfer *transfer) except -1
