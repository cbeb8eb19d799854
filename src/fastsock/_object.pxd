# The head of a stdlib socket object. Its rules are in `_object.h` and `_object.pyx`.

from libc.stdint cimport int64_t

cdef extern from "_object.h":
    ctypedef struct SocketHead:
        int fd
        int family
        int type
        int proto
        void *error_handler
        int64_t timeout_ns

    const Py_ssize_t FASTSOCK_OBJECT_SIZE


cdef object new_socket(object cls, int fd, int family, int type, int proto)
cdef int complete(SocketHead *head) except -1
