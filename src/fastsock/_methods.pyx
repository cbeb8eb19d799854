"""SocketMethods: the methods of `fastsock.socket` that are ours.

Job: each method checks that self is a socket, converts its arguments as the
stdlib does, and delegates: recv and send to _transfer, recvmsg to _message,
connect and accept to _connection, and so on. The way of one `recv()` is
here -> _transfer.recv -> _wait.call.

Rules:
  * The type has no fields. It goes in front of the stdlib's class in the bases of
    `fastsock.socket`, and works on the fields of the stdlib object (_object).
  * Whoever calls a method with another self gets a TypeError, never memory that
    is not a socket's.
  * Families whose addresses we don't convert go to the inherited method.
  * A method that is built on another's system call must not go around a class
    that overrides recv, recv_into, send or sendall (TLS does): see _self.

Thread safety: as the stdlib's. Calls on one socket from several threads reach
the kernel in any order; a socket closed meanwhile raises OSError (EBADF).
"""

import _socket
import io
import os
import socket as stdlib_socket

cimport cython
from fastsock cimport _connection, _message, _options, _sendfile, _transfer
cimport fastsock._libc as libc
from fastsock._address cimport is_ours
from fastsock._arguments cimport as_int, as_size
from fastsock._buffers cimport borrow_readable, borrow_writable, is_plain
from fastsock._enums cimport family_member, type_member
from fastsock._errors cimport raise_errno
from fastsock._lifecycle cimport (
    TIMEOUT_BLOCKS, TIMEOUT_NOT_PLAIN, close_socket, open_pair, open_socket, parse_timeout,
    set_timeout, adopt_fd, meet, note_mode_change,
)
from fastsock._libc cimport AF_INET, SOCK_STREAM
from fastsock._object cimport SocketHead
from fastsock._python cimport BufferView, PyBuffer_Release
from fastsock._self cimport class_of_sockets, class_of_stdlib, head_of, overrides

cdef object base = _socket.socket
cdef object Giveup = stdlib_socket._GiveupOnSendfile
cdef int AF_VSOCK = getattr(_socket, "AF_VSOCK", -1)


# A C constant would be no default that inspect.signature() can read.
@cython.embedsignature(False)
def socketpair(family=None, type=SOCK_STREAM, proto=0):
    "socketpair(family=None, type=socket.SOCK_STREAM, proto=0)\n--\n\n" \
        """Two connected sockets: socketpair(2).

    Parameters
    ----------
    family : AddressFamily or int, optional
        AF_UNIX where the platform has it, else AF_INET.
    type : SocketKind or int
        SOCK_STREAM, SOCK_DGRAM or SOCK_SEQPACKET, with SOCK_NONBLOCK if wanted.
    proto : int
        0 chooses the only protocol of the type.

    Returns
    -------
    tuple of two fastsock.socket
    """
    cdef int number = libc.AF_UNIX if family is None else as_int(family)
    return open_pair(class_of_sockets(), number, as_int(type), as_int(proto))


def meet_adopted(sock):
    """Ask what must be known of the fd of a socket that became one of ours."""
    meet(head_of(sock))


