# The public methods of a connection. Its rules are in `_transport_methods.pyx`.

from fastsock._libc cimport sockaddr, socklen_t
from fastsock._transport cimport Transport

ctypedef int (*NameFunction)(int, sockaddr *, socklen_t *) noexcept nogil


cdef class ServerTransport(Transport):
    cdef object peer_name(self)
    cdef object own_name(self)
    cdef object name_by(self, NameFunction function)
    cdef object socket_object(self)
