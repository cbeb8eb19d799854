"""Framings: where a message ends in a stream of bytes, and how one is written.

Job: each class finds the end of the first message in bytes that are there, and writes
what goes around a payload. No input or output here: a framing is tested as plain data,
and `Stream` (_stream.pyx) asks it about what has arrived. Those with a length are in
_sized.pyx.

Rules:
  * A framing's settings don't change, so many streams can share one. Only feed() has
    a memory, and it is the framing's own.
  * A message that is longer than the limit is refused as soon as that is known, before
    it is buffered. Limits are finite by default.
  * A class's docstring starts with the signature that inspect and help() show: Cython writes
    none for a constructor. stubtest compares it with the stub.
  * How the bytes were cut into pieces changes no message and no error. Messages in
    front of an error are given out first; the error comes with the next call.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcmp, memcpy

from fastsock._arguments cimport as_size
from fastsock._buffers cimport borrow_readable, fastsock_copy
from fastsock._inbox cimport append, free_inbox, front, length, settle, take
from fastsock._python cimport BufferView, PyBuffer_Release

from fastsock._exceptions import FramingError, IncompleteReadError, LimitOverrunError

cdef extern from "<string.h>" nogil:
    void *memmem(const void *data, size_t size, const void *wanted, size_t wanted_size)

cdef enum:
    LONGEST_LINE = 65536
cdef Py_ssize_t LARGEST_LIMIT = 1 << 40  # sizes stay far from what a Py_ssize_t can't hold


cdef int raise_overrun(Framing framing, object size, Py_ssize_t consumed) except -1:
    raise LimitOverrunError(
        f"a message of {size} bytes is above the limit of {framing.limit}", consumed)


cdef int raise_malformed(str what, int64_t position) except -1:
    raise FramingError(f"{what} at byte {position} of the stream", position)


cdef int raise_incomplete(Framing framing, Inbox *inbox) except -1:
    """The end came inside the message at the front; its bytes are taken."""
    cdef Frame frame
    cdef Py_ssize_t searched = 0
    partial = PyBytes_FromStringAndSize(front(inbox), length(inbox))
    framing.find(front(inbox), length(inbox), &searched, inbox.taken, &frame)
    take(inbox, length(inbox))
    raise IncompleteReadError(partial, frame.total if frame.total else None)


cdef object messages_in(Framing framing, Inbox *inbox, Py_ssize_t *searched, Py_ssize_t most):
    """The payloads of all whole messages at the front, at most so many: a list."""
    cdef list found = []
    cdef Frame frame
    cdef Py_ssize_t count = 0
    while count < most and length(inbox) > 0:
        try:
            if not framing.find(front(inbox), length(inbox), searched, inbox.taken, &frame):
                break
            found.append(PyBytes_FromStringAndSize(front(inbox) + frame.header, frame.size))
        except (ValueError, MemoryError):
            if count == 0:
                raise
            break  # it is met again by the next call
        take(inbox, frame.total)
        searched[0] = 0
        count += 1
    return found


cdef class Framing:
    "Framing()\n--\n\n" \
        """What all framings have; Lines, LengthPrefix, Varint, Netstring and Fixed are some.

    Thread safety: encode() may be called by any thread; feed() by one at a time.
    """

    def __dealloc__(self):
        free_inbox(&self.fed)

    cdef int check_unmade(self) except -1:
        """First in each __init__: settings don't change, also if a second one fails."""
        if self.limit:
            raise RuntimeError(f"a {type(self).__name__} is made once")
        return 0

    cdef int set_limit(self, object limit, str name="limit") except -1:
        """Last in each __init__: without a limit a framing can't be used. `name` is the
        argument's."""
        try:
            most = as_size(limit)
        except OverflowError:
            most = 0
        except TypeError:
            raise TypeError(f"{name} must be an int of 1 to {LARGEST_LIMIT} bytes, "
                            f"not {limit!r}") from None
        if not 0 < most <= LARGEST_LIMIT:
            raise ValueError(f"{name} must be 1 to {LARGEST_LIMIT} bytes, not {limit}")
        self.limit = most
        return 0

    cdef int check_made(self) except -1:
        if self.limit == 0:
            raise TypeError(f"this {type(self).__name__} was not initialised")
        return 0

    cdef str settings(self):
        """The arguments of the constructor, as source text."""
        return f"limit={self.limit}"

    def __repr__(self):
        if self.limit == 0:
            return f"<{type(self).__name__}, not initialised>"
        return f"{type(self).__name__}({self.settings()})"

    cdef bint find(self, const char *data, Py_ssize_t size, Py_ssize_t *searched,
                   int64_t position, Frame *frame) except -1:
        raise TypeError(f"{type(self).__name__} is no framing of its own")

    cdef Py_ssize_t write_header(self, Py_ssize_t payload_size, char *target) except -1:
        return 0

    cdef Py_ssize_t write_trailer(self, char *target) except -1:
        return 0

    cdef int check_payload(self, const char *payload, Py_ssize_t size) except -1:
        if size > self.limit:
            raise ValueError(f"a message of {size} bytes is above the limit of {self.limit}")
        return 0

    def feed(self, data, /):
        """Take bytes as they arrived, and return the messages that are whole now.

        Parameters
        ----------
        data : bytes-like
            The next bytes of the stream, cut anywhere.

        Returns
        -------
        list of bytes
            The payloads; empty while there is no whole message.

        Raises
        ------
        LimitOverrunError, FramingError
            The next message is too long, or none. If this call has some before it, it
            returns them. From then on each raises the same, until feed_eof() was called.
        """
        cdef BufferView view
        self.check_made()
        borrow_readable(data, &view)
        try:
            if not self.is_refused:  # else it would only be kept
                append(&self.fed, <const char *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        try:
            found = messages_in(self, &self.fed, &self.fed_searched, LARGEST_LIMIT)
        except (LimitOverrunError, FramingError):
            self.is_refused = True
            raise
        settle(&self.fed)
        return found

    def feed_eof(self):
        """Say that the stream has ended; feed() starts with a new one.

        Raises
        ------
        IncompleteReadError
            Inside a message: `.partial` is what had arrived of it.
        LimitOverrunError, FramingError
            What had arrived is no message.
        """
        self.check_made()
        try:
            if length(&self.fed):
                raise_incomplete(self, &self.fed)
        finally:
            free_inbox(&self.fed)
            self.fed.taken = 0
            self.fed_searched = 0
            self.is_refused = False

    def encode(self, payload, /):
        """The bytes to send for one message.

        Parameters
        ----------
        payload : bytes-like

        Returns
        -------
        bytes

        Raises
        ------
        ValueError
            This framing can't carry the payload: it is above the limit, contains the
            delimiter, or has not the fixed size.
        """
        cdef BufferView view
        cdef char[MOST_HEADER] header
        cdef char[MOST_HEADER] trailer
        cdef Py_ssize_t before, after
        self.check_made()
        borrow_readable(payload, &view)
        try:
            self.check_payload(<const char *>view.buf, view.len)
            before = self.write_header(view.len, header)
            after = self.write_trailer(trailer)
            message = PyBytes_FromStringAndSize(NULL, before + view.len + after)
            memcpy(PyBytes_AS_STRING(message), header, before)
            memcpy(PyBytes_AS_STRING(message) + before, view.buf, view.len)
            memcpy(PyBytes_AS_STRING(message) + before + view.len, trailer, after)
            return message
        finally:
            PyBuffer_Release(&view)


cdef class Lines(Framing):
    "Lines(delimiter=b'\\n', *, limit=65536)\n--\n\n" \
        """Messages that end with a delimiter, which is not part of them.

    Parameters
    ----------
    delimiter : bytes
        1 to 32 bytes.
    limit : int
        The longest message in bytes, without its delimiter.
    """
    cdef readonly bytes delimiter

    def __init__(self, delimiter=b"\n", *, limit=LONGEST_LINE):
        self.check_unmade()
        try:
            wanted = bytes(memoryview(delimiter))
        except TypeError:
            raise TypeError(
                f"delimiter must be bytes, not {type(delimiter).__name__!r}") from None
        if not 1 <= len(wanted) <= MOST_HEADER:
            raise ValueError(f"delimiter must be 1 to {MOST_HEADER} bytes long, "
                             f"not {len(wanted)}")
        self.delimiter = wanted
        self.set_limit(limit)

    cdef str settings(self):
        return f"{self.delimiter!r}, limit={self.limit}"

    cdef bint find(self, const char *data, Py_ssize_t size, Py_ssize_t *searched,
                   int64_t position, Frame *frame) except -1:
        cdef const char *wanted = PyBytes_AS_STRING(self.delimiter)
        cdef Py_ssize_t wanted_size = PyBytes_GET_SIZE(self.delimiter)
        cdef const char *found
        frame.header = frame.total = 0
        if wanted_size == 1:
            found = <const char *>memchr(data + searched[0], wanted[0], size - searched[0])
        else:
            found = <const char *>memmem(
                data + searched[0], size - searched[0], wanted, wanted_size)
        if found == NULL:
            searched[0] = max(0, size - wanted_size + 1)
            if searched[0] > self.limit:
                raise_overrun(self, f"{self.limit + 1} or more", searched[0])
            return False
        frame.size = found - data
        if frame.size > self.limit:
            raise_overrun(self, frame.size, frame.size)
        frame.total = frame.size + wanted_size
        return True

    cdef Py_ssize_t write_trailer(self, char *target) except -1:
        cdef const char *wanted = PyBytes_AS_STRING(self.delimiter)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.delimiter)
        if size == 1:
            target[0] = wanted[0]
        else:
            fastsock_copy(target, wanted, size)
        return size

    cdef int check_payload(self, const char *payload, Py_ssize_t size) except -1:
        cdef Py_ssize_t wanted_size = PyBytes_GET_SIZE(self.delimiter)
        cdef const char *wanted = PyBytes_AS_STRING(self.delimiter)
        if size > self.limit:
            return Framing.check_payload(self, payload, size)
        if wanted_size == 1:
            if size and memchr(payload, wanted[0], size) != NULL:
                raise ValueError(f"the message contains the delimiter {self.delimiter!r}")
            return 0
        if size and memmem(payload, size, wanted, wanted_size) != NULL:
            raise ValueError(f"the message contains the delimiter {self.delimiter!r}")
        # Its end and the delimiter together may hold the delimiter sooner ("\r" "\r\r").
        cdef Py_ssize_t rest
        for rest in range(1, min(size, wanted_size - 1) + 1):
            if (memcmp(payload + size - rest, wanted, rest) == 0
                    and memcmp(wanted, wanted + rest, wanted_size - rest) == 0):
                raise ValueError(f"with the end of the message the delimiter "
                                 f"{self.delimiter!r} would be found too soon")
        return 0
