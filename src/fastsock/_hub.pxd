# What the connections of a server share. Its rules are in `_hub.pyx`.

cimport cython

from fastsock._address cimport SocketAddress
from fastsock._loop cimport Loop, Watched


@cython.final
cdef class Hub:
    cdef Loop loop
    cdef object make_connection         # a function of nothing: a new Transport
    cdef object make_protocol           # the user's protocol_factory, or None
    cdef object ssl_context
    cdef double handshake_timeout_s
    cdef Py_ssize_t high_water
    cdef Py_ssize_t low_water
    cdef readonly Py_ssize_t connections
    cdef readonly Py_ssize_t outgoing   # that connect() made or is making: none of `connections`
    cdef Hub parent                     # of one outgoing connection: the server's; else None
    cdef object server_hostname         # of an outgoing TLS connection, or None
    cdef object waiter                  # Outgoing until its connection is open; or None
    cdef Py_ssize_t max_connections
    cdef object on_room                 # called when a connection ended

    cdef int connection_ended(self) except -1


# What a listener hands accepted fds to.
cdef class Connection(Watched):
    cdef Hub hub

    cdef int begin(self, int fd, Hub hub, int family, SocketAddress *peer) except -1
