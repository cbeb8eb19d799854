"""A connection whose protocol is the user's: asyncio.Protocol or BufferedProtocol.

Rules: a protocol is what has the methods; asyncio is not imported. The calls, their
order and what their results mean are asyncio's. data_received() is looked up once, by
set_protocol(): looking it up for each message would add a tenth to its instructions.
"""

import logging
import sys

from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memcpy

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress
from fastsock._buffers cimport borrow_writable
from fastsock._hub cimport Hub
from fastsock._libc cimport EAGAIN, EINTR, EWOULDBLOCK
from fastsock._python cimport (
    BufferView, PyBuffer_Release, PyBytes_AS_STRING, PyObject_CallMethodOneArg,
)
from fastsock._transport cimport MADE_BY_SERVER

from fastsock._self import own_methods

cdef object logger = logging.getLogger("fastsock.server")
cdef str BUFFER_UPDATED = "buffer_updated"
cdef str GET_BUFFER = "get_buffer"


cdef bint fills_buffers(object protocol) except -1:
    """Is it a BufferedProtocol? For asyncio that is a question of the class, so that a proxy
    with every attribute is a Protocol. A class without asyncio's bases is known by its methods;
    with those of both it is a Protocol, as in asyncio."""
    protocols = sys.modules.get("asyncio.protocols")
    if protocols is not None:
        if isinstance(protocol, protocols.BufferedProtocol):
            return True
        if isinstance(protocol, protocols.Protocol):
            return False
    return hasattr(protocol, "buffer_updated") and not hasattr(protocol, "data_received")


cdef class ProtocolTransport(ServerTransport):
    """A connection of a Server, with the methods of asyncio's transports.

    Thread safety: for the server's thread only; other threads use
    Server.call_soon_threadsafe().
    """

    cdef int use(self, object protocol) except -1:
        self.takes_buffers = fills_buffers(protocol)
        self.protocol = protocol
        self.data_received = None
        return 0

    def set_protocol(self, protocol):
        """Hand the connection to another protocol, from now on.

        Parameters
        ----------
        protocol : asyncio.Protocol or asyncio.BufferedProtocol
            Or an object with the methods of one of them. The same protocol again makes its
            current data_received() the one that is called.
        """
        self.use(protocol)

    @property
    def __class__(self):
        """A class derived from asyncio.Transport where asyncio is imported, so that
        isinstance() agrees; type() returns the real one."""
        base = getattr(sys.modules.get("asyncio.transports"), "Transport", None)
        return type(self) if base is None else face_of(type(self), base)

    def get_protocol(self):
        """The protocol of the connection."""
        return self.protocol

    cdef int opened(self) except -1:
        if self.hub.waiter is not None and self.hub.waiter.is_cancelled():
            return self.fail(None)
        cdef str called = "the protocol factory"
        try:
            protocol = self.hub.make_protocol()
            self.use(protocol)
            called = "connection_made()"
            protocol.connection_made(self)
        except BaseException:
            self.callback_raised(called)
        else:
            if self.hub.waiter is not None:
                waiter = self.hub.waiter
                self.hub.waiter = None
                waiter.opened(self, protocol)
        return 0

    cdef int received(self, const char *data, Py_ssize_t size) except -1:
        if self.is_read_paused:  # in connection_made(), and this came with the handshake
            self.unread = PyBytes_FromStringAndSize(data, size)
            return 0
        if self.takes_buffers:
            return self.fill_buffer(data, size)
        return self.received_bytes(PyBytes_FromStringAndSize(data, size))

    cdef int received_bytes(self, bytes data) except -1:
        try:
            if self.data_received is None:
                self.data_received = self.protocol.data_received
            self.data_received(data)
        except BaseException:
            self.callback_raised("data_received()")
        return 0

    cdef int read(self) except -1:
        if self.tls is None:
            if self.takes_buffers:
                return self.read_into_buffer()
            if self.comes_large:
                return self.read_into_bytes()
        return ServerTransport.read(self)

    cdef int read_into_buffer(self) except -1:
        """As read(), right into the protocol's buffer."""
        cdef BufferView view
        cdef Py_ssize_t size = -1
        cdef int error = EAGAIN
        self.is_dispatching = True
        try:
            buffer = PyObject_CallMethodOneArg(self.protocol, GET_BUFFER, -1)
            borrow_writable(buffer, &view, "get_buffer() result")
            try:
                if view.len == 0:
                    raise RuntimeError("get_buffer() returned an empty buffer")
                size = libc.recv(self.fd, view.buf, view.len, 0)
                error = libc.errno
            finally:
                PyBuffer_Release(&view)
            if size > 0:
                self.is_active()
                PyObject_CallMethodOneArg(self.protocol, BUFFER_UPDATED, size)
        except BaseException:
            self.callback_raised("get_buffer() or buffer_updated()")
        finally:
            self.is_dispatching = False
            if self.pending_size or self.region is not None:
                self.flush()
        if size > 0:
            return 0
        if size == 0:
            return self.take_eof()
        if error not in (EAGAIN, EWOULDBLOCK, EINTR):
            return self.fail_by(error)
        return 0

    def resume_reading(self):
        """Read again."""
        ServerTransport.resume_reading(self)
        if self.unread is not None:
            self.loop.soon.append((self._read_unread, ()))  # nothing is read before it

    def _read_unread(self):
        """Internal: hand over what was decrypted when reading was paused."""
        data = self.unread
        if data is None or self.is_read_paused or self.closing:
            return
        self.unread = None
        self.is_dispatching = True
        try:
            self.received(PyBytes_AS_STRING(<PyObject *>data), PyBytes_GET_SIZE(data))
        finally:
            self.is_dispatching = False
            self.flush()
        if self.unread is None and not self.closing:
            self.set_interest()
            if self.tls is not None and self.tls.has_ended:
                self.take_eof()

    cdef int fill_buffer(self, const char *data, Py_ssize_t size) except -1:
        """Give a BufferedProtocol what is there already, up to the point where it hands the
        connection to a Protocol, which gets the rest."""
        cdef BufferView view
        cdef Py_ssize_t count
        try:
            while size and self.takes_buffers and not self.closing:
                if self.is_read_paused:
                    self.unread = PyBytes_FromStringAndSize(data, size)
                    break
                buffer = PyObject_CallMethodOneArg(self.protocol, GET_BUFFER, size)
                borrow_writable(buffer, &view, "get_buffer() result")
                try:
                    count = min(size, view.len)
                    if count == 0:
                        raise RuntimeError("get_buffer() returned an empty buffer")
                    memcpy(view.buf, data, count)
                finally:
                    PyBuffer_Release(&view)
                PyObject_CallMethodOneArg(self.protocol, BUFFER_UPDATED, count)
                data += count
                size -= count
        except BaseException:
            self.callback_raised("get_buffer() or buffer_updated()")
        if size and not (self.takes_buffers or self.closing):
            return self.received(data, size)
        return 0

    cdef int peer_ended(self) except -1:
        keeps_open = False
        try:
            keeps_open = self.protocol.eof_received()
            if keeps_open and self.tls is not None:  # take_eof() closes it
                logger.warning("returning true from eof_received() has no effect when using ssl")
        except BaseException:
            self.callback_raised("eof_received()")
            keeps_open = True  # what is closing was ended
        if not keeps_open:
            self.close_gently()
        return 0

    cdef int lost(self, object reason) except -1:
        if self.protocol is None:
            return 0  # it was never made
        try:
            self.protocol.connection_lost(reason)
        except BaseException:
            self.callback_raised("connection_lost()")
        finally:
            self.protocol = self.data_received = None
        return 0

    cdef int writing_paused(self, bint is_paused) except -1:
        try:
            if is_paused:
                self.protocol.pause_writing()
            else:
                self.protocol.resume_writing()
        except BaseException:
            self.callback_failed("pause_writing()" if is_paused else "resume_writing()")
        return 0


