"""The methods of asyncio's transports, for the connections of a server.

Job: what a protocol calls. Names, arguments and exceptions are asyncio's, so that a
protocol moves between asyncio, uvloop and here unchanged.
"""

import os
import sys

from cpython.bytes cimport PyBytes_GET_SIZE
from libc.string cimport memcpy
from posix.fcntl cimport F_DUPFD_CLOEXEC, fcntl

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress, from_sockaddr
from fastsock._errors cimport raise_errno
from fastsock._libc cimport SOCK_STREAM, sockaddr
from fastsock._object cimport new_socket
from fastsock._platform cimport FASTSOCK_HAS_SENDFILE
from fastsock._python cimport PyNumber_Index
from fastsock._self cimport class_of_sockets
from fastsock._sender cimport FileRegion


cdef class ServerTransport(Transport):
    """A connection of a running server, with the methods of asyncio's transports.

    Thread safety: for the server's thread only; other threads use
    Server.call_soon_threadsafe().
    """

    def write(self, data, /):
        """Send bytes; returns at once.

        Parameters
        ----------
        data : bytes, bytearray or memoryview

        Raises
        ------
        TypeError
            For anything else.
        RuntimeError
            After write_eof().
        """
        if (type(data) is bytes and self.is_dispatching and self.pending_size == 0
                and self.tls is None and not (self.is_eof_wanted or self.closing)
                and self.region is None):
            self.first = <bytes>data  # the usual answer: it goes out when the callback returns
            self.pending_size = PyBytes_GET_SIZE(data)
            if self.pending_size > self.high_water:
                self.flush()
            return
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError("data argument must be a bytes-like object, "
                            f"not {type(data).__name__!r}")
        if self.is_eof_wanted:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self.region is not None:
            raise RuntimeError("a file is being sent: wait for resume_writing()")
        if not self.closing:
            self.say(data)
        elif data:
            self.write_is_lost()

    def writelines(self, list_of_data):
        """Send several buffers, in one system call where that is possible.

        Parameters
        ----------
        list_of_data : iterable of bytes-like objects
        """
        cdef bint was_dispatching = self.is_dispatching
        # All or nothing: what is no buffer is refused before anything is sent.
        pieces = [piece if type(piece) is bytes else memoryview(piece).tobytes()
                  for piece in list_of_data]
        if self.closing and not self.is_eof_wanted:
            if any(pieces):
                self.write_is_lost()
            return
        self.is_dispatching = True
        try:
            for piece in pieces:
                self.write(piece)
        finally:
            self.is_dispatching = was_dispatching
        if not was_dispatching:
            self.flush()

    def send_file(self, file, offset=0, count=None):
        """Send a part of a file behind what was written, by sendfile(2).

        pause_writing() is called at once, and resume_writing() when it is sent; write()
        comes after that.

        Parameters
        ----------
        file : binary file
            With a fileno(). Its descriptor is duplicated: the caller may close the file
            as soon as this method has returned. Its position is neither used nor changed.
        offset : int
            From where, in bytes.
        count : int or None
            How many bytes; None: to the end as it is now.

        Raises
        ------
        TypeError
            `file` has no fileno(), or `offset` or `count` is not an int.
        ValueError
            For an `offset` or `count` beyond the end of the file.
        OSError
            The descriptor can't be duplicated (EBADF, EMFILE).
        NotImplementedError
            With TLS, whose bytes are not the file's; on a system without sendfile(2).
        RuntimeError
            After write_eof(), or while another file is being sent.
        """
        cdef FileRegion region
        if not FASTSOCK_HAS_SENDFILE:
            raise NotImplementedError("this system has no sendfile(2)")
        if self.tls is not None:
            raise NotImplementedError("files can't be sent by sendfile(2) under TLS")
        if self.is_eof_wanted or self.region is not None:
            raise RuntimeError("send_file() after write_eof(), or while a file is being sent")
        try:
            fileno = file.fileno
        except AttributeError:
            raise TypeError(
                f"file must be a binary file with a fileno(), not {file!r}") from None
        if not hasattr(offset, "__index__"):
            raise TypeError(f"offset must be an int, not {offset!r}")
        if count is not None and not hasattr(count, "__index__"):
            raise TypeError(f"count must be an int or None, not {count!r}")
        region = FileRegion.__new__(FileRegion)
        # First: what is checked and what is sent must be the same file.
        region.fd = fcntl(PyNumber_Index(fileno()), F_DUPFD_CLOEXEC, 0)
        if region.fd < 0:
            raise_errno(libc.errno)
        size = os.fstat(region.fd).st_size
        if not 0 <= offset <= size:
            raise ValueError(f"offset must be 0 to {size}, the size of the file, not {offset}")
        if count is None:
            count = size - offset
        if not 0 <= count <= size - offset:
            raise ValueError(f"count must be 0 to {size - offset}, which the file has from "
                             f"offset {offset} on, not {count}")
        if self.closing or count == 0:
            return
        region.offset = offset
        region.left = count
        self.region = region
        if not self.is_dispatching:
            self.set_interest()  # at the next turn, since resume_writing() may call this
        if not self.is_write_paused:
            self.is_write_paused = True
            self.writing_paused(True)  # KeyboardInterrupt may leave it

    def write_eof(self):
        """Tell the peer that no more comes, when all was sent; reading goes on."""
        if self.tls is not None:
            raise NotImplementedError("TLS has no half-closed connections here")
        if self.is_eof_wanted or self.closing:
            return
        self.is_eof_wanted = True
        if not self.pending_size and self.region is None:
            self.nothing_pending()

    def can_write_eof(self):
        """Is there write_eof()? Not with TLS."""
        return self.tls is None

    def close(self):
        """End the connection when all was sent; nothing is read any more."""
        self.close_gently()

    def abort(self):
        """End the connection now; what the kernel does not take at once is not sent."""
        if self.is_dispatching and self.pending_size:
            self.flush()  # what this callback wrote before
        self.fail(None)

    def is_closing(self):
        """Was close() or abort() called, or is the connection lost?"""
        return bool(self.closing)

    def pause_reading(self):
        """Read no more until resume_reading()."""
        self.is_read_paused = True
        self.set_interest()

    def resume_reading(self):
        """Read again."""
        if self.is_read_paused:
            self.is_read_paused = False
            self.set_interest()

    def is_reading(self):
        """Is it neither paused nor closing?"""
        return not (self.is_read_paused or self.closing)

    # Flow control.

    def set_write_buffer_limits(self, high=None, low=None):
        """Set when the protocol is told to pause and to go on writing.

        Parameters
        ----------
        high : int, float or None
            Above so many bytes that wait, pause_writing() is called.
        low : int, float or None
            At or below so many, resume_writing() is called.
        """
        if high is None:
            high = self.hub.high_water if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        # Floats are limits, too, also an infinite one; a queue's size is a whole number.
        self.high_water = int(min(high, sys.maxsize))
        self.low_water = int(min(low, sys.maxsize))
        self.adjust()

    def get_write_buffer_limits(self):
        """(low, high), in bytes."""
        return self.low_water, self.high_water

    def get_write_buffer_size(self):
        """How many bytes wait that the kernel does not take yet."""
        if self.is_dispatching and self.pending_size:
            self.flush()
        return self.pending_size

    # What is known of it.

    def get_extra_info(self, name, default=None):
        """What is known of the connection.

        Parameters
        ----------
        name : str
            "peername", "sockname", "socket" (for options; it is not to be read, written
            or closed), and with TLS "sslcontext", "ssl_object", "peercert", "cipher",
            "compression".
        default
            Returned for a name that is not known of this connection. What the system does
            not know of it, or TLS (no compression, no certificate), is None.

        Notes
        -----
        All but "sockname" is known after the end, too; that is None then, if it was not
        asked for before.
        """
        if name == "peername":
            return self.peer_name()
        if name == "sockname":
            return self.own_name()
        if name == "socket":
            return self.socket_object()
        if self.tls is not None:
            if name == "sslcontext":
                return self.hub.ssl_context
            if name == "ssl_object":
                return self.tls.ssl_object
            if name == "peercert":
                return self.tls.ssl_object.getpeercert()
            if name == "cipher" or name == "compression":
                return getattr(self.tls.ssl_object, name)()
        return default

    def __reduce_ex__(self, protocol, /):
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    cdef object peer_name(self):
        cdef SocketAddress address
        if self.peer_size == 0:
            if self.long_peer_name is not None:
                return self.long_peer_name
            return self.name_by(libc.getpeername)
        memcpy(&address.storage, self.peer, self.peer_size)
        address.size = self.peer_size
        return from_sockaddr(&address)

    cdef object own_name(self):
        if self.fd >= 0:
            self.sock_name = self.name_by(libc.getsockname)
        return self.sock_name

    cdef object name_by(self, NameFunction function):
        cdef SocketAddress address
        address.size = sizeof(address.storage)
        if self.fd < 0 or function(self.fd, <sockaddr *>&address.storage, &address.size) < 0:
            return None
        return from_sockaddr(&address)

    cdef object socket_object(self):
        if self.sock is None:
            self.sock = new_socket(class_of_sockets(), self.fd, self.family, SOCK_STREAM, 0)
            self.has_sock = self.fd >= 0
            if self.has_sock:
                self.sock.settimeout(0)
            else:
                self.sock.detach()  # a closed one, as after the end of asyncio's
        return self.sock
