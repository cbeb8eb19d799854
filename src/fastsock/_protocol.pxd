# A connection whose protocol is the user's. Its rules are in `_protocol.pyx`.

cimport cython

from fastsock._transport_methods cimport ServerTransport


@cython.final
cdef class ProtocolTransport(ServerTransport):
    cdef object protocol
    cdef object data_received       # its method, looked up once
    cdef bint takes_buffers         # it is a BufferedProtocol

    cdef int use(self, object protocol) except -1
    cdef int read_into_buffer(self) except -1
    cdef int fill_buffer(self, const char *data, Py_ssize_t size) except -1