cdef class SocketMethods:
    "SocketMethods(family=-1, type=-1, proto=-1, fileno=None)\n--\n\n" \
        """The methods that fastsock.socket puts before the stdlib's. No type to make
    objects of: it has no fields and no socket."""

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        cdef SocketHead *head = head_of(self)
        if fileno is not None:
            class_of_stdlib().__init__(self, family, type, proto, fileno)
            meet(head)
            return
        open_socket(self, head,
                    AF_INET if family == -1 else as_int(family),
                    SOCK_STREAM if type == -1 else as_int(type),
                    0 if proto == -1 else as_int(proto))
        self._io_refs = 0
        self._closed = False

    # -- state -------------------------------------------------------------

    @property
    def family(self):
        """The address family, an AddressFamily where the interpreter knows it."""
        return family_member(head_of(self).family)

    @property
    def type(self):
        """The socket type, a SocketKind, without SOCK_NONBLOCK and SOCK_CLOEXEC."""
        return type_member(head_of(self).type)

    def settimeout(self, timeout, /):
        """Set the timeout of every later operation.

        Parameters
        ----------
        timeout : float, int or None
            Seconds; 0 for non-blocking mode, None to block without a limit.

        Raises
        ------
        ValueError
            For a negative timeout or a NaN.
        """
        cdef SocketHead *head = head_of(self)
        timeout_ns = parse_timeout(timeout)
        if timeout_ns == TIMEOUT_NOT_PLAIN:
            note_mode_change(head)
            base.settimeout(self, timeout)
            note_mode_change(head)
        else:
            set_timeout(head, timeout_ns)

    def setblocking(self, flag, /):
        """settimeout(None) if `flag` is true, else settimeout(0)."""
        cdef SocketHead *head = head_of(self)
        if flag is True or flag is False:
            set_timeout(head, TIMEOUT_BLOCKS if flag else 0)
        else:
            note_mode_change(head)
            base.setblocking(self, flag)  # what else is taken depends on the version
            note_mode_change(head)

    def getsockopt(self, level, option, buflen=0, /):
        """Get a socket option: getsockopt(2).

        Parameters
        ----------
        level, option : int
            Such as SOL_SOCKET and SO_RCVBUF, or IPPROTO_TCP and TCP_NODELAY.
        buflen : int
            0 for an int option; else the largest number of bytes to return. The
            stdlib allows 1,024; here there is no limit.

        Returns
        -------
        int or bytes
        """
        cdef SocketHead *head = head_of(self)
        if head.family == AF_VSOCK:
            return base.getsockopt(self, level, option, buflen)
        return _options.get_option(head, as_int(level), as_int(option), as_int(buflen))

    def setsockopt(self, /, *arguments):
        """Set a socket option: setsockopt(2).

        setsockopt(level, option, value: int)
        setsockopt(level, option, value: bytes-like)
        setsockopt(level, option, None, optlen: int)
        """
        cdef SocketHead *head = head_of(self)
        if head.family != AF_VSOCK and len(arguments) == 3:
            level, option, value = arguments
            _options.set_option(head, as_int(level), as_int(option), value)
        else:  # NULL with a length, as AF_ALG's keys have it, or it says what is wrong
            base.setsockopt(self, *arguments)

    # -- naming and connecting ---------------------------------------------

    def bind(self, address, /):
        """Give the socket a local address: bind(2)."""
        cdef SocketHead *head = head_of(self)
        if is_ours(head.family):
            _connection.bind(head, address)
        else:
            base.bind(self, address)

    def connect(self, address, /):
        """Connect to a peer: connect(2).

        Raises TimeoutError when the socket's timeout passes; the attempt then
        goes on in the kernel. Interrupted by a signal it goes on (PEP 475).
        """
        cdef SocketHead *head = head_of(self)
        if is_ours(head.family):
            _connection.connect(head, address)
        else:
            base.connect(self, address)

    def connect_ex(self, address, /):
        """As connect(), but returns 0 or the error number."""
        cdef SocketHead *head = head_of(self)
        if is_ours(head.family):
            return _connection.connect_ex(head, address)
        return base.connect_ex(self, address)

    def listen(self, backlog=128, /):
        """Accept connections from now on: listen(2).

        `backlog` is how many may wait to be accepted; below 0 counts as 0, and
        the system has a limit of its own (SOMAXCONN).
        """
        _connection.listen(head_of(self), as_int(backlog))

    def accept(self):
        """Wait for a connection: accept(2).

        Returns
        -------
        tuple of fastsock.socket and address
            The new socket has the default timeout (none: it blocks) and is not
            inherited by child processes.
        """
        cdef SocketHead *head = head_of(self)
        cls = class_of_sockets()
        if is_ours(head.family) and (
                type(self) is cls or type(self)._accept is base._accept):
            return _connection.accept(head, cls)
        fd, address = self._accept()
        sock = adopt_fd(cls, fd, head.family, head.type, head.proto)
        if head.timeout_ns > 0 and sock.gettimeout() is None:
            sock.setblocking(True)
        return sock, address

    def getsockname(self):
        """The local address: getsockname(2)."""
        cdef SocketHead *head = head_of(self)
        if is_ours(head.family):
            return _connection.getsockname(head)
        return base.getsockname(self)

    def getpeername(self):
        """The peer's address: getpeername(2)."""
        cdef SocketHead *head = head_of(self)
        if is_ours(head.family):
            return _connection.getpeername(head)
        return base.getpeername(self)

    def shutdown(self, how, /):
        """Shut down one half of the connection, or both: shutdown(2)."""
        _connection.shutdown(head_of(self), as_int(how))

    def close(self):
        """Close the socket: close(2), once no file made of it is open."""
        head_of(self)
        self._closed = True
        if self._io_refs <= 0:
            self._real_close()

    def _real_close(self):
        close_socket(head_of(self))

    # -- receiving ---------------------------------------------------------

    def recv(self, bufsize, flags=0, /):
        """Receive up to `bufsize` bytes: recv(2).

        Waits until one byte or more is there. Returns b"" when the peer has
        ended the connection.
        """
        cdef SocketHead *head = head_of(self)
        cdef Py_ssize_t size = as_size(bufsize)
        cdef int flag_bits = as_int(flags)
        if size < 0:
            raise ValueError("negative buffersize in recv")
        return _transfer.recv(head, size, flag_bits)

    def recv_into(self, buffer, nbytes=0, flags=0):
        """Receive into a writable buffer: recv(2). Returns the number of bytes.

        `nbytes` is at most the buffer's size, and 0 means that size.
        """
        cdef SocketHead *head = head_of(self)
        cdef BufferView view
        cdef Py_ssize_t size
        cdef int flag_bits
        borrow_writable(buffer, &view, "recv_into() argument 1")
        try:
            size, flag_bits = as_size(nbytes), as_int(flags)
            size = checked_size(size, view.len, "recv_into",
                                "buffer too small for requested bytes")
            return _transfer.recv_into(head, view.buf, size, flag_bits, is_plain(&view))
        finally:
            PyBuffer_Release(&view)

    def recvfrom(self, bufsize, flags=0, /):
        """Receive up to `bufsize` bytes: recvfrom(2). Returns (data, address)."""
        cdef SocketHead *head = head_of(self)
        cdef Py_ssize_t size = as_size(bufsize)
        cdef int flag_bits = as_int(flags)
        if not is_ours(head.family):
            return base.recvfrom(self, bufsize, flags)
        if size < 0:
            raise ValueError("negative buffersize in recvfrom")
        return _transfer.recvfrom(head, size, flag_bits)

    def recvfrom_into(self, buffer, nbytes=0, flags=0):
        """Receive into a writable buffer: recvfrom(2). Returns (count, address)."""
        cdef SocketHead *head = head_of(self)
        cdef BufferView view
        cdef Py_ssize_t size
        cdef int flag_bits
        if not is_ours(head.family):
            return base.recvfrom_into(self, buffer, nbytes, flags)
        borrow_writable(buffer, &view, "recvfrom_into() argument 1")
        try:
            size, flag_bits = as_size(nbytes), as_int(flags)
            size = checked_size(size, view.len, "recvfrom_into",
                                "nbytes is greater than the length of the buffer")
            return _transfer.recvfrom_into(head, view.buf, size, flag_bits, is_plain(&view))
        finally:
            PyBuffer_Release(&view)

    def recvmsg(self, bufsize, ancbufsize=0, flags=0, /):
        """Receive data and control messages: recvmsg(2).

        Parameters
        ----------
        bufsize, ancbufsize : int
            Bytes of room for data and for control messages (see CMSG_SPACE).
        flags : int
            As for recv().

        Returns
        -------
        (data, ancdata, msg_flags, address)
            ancdata is a list of (level, type, data). What was cut off is said by
            MSG_CTRUNC in msg_flags, and by a RuntimeWarning where it is malformed.
        """
        cdef SocketHead *head = head_of(self)
        if not is_ours(head.family):
            return base.recvmsg(self, bufsize, ancbufsize, flags)
        return _message.recvmsg(head, as_size(bufsize), as_size(ancbufsize), as_int(flags))

    def recvmsg_into(self, buffers, ancbufsize=0, flags=0, /):
        """As recvmsg(), into an iterable of writable buffers: the first item of the
        result is the number of bytes."""
        cdef SocketHead *head = head_of(self)
        if not is_ours(head.family):
            return base.recvmsg_into(self, buffers, ancbufsize, flags)
        return _message.recvmsg_into(head, buffers, as_size(ancbufsize), as_int(flags))

    # -- sending -----------------------------------------------------------

    def send(self, data, flags=0, /):
        """Send bytes: send(2). Returns how many were taken, which may be fewer."""
        cdef SocketHead *head = head_of(self)
        cdef BufferView view
        borrow_readable(data, &view)
        try:
            return _transfer.send(head, view.buf, view.len, as_int(flags), is_plain(&view))
        finally:
            PyBuffer_Release(&view)

    def sendall(self, data, flags=0, /):
        """Send all bytes: send(2) until done, under one timeout for the whole."""
        cdef SocketHead *head = head_of(self)
        cdef BufferView view
        borrow_readable(data, &view)
        try:
            _transfer.sendall(
                head, <const char *>view.buf, view.len, as_int(flags), is_plain(&view))
        finally:
            PyBuffer_Release(&view)

    def sendto(self, data, /, *flags_and_address):
        """Send bytes to an address: sendto(2). Returns how many were taken.

        sendto(data, address)
        sendto(data, flags, address)
        """
        cdef SocketHead *head = head_of(self)
        cdef BufferView view
        cdef Py_ssize_t given = len(flags_and_address)
        cdef int flags
        if not 1 <= given <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({given + 1} given)")
        if not is_ours(head.family):
            return base.sendto(self, data, *flags_and_address)
        borrow_readable(data, &view)
        try:
            flags = 0 if given == 1 else as_int(flags_and_address[0])
            return _transfer.sendto(
                head, view.buf, view.len, flags, is_plain(&view),
                flags_and_address[given - 1])
        finally:
            PyBuffer_Release(&view)

    def sendmsg(self, buffers, ancdata=(), flags=0, address=None, /):
        """Send buffers and control messages as one message: sendmsg(2).

        Parameters
        ----------
        buffers : iterable of bytes-like
            Sent one after the other, without being joined in memory.
        ancdata : iterable of (level, type, bytes-like)
            Control messages.
        flags : int
            As for send().
        address : optional
            The destination, on a socket that is not connected.

        Returns
        -------
        int
            How many bytes were taken.
        """
        cdef SocketHead *head = head_of(self)
        if not is_ours(head.family):
            return base.sendmsg(self, buffers, ancdata, flags, address)
        return _message.sendmsg(head, buffers, ancdata, as_int(flags), address)

    # -- files -------------------------------------------------------------

    def sendfile(self, file, offset=0, count=None):
        """Send a file until its end, or `count` bytes: sendfile(2).

        Parameters
        ----------
        file : object
            A regular file opened in binary mode; of another, what read() returns
            is sent.
        offset : int
            Where in the file to start.
        count : int, optional
            How many bytes to send.

        Returns
        -------
        int
            How many bytes were sent. On return and on an error the file's position
            is where sending stopped.

        Raises
        ------
        ValueError
            On a socket that is not SOCK_STREAM, or is non-blocking.
        """
        if overrides(self):
            return self._sendfile_use_send(file, offset, count)
        try:
            sent = self._sendfile_use_sendfile(file, offset, count)
        except Giveup:
            sent = self._sendfile_use_send(file, offset, count)
        return sent

    def _sendfile_use_sendfile(self, file, offset=0, count=None):
        cdef SocketHead *head = head_of(self)
        cdef _sendfile.FileTransfer transfer
        cdef int error
        self._check_sendfile_params(file, offset, count)
        try:
            transfer.file_fd = as_int(file.fileno())
        except (AttributeError, io.UnsupportedOperation) as failure:
            raise Giveup(failure)  # not a regular file
        try:
            size = os.fstat(transfer.file_fd).st_size
        except OSError as failure:
            raise Giveup(failure)
        if not size:
            return 0
        if head.timeout_ns == 0:
            raise ValueError("non-blocking sockets are not supported")
        if head.fd < 0:
            # The stdlib's selector says so; OSError would have send() try.
            raise ValueError(f"Invalid file descriptor: {head.fd}")
        transfer.offset = as_size(offset)  # Cython's own conversion takes a float
        transfer.count = size if count is None else count
        transfer.is_bounded = count is not None
        transfer.sent = 0
        try:
            error = _sendfile.send_file(head, &transfer)
            if error and transfer.sent == 0:
                # Perhaps not a file that can be mapped: let send() try.
                raise Giveup(OSError(error, os.strerror(error)))
            if error:
                raise_errno(error)
            return transfer.sent
        finally:
            if transfer.sent > 0 and hasattr(file, "seek"):
                file.seek(transfer.offset)


cdef Py_ssize_t checked_size(Py_ssize_t nbytes, Py_ssize_t room, str caller,
                             str too_large) except -1:
    """The size of a receive into a buffer; 0 means all of it."""
    if nbytes < 0:
        raise ValueError(f"negative buffersize in {caller}")
    if nbytes > room:
        raise ValueError(too_large)
    return nbytes if nbytes else room
