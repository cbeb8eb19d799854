"""Stream: what a user makes over a stream socket, to read, write and send messages.

Job: the constructor, its state, and writing. Reading is in _reader, messages that
arrive in _message_reader; what is to be sent is in an outbox (_outbox), the system
calls, or methods of a class of its own, are behind a link (_link).

Rules: nothing that was accepted is lost or sent twice. What a failed flush did not send
stays in the outbox, and the next one continues. Whatever ends a call that takes data reports
how many pieces were accepted (_pieces.pxd); a piece that is taken from an iterable is
accepted, unless it is refused.
"""

from fastsock._arguments cimport as_size
from fastsock._buffers cimport borrow_readable
from fastsock._errors cimport attach
from fastsock._framing cimport MOST_HEADER, Framing
from fastsock._link cimport Link
from fastsock._message_reader cimport MessageReader
from fastsock._outbox cimport MOST_COPIED, Outbox, parts_left
from fastsock._pieces cimport NOT_KNOWN, check_pieces, report
from fastsock._python cimport BufferView, PyBuffer_Release
from fastsock._reader cimport fastsock_claim, fastsock_release
from fastsock._wait cimport Budget

from fastsock._self import own_methods

cdef enum:
    LARGEST_SIZE = 1 << 30


cdef class Stream(MessageReader):
    "Stream(sock, *, framing=None, limit=65536, read_size=65536, high_water=65536)\n--\n\n" \
        """A buffered reader and writer over one connected stream socket.

    Parameters
    ----------
    sock : socket
        Connected, SOCK_STREAM: fastsock's, the stdlib's, an ssl.SSLSocket, or any
        object with recv() and send(). Blocking, with a timeout, or non-blocking.
    framing : framing.Lines, LengthPrefix, Varint, Netstring or Fixed, optional
        Where a message ends; needed by the methods with `message` in their names.
    limit : int
        The longest line in bytes that readline() and readuntil() return.
    read_size : int
        Bytes asked of the kernel at a time.
    high_water : int
        Bytes that write() keeps before it sends them.

    Raises
    ------
    TypeError
        For what is no socket and has no recv() and send().
    ValueError
        For a socket that is no stream, or a size below 1.

    Thread safety: one reader and one writer at a time, which may be two threads.
    """
    cdef Outbox outbox
    cdef Py_ssize_t high_water
    cdef int is_written         # claimed by a writer
    cdef Py_ssize_t begun       # pieces that were to be added to the outbox ...
    cdef Py_ssize_t added       # ... and those that were
    cdef Py_ssize_t bytes_out   # sent so far

    def __init__(self, sock, *, framing=None, limit=65536, read_size=65536,
                 high_water=65536):
        cdef Py_ssize_t line = checked_size("limit", limit)
        cdef Py_ssize_t read = checked_size("read_size", read_size)
        cdef Py_ssize_t water = checked_size("high_water", high_water)
        if framing is not None and not isinstance(framing, Framing):
            raise TypeError("framing must be one of fastsock.framing, such as Lines(), "
                            f"not {framing!r}")
        if framing is not None:
            (<Framing>framing).check_made()
        if self.link is not None:
            raise RuntimeError("a Stream is made once")
        self.link = Link(sock)
        self.outbox = Outbox()
        self.framing = framing
        self.limit, self.read_size, self.high_water = line, read, water

    @property
    def sock(self):
        """The socket. What is received from it directly is missing here."""
        return None if self.link is None else self.link.sock

    def fileno(self):
        """The socket's file descriptor, -1 once it is closed."""
        if self.link is None:
            self.check_open()
        return self.link.sock.fileno()

    def readable(self):
        """True."""
        return True

    def writable(self):
        """True."""
        return True

    def close(self):
        """Send what was written, and close the socket, also if that fails."""
        if self.closed or self.link is None:
            return
        try:
            if self.outbox.size:
                self.flush()
        finally:
            self.closed = True
            self.link.sock.close()

    def __enter__(self):
        self.check_open()
        return self

    def __exit__(self, *details):
        # What can't be sent any more must not hide the exception that says so.
        if (self.link is not None and self.link.is_broken and not self.closed
                and details and details[0] is not None):
            self.closed = True
            self.link.sock.close()
        else:
            self.close()

    def __repr__(self):
        if self.link is None:
            return f"<fastsock.{type(self).__name__}, not initialised>"
        state = "closed" if self.closed else (
            f"{self.pending()} bytes to read, {self.outbox.size} to send")
        return (f"<fastsock.{type(self).__name__} over {self.sock!r}, "
                f"framing={self.framing!r}, {state}>")

    # -- writing -------------------------------------------------------------

    cdef int begin_writing(self) except -1:
        self.check_open()
        if not fastsock_claim(&self.is_written):
            raise RuntimeError("the stream is being written to already: one writer at a time")
        if self.link.is_broken:
            fastsock_release(&self.is_written)
            self.link.check_sends()
        return 0

    def write(self, data, /):
        """Keep bytes to be sent; once more than the high-water mark would be kept, those
        before are sent first.

        Returns
        -------
        int
            The number of bytes, all of which were accepted.

        Notes
        -----
        Whatever ends it early has `.bytes_sent`, and `.pieces_accepted`, which is 0: none
        of `data` was.
        """
        cdef Py_ssize_t sent = 0
        try:
            return self.keep(data, &sent, NULL)
        except BaseException as error:
            report(error, 0, sent)
            raise

    cdef Py_ssize_t keep(self, object data, Py_ssize_t *sent, Py_ssize_t *accepted) except -1:
        """All of the data into the outbox, or nothing.

        Of one piece of several, `accepted` counts them. Then the high-water mark is looked at
        once the piece is kept, and not before.
        """
        cdef BufferView view
        self.begin_writing()
        try:
            self.begun += 1
            borrow_readable(data, &view)
            try:
                if (accepted == NULL and self.outbox.size
                        and self.outbox.size + view.len > self.high_water):
                    self.send_kept(NULL, sent)
                self.outbox.add(data, view.buf, view.len)
                self.added += 1
                if accepted != NULL:
                    accepted[0] += 1
                    if self.outbox.size >= self.high_water:
                        self.send_kept(NULL, sent)
                return view.len
            finally:
                PyBuffer_Release(&view)
        finally:
            fastsock_release(&self.is_written)

    cdef int send_kept(self, Budget *budget, Py_ssize_t *sent) except -1:
        """Send all that is kept, and count it; without a budget, under one of its own.

        Where it fails, and how much went out is not known, `sent` is NOT_KNOWN.
        """
        cdef Py_ssize_t kept = self.outbox.size
        cdef Py_ssize_t count
        cdef Budget own
        if budget == NULL:
            own = self.link.budget()
            budget = &own
        try:
            self.link.send(self.outbox, budget)
        finally:
            count = kept - self.outbox.size
            self.bytes_out += count
            sent[0] = NOT_KNOWN if self.link.is_broken else sent[0] + count
        return 0

    def writelines(self, lines, /):
        """write() each of an iterable of bytes-like objects.

        Notes
        -----
        At the high-water mark what is kept is sent before the next piece is taken from the
        iterable. Whatever ends it early has `.pieces_accepted`, how many pieces were, and
        `.bytes_sent`, how many bytes went out meanwhile. The accepted ones are sent by
        flush(); `.pieces_returned` is a list of the piece that was refused, if one was.

        A subclass's own write() is used. Where it fails, its piece is accepted if all that
        it had Stream's methods keep was kept.
        """
        cdef Py_ssize_t taken = 0
        cdef Py_ssize_t accepted = 0
        cdef Py_ssize_t sent = 0
        cdef bint by_method = type(self) is not Stream and type(self).write is not Stream.write
        line = None
        try:
            check_pieces(lines, "writelines", "write(data), or [data]")
            self.make_way(&sent)
            for line in lines:
                taken += 1
                if by_method:
                    self.write_by_method(line, &sent, &accepted)
                    self.make_way(&sent)
                else:
                    self.keep(line, &sent, &accepted)
        except BaseException as error:
            report(error, accepted, sent)
            attach(error, "pieces_returned", [line] if taken > accepted else [])
            raise

    cdef int write_by_method(self, object line, Py_ssize_t *sent,
                             Py_ssize_t *accepted) except -1:
        """By a subclass's write(), which may also fail once it has written."""
        cdef Py_ssize_t begun = self.begun
        cdef Py_ssize_t added = self.added
        cdef Py_ssize_t bytes_out = self.bytes_out
        cdef bint was_broken = self.link.is_broken
        cdef bint is_accepted = False
        try:
            self.write(line)
            is_accepted = True
        finally:
            if not is_accepted:
                added = self.added - added
                is_accepted = added > 0 and added == self.begun - begun
            accepted[0] += is_accepted
            sent[0] += self.bytes_out - bytes_out
            if self.link.is_broken and not was_broken:
                sent[0] = NOT_KNOWN
        return 0

    cdef int make_way(self, Py_ssize_t *sent) except -1:
        """Send all that is kept, if it is at the high-water mark."""
        self.begin_writing()
        try:
            if self.outbox.size >= self.high_water:
                self.send_kept(NULL, sent)
        finally:
            fastsock_release(&self.is_written)
        return 0

    def flush(self):
        """Send all that was written.

        Raises
        ------
        TimeoutError, BlockingIOError, OSError
            With `.bytes_sent`, how many bytes went out (None: not known). The rest stays:
            the next flush() continues where this ended.
        """
        cdef Py_ssize_t sent = 0
        try:
            self.begin_writing()
            try:
                self.send_kept(NULL, &sent)
            finally:
                fastsock_release(&self.is_written)
        except BaseException as error:
            attach(error, "bytes_sent", None if sent == NOT_KNOWN else sent)
            raise

    def send_message(self, payload, /):
        """Send one message, after all that was written before.

        Raises
        ------
        ValueError
            The framing can't carry the payload; nothing was sent.
        TimeoutError, BlockingIOError, OSError
            As flush().

        Notes
        -----
        Whatever ends it early has `.bytes_sent` and `.pieces_accepted`. If that is 1, the
        next flush() sends what did not go out; don't send the message again.
        """
        cdef Py_ssize_t accepted = 0
        cdef Py_ssize_t sent = 0
        cdef Framing framing
        try:
            framing = self.need_framing()
            self.begin_writing()
            try:
                self.put_message(framing, payload)
                accepted = 1
                self.send_kept(NULL, &sent)
            finally:
                fastsock_release(&self.is_written)
        except BaseException as error:
            report(error, accepted, sent)
            raise

    def send_messages(self, payloads, /):
        """Send all messages of an iterable, many in one system call.

        Returns
        -------
        int
            How many.

        Raises
        ------
        As send_message().

        Notes
        -----
        At the high-water mark what is kept is sent before the next payload is taken from the
        iterable. Whatever ends it early has `.pieces_accepted`, how many payloads were, and
        `.bytes_sent`, how many bytes went out meanwhile. The accepted ones are sent by
        flush(); `.pieces_returned` is a list of the payload that was refused, if one was.
        """
        cdef Framing framing
        cdef Py_ssize_t accepted = 0
        cdef Py_ssize_t sent = 0
        cdef bint is_held = False
        cdef Budget budget
        payload = None
        try:
            framing = self.need_framing()
            check_pieces(payloads, "send_messages", "send_message(payload), or [payload]")
            self.begin_writing()
            try:
                budget = self.link.budget()
                if self.outbox.size >= self.high_water:
                    self.send_kept(&budget, &sent)
                for payload in payloads:
                    is_held = True
                    self.put_message(framing, payload)
                    accepted += 1
                    is_held = False
                    if self.outbox.size >= self.high_water:
                        self.send_kept(&budget, &sent)
                self.send_kept(&budget, &sent)
                return accepted
            finally:
                fastsock_release(&self.is_written)
        except BaseException as error:
            report(error, accepted, sent)
            attach(error, "pieces_returned", [payload] if is_held else [])
            raise

    cdef int put_message(self, Framing framing, object payload) except -1:
        """Into the outbox: all of the message, or nothing."""
        cdef BufferView view
        cdef Py_ssize_t size, in_memory, count, before
        cdef Outbox outbox = self.outbox
        borrow_readable(payload, &view)
        try:
            framing.check_payload(<const char *>view.buf, view.len)
            if view.len >= MOST_COPIED:
                outbox.close_piece()  # so that what follows can be taken back
            self.begun += 1
            before, count = outbox.size, parts_left(outbox)
            in_memory = outbox.filled - outbox.start
            try:
                size = framing.write_header(view.len, outbox.make_room(MOST_HEADER))
                outbox.filled += size
                outbox.size += size
                outbox.add(payload, view.buf, view.len)
                size = framing.write_trailer(outbox.make_room(MOST_HEADER))
                outbox.filled += size
                outbox.size += size
            except:
                outbox.take_back(count, in_memory, before)
                raise
            self.added += 1
        finally:
            PyBuffer_Release(&view)
        return 0


own_methods(Stream)


cdef Py_ssize_t checked_size(str name, object value) except -1:
    cdef Py_ssize_t size
    try:
        size = as_size(value)
    except OverflowError:
        size = 0
    except TypeError:
        raise TypeError(f"{name} must be an int of 1 to {LARGEST_SIZE} bytes, "
                        f"not {value!r}") from None
    if not 1 <= size <= LARGEST_SIZE:
        raise ValueError(f"{name} must be 1 to {LARGEST_SIZE} bytes, not {value}")
    return size
