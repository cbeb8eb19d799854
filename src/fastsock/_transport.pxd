# One connection of a server. Its rules are in `_transport.pyx`.

from fastsock._loop cimport TimerHandle
from fastsock._sender cimport Sender
from fastsock._tls cimport TlsFilter

cdef enum:
    PEER_ROOM = 28              # sizeof(struct sockaddr_in6)


cdef object MADE_BY_SERVER      # what __new__() must be given: Python has no way to get it

cdef class Transport(Sender):
    cdef object __weakref__             # as asyncio's transports have one
    cdef TlsFilter tls                  # or None
    cdef TimerHandle handshake_timer    # or None
    cdef Py_ssize_t tls_answers         # bytes of TLS itself, said while others waited to be sent
    cdef bytes unread                   # decrypted, when reading was paused; or None
    cdef object sock                    # made for get_extra_info("socket")
    cdef object long_peer_name          # of a peer whose address `peer` has no room for
    cdef object sock_name               # what get_extra_info("sockname") returned last
    cdef object reason                  # the exception that ended it
    cdef int family
    cdef unsigned char is_read_paused   # by the protocol
    cdef unsigned char is_held          # not read because the peer does not read
    cdef unsigned char has_peer_ended
    cdef unsigned char has_ended
    cdef unsigned char comes_large      # what arrived last was
    cdef unsigned char has_sock         # `sock` was made: it closes the fd where nobody else does
    cdef unsigned char lost_writes      # after the end, up to the one that is logged
    cdef unsigned char peer_size        # 0: the name is long, or not known
    cdef unsigned char[PEER_ROOM] peer

    cdef int establish(self) except -1
    # The protocol's side.
    cdef int opened(self) except -1
    cdef int received(self, const char *data, Py_ssize_t size) except -1
    cdef int received_bytes(self, bytes data) except -1
    cdef int peer_ended(self) except -1
    cdef int lost(self, object reason) except -1
    # The socket's side.
    cdef int read(self) except -1
    cdef int read_into_bytes(self) except -1
    cdef int read_nothing(self, Py_ssize_t size, int error) except -1
    cdef int take_in(self, bytes made, const char *data, Py_ssize_t size) except -1
    cdef int take_in_tls(self, const char *data, Py_ssize_t size) except -1
    cdef int answer_by_tls(self, bytes answer) except -1
    cdef int take_eof(self) except -1
    cdef int say(self, object data) except -1
    cdef int callback_raised(self, str what) except -1
    cdef int callback_failed(self, str what) except -1
    cdef int write_is_lost(self) except -1
    cdef int close_gently(self) except -1
    cdef int end(self) except -1
