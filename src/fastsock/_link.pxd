# What a stream reads from and writes to. Its rules are in `_link.pyx`.

from fastsock._object cimport SocketHead
from fastsock._outbox cimport Outbox
from fastsock._wait cimport Budget


cdef class Link:
    cdef object sock
    cdef SocketHead *head       # NULL: through the methods of its class
    cdef object receive_method  # recv, or recv_into where only that is its own
    cdef bint receives_into
    cdef object send_method     # send, or None where only sendall is its own
    cdef bint receive_is_plain  # that of a socket: if it raises, it has received nothing
    cdef bint send_is_plain     # and this one has sent nothing
    cdef bint is_broken         # how much a send of the class sent is not known
    cdef bint is_recv_broken    # how much a recv of the class received is not known
    cdef bint has_ended

    cdef Budget budget(self)
    cdef Py_ssize_t receive(self, char *memory, Py_ssize_t size, bint is_plain_memory,
                            Budget *budget) except -1
    cdef object receive_by_method(self, Py_ssize_t size)
    cdef int send(self, Outbox outbox, Budget *budget) except -1
    cdef int check_sends(self) except -1
    cdef int send_front(self, Outbox outbox, Budget *budget, Py_ssize_t *sent) except -1
    cdef int send_by_method(self, object part, Py_ssize_t *sent) except -1
    cdef int send_by_sendall(self, object part, Py_ssize_t *sent) except -1
