# TLS between a connection's bytes and its protocol's. Its rules are in `_tls.pyx`.


cdef class TlsFilter:
    cdef object incoming
    cdef object outgoing
    cdef object ssl_object
    cdef bint is_established
    cdef bint has_ended             # by the peer's close_notify

    cdef bint shake_hands(self) except -1
    cdef list feed(self, const char *data, Py_ssize_t size)
    cdef int encrypt(self, object data) except -1
    cdef bytes to_send(self)
    cdef int say_goodbye(self) except -1
