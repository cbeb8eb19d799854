"""RawMethods: the reading and writing of the raw file under `makefile()`.

Job: `readinto` and `write` of socket.SocketIO, without its Python frames.

Rules: the type has no fields, and stands before the stdlib's SocketIO in the bases
of `fastsock.SocketIO`; state is that class's own (_sock, _reading, _writing,
_timeout_occurred). A socket of a class of its own is used through its methods.
"""

from fastsock cimport _transfer
from fastsock._buffers cimport borrow_readable, borrow_writable, has_no_owner, is_plain
from fastsock._errors cimport caught
from fastsock._libc cimport EAGAIN, EWOULDBLOCK
from fastsock._object cimport SocketHead
from fastsock._python cimport BufferView, PyBuffer_Release
from fastsock._self cimport class_of_sockets, head_of

cdef tuple WOULD_BLOCK = (EAGAIN, EWOULDBLOCK)


cdef class RawMethods:
    """readinto() and write() of a raw file over a socket; no type to make objects of."""

    def readinto(self, buffer, /):
        """Read up to len(buffer) bytes into a writable buffer.

        Returns the number of bytes, 0 at the peer's end, None if the socket is
        non-blocking and nothing is there. After a timeout the file is dead for
        reading (OSError), as the stdlib's is: a reader above it may have lost data.
        """
        sock = self._sock
        if sock is None or not self._reading:
            self._checkClosed()
            self._checkReadable()
        if self._timeout_occurred:
            raise OSError("cannot read from timed out object")
        try:
            if type(sock) is class_of_sockets():
                return read_directly(head_of(sock), buffer)
            return sock.recv_into(buffer)
        except TimeoutError:
            self._timeout_occurred = True
            raise
        except OSError as error:
            if caught(error, OSError).errno not in WOULD_BLOCK:
                raise
        return None

    def write(self, data, /):
        """Write bytes; returns how many were taken, None if the socket is
        non-blocking and takes none now."""
        sock = self._sock
        if sock is None or not self._writing:
            self._checkClosed()
            self._checkWritable()
        try:
            if type(sock) is class_of_sockets():
                return write_directly(head_of(sock), data)
            return sock.send(data)
        except OSError as error:
            if caught(error, OSError).errno not in WOULD_BLOCK:
                raise
        return None


cdef object read_directly(SocketHead *head, object buffer):
    cdef BufferView view
    borrow_writable(buffer, &view, "readinto() argument")
    try:
        if has_no_owner(&view):  # as the buffer of an io.BufferedReader
            return _transfer.recv_by_scratch(head, view.buf, view.len)
        return _transfer.recv_into(head, view.buf, view.len, 0, is_plain(&view))
    finally:
        PyBuffer_Release(&view)


cdef object write_directly(SocketHead *head, object data):
    cdef BufferView view
    borrow_readable(data, &view)
    try:
        return _transfer.send(head, view.buf, view.len, 0, is_plain(&view))
    finally:
        PyBuffer_Release(&view)