cdef dict faces = {}  # by (class, base)


def _refuse_to_make(*arguments, **options):
    """Internal: the constructor of what is no class of its own."""
    raise TypeError("connections are made by a Server")


cdef object face_of(cls, base):
    """What a transport's __class__ is: a class of the same name and methods, derived from
    asyncio's. A common base is not possible: the layouts of their objects differ."""
    face = faces.get((cls, base))
    if face is None:
        members = {name: getattr(cls, name) for name in dir(cls) if not name.startswith("_")}
        members.update(__slots__=(), __new__=staticmethod(_refuse_to_make), __doc__=cls.__doc__,
                       __module__=cls.__module__, __qualname__=cls.__qualname__)
        face = faces.setdefault((cls, base), type(cls.__name__, (base,), members))
    return face


own_methods(ProtocolTransport)


def begin_connection(fd, Hub hub, family):
    """Internal: the transport of an outgoing connection, by its connected fd, which it owns
    from now on, also where this raises."""
    cdef SocketAddress peer
    cdef ProtocolTransport made = ProtocolTransport.__new__(ProtocolTransport, MADE_BY_SERVER)
    # Now: the kernel does not know it any more once the connection has ended.
    peer.size = sizeof(peer.storage)
    if libc.getpeername(fd, <libc.sockaddr *>&peer.storage, &peer.size) < 0:
        peer.size = 0
    made.begin(fd, hub, family, &peer)
    return made


def new_connection():
    """Internal: a connection for an accepted fd."""
    return ProtocolTransport.__new__(ProtocolTransport, MADE_BY_SERVER)
