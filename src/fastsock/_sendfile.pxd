# sendfile. Its rules are in `_sendfile.pyx`.

from fastsock._libc cimport off_t
from fastsock._object cimport SocketHead

cdef struct FileTransfer:
    int file_fd
    off_t offset
    size_t count

cdef Py_ssize_t send_file(SocketHead *sock, FileTransfer *transfer) except -2
