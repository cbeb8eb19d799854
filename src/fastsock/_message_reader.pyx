"""MessageReader: whole messages out of a stream, under a framing.

Rules: as of Reader (_reader.pyx). One receive is made only when no whole message is
there. A message that is refused, and what comes behind it, stays where it is.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy

from fastsock._arguments cimport as_size
from fastsock._buffers cimport borrow_writable, is_plain
from fastsock._framing cimport MOST_HEADER, messages_in, raise_incomplete
from fastsock._inbox cimport front, length, put_back, take
from fastsock._python cimport BufferView, PyBuffer_Release
from fastsock._reader cimport LARGE
from fastsock._wait cimport check_progress

from fastsock._exceptions import IncompleteReadError

cdef Py_ssize_t ALL = 1 << 40


cdef class MessageReader(Reader):
    """The message half of a Stream's reading; no type to make objects of."""

    cdef Framing need_framing(self):
        if self.framing is None:
            raise ValueError("this Stream has no framing, so it knows no messages: make it "
                             "with framing=fastsock.framing.Lines() or another")
        return self.framing

    def recv_message(self):
        """Receive one message.

        Returns
        -------
        bytes
            The payload.

        Raises
        ------
        EOFError
            The peer ended the connection; inside a message it is an
            IncompleteReadError, with `.partial`.
        LimitOverrunError, FramingError
            The message is too long, or none; it stays where it is.
        TimeoutError, BlockingIOError, OSError
            What had arrived stays for the next call.
        """
        self.begin_reading()
        try:
            return self.next_message()
        finally:
            self.end_reading()

    cdef bytes next_message(self):
        cdef Framing framing = self.need_framing()
        cdef Budget budget = self.link.budget()
        cdef Frame frame
        cdef bytes message
        while True:
            if self.large is not None and self.large_is_message:
                return self.finish_large(&budget)
            if self.find_frame(framing, &frame):
                message = PyBytes_FromStringAndSize(
                    front(&self.inbox) + frame.header, frame.size)
                take(&self.inbox, frame.total)
                self.searched = 0
                return message
            if not self.receive_frame(&frame, &budget):
                if length(&self.inbox):
                    raise_incomplete(framing, &self.inbox)
                raise EOFError("the peer has ended the connection")

    cdef bint find_frame(self, Framing framing, Frame *frame) except -1:
        if self.large is not None or self.searched_for is not framing:
            self.look_for(framing)
        frame.total = 0
        if length(&self.inbox) == 0:
            return False
        return framing.find(front(&self.inbox), length(&self.inbox), &self.searched,
                            self.inbox.taken, frame)

    cdef bint receive_frame(self, Frame *frame, Budget *budget) except -1:
        """Receive more of a message that is not complete; False at the end."""
        cdef Py_ssize_t missing = 0
        if frame.total:
            missing = frame.total - length(&self.inbox)
            if missing >= LARGE and frame.total == frame.header + frame.size:
                self.begin_large(frame, True)
                return True
        return self.receive_more(missing, budget)

    def recv_messages(self, max=None):
        """Receive all messages that one system call brought, at least one.

        Parameters
        ----------
        max : int, optional
            At most so many; the others stay for the next call.

        Returns
        -------
        list of bytes
            Empty once the peer has ended the connection.

        Raises
        ------
        As recv_message(), but EOFError only inside a message.
        """
        cdef Py_ssize_t most = ALL if max is None else as_size(max)
        if most < 1:
            raise ValueError(f"recv_messages() takes a maximum of 1 or more, not {most}")
        self.begin_reading()
        try:
            return self.next_messages(most)
        finally:
            self.end_reading()

    cdef list next_messages(self, Py_ssize_t most):
        cdef Framing framing = self.need_framing()
        cdef Budget budget = self.link.budget()
        cdef Frame frame
        while True:
            if self.large is not None and self.large_is_message:
                return [self.finish_large(&budget)]
            if self.large is not None or self.searched_for is not framing:
                self.look_for(framing)
            found = messages_in(framing, &self.inbox, &self.searched, most)
            if found:
                return found
            self.find_frame(framing, &frame)
            if not self.receive_frame(&frame, &budget):
                if length(&self.inbox):
                    raise_incomplete(framing, &self.inbox)
                return []

    def recv_message_into(self, buffer, /):
        """Receive one message into a writable buffer, without a new object.

        Returns
        -------
        int
            The size of the payload.

        Raises
        ------
        ValueError
            The message does not fit; it stays, and can be received otherwise.
        As recv_message() otherwise.
        """
        cdef BufferView view
        borrow_writable(buffer, &view, "recv_message_into() argument")
        try:
            self.begin_reading()
            try:
                return self.next_message_into(
                    <char *>view.buf, view.len, is_plain(&view))
            finally:
                self.end_reading()
        finally:
            PyBuffer_Release(&view)

    cdef Py_ssize_t next_message_into(self, char *target, Py_ssize_t room,
                                      bint is_plain_memory) except -1:
        cdef Framing framing = self.need_framing()
        cdef Budget budget = self.link.budget()
        cdef Frame frame
        self.look_for(framing)
        while True:
            if self.find_frame(framing, &frame):
                check_room(frame.size, room)
                memcpy(target, front(&self.inbox) + frame.header, frame.size)
                take(&self.inbox, frame.total)
                self.searched = 0
                self.gives_up = False
                return frame.size
            if frame.total:
                check_room(frame.size, room)
                # A non-blocking socket gives up often, and one with a timeout may: then it
                # stays where it is, and is copied once, at the end.
                if (frame.total - length(&self.inbox) >= LARGE and budget.timeout_ns != 0
                        and not self.gives_up
                        and frame.total == frame.header + frame.size):
                    return self.receive_into(&frame, target, is_plain_memory, &budget)
            if not self.receive_more(
                    frame.total - length(&self.inbox) if frame.total else 0, &budget):
                if length(&self.inbox):
                    raise_incomplete(framing, &self.inbox)
                raise EOFError("the peer has ended the connection")

    cdef Py_ssize_t receive_into(self, Frame *frame, char *target, bint is_plain_memory,
                                 Budget *budget) except -1:
        """The rest of a large message, straight to where it was asked for."""
        cdef Py_ssize_t filled = length(&self.inbox) - frame.header
        cdef Py_ssize_t count
        cdef char[MOST_HEADER] header
        memcpy(header, front(&self.inbox), frame.header)
        memcpy(target, front(&self.inbox) + frame.header, filled)
        take(&self.inbox, length(&self.inbox))
        try:
            while filled < frame.size:
                count = self.link.receive(
                    target + filled, frame.size - filled, is_plain_memory, budget)
                if count == 0:
                    raise IncompleteReadError(
                        header[:frame.header] + target[:filled], frame.total)
                filled += count
                self.inbox.taken += count
                if filled < frame.size:
                    check_progress(budget, False)
        except IncompleteReadError:
            raise
        except:
            put_back(&self.inbox, header, frame.header, target, filled)
            self.gives_up = True
            raise
        return frame.size

    def messages(self):
        """Iterate over the messages until the peer ends the connection."""
        self.need_framing()
        return Messages(self)


cdef class Messages:
    """Iterates over a stream's messages."""
    cdef MessageReader reader

    def __init__(self, MessageReader reader not None):
        self.reader = reader

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self.reader.recv_message()
        except IncompleteReadError:
            raise
        except EOFError:
            raise StopIteration from None


cdef int check_room(Py_ssize_t size, Py_ssize_t room) except -1:
    if size > room:
        raise ValueError(f"the buffer of {room} bytes is too small for a message of {size}")
    return 0
