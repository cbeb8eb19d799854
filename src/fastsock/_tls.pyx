"""TLS between the bytes of a connection and those of its protocol, in memory.

Job: an ssl.SSLObject over two memory BIOs. It knows no socket: whoever has one feeds it
what arrived, and sends what `to_send()` gives.
"""

import ssl

from cpython.bytes cimport PyBytes_FromStringAndSize

cdef object WantRead = ssl.SSLWantReadError
cdef object ZeroReturn = ssl.SSLZeroReturnError
cdef object SyscallError = ssl.SSLSyscallError

cdef enum:
    MOST_AT_ONCE = 65536


cdef class TlsFilter:
    """Internal: belongs to one connection.

    Parameters
    ----------
    context : ssl.SSLContext
    server_side : bool
    server_hostname : str or None
        On a client's side: the name that the peer's certificate must have.
    """

    def __init__(self, context, server_side=True, server_hostname=None):
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        # A server's connection has no name to check: contexts with a wrap_bio() of their own
        # need not know the parameter.
        if server_side:
            self.ssl_object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        else:
            self.ssl_object = context.wrap_bio(
                self.incoming, self.outgoing, server_hostname=server_hostname)

    cdef bint shake_hands(self) except -1:
        """Go on with the handshake: is it done? Raises ssl.SSLError."""
        try:
            self.ssl_object.do_handshake()
        except WantRead:
            return False
        self.is_established = True
        return True

    cdef list feed(self, const char *data, Py_ssize_t size):
        """Take what arrived: what it says, in one piece or none. Raises ssl.SSLError."""
        cdef list pieces = []
        self.incoming.write(PyBytes_FromStringAndSize(data, size))
        if not self.is_established and not self.shake_hands():
            return pieces
        while not self.has_ended:
            try:
                piece = self.ssl_object.read(MOST_AT_ONCE)
            except WantRead:
                break
            except ZeroReturn:
                piece = b""
            if piece:
                pieces.append(piece)
            else:
                self.has_ended = True
        # One piece: whoever pauses reading when called with it is not called again.
        return [b"".join(pieces)] if len(pieces) > 1 else pieces

    cdef int encrypt(self, object data) except -1:
        """Take what is to be said."""
        cdef Py_ssize_t taken = 0
        view = memoryview(data).cast("B")
        while taken < len(view):
            taken += self.ssl_object.write(view[taken:])
        return 0

    cdef bytes to_send(self):
        """What is to be sent now; empty if nothing."""
        return self.outgoing.read()

    cdef int say_goodbye(self) except -1:
        """Say close_notify, without waiting for the peer's."""
        try:
            self.ssl_object.unwrap()
        except (WantRead, ZeroReturn, SyscallError, ssl.SSLError):
            pass
        return 0
