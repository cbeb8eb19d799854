"""Reader: buffered reading, with the names and the meaning of asyncio.StreamReader.

Rules:
  * Nothing that arrived is lost: an operation that fails leaves it in the inbox, and
    the next one goes on.
  * One deadline, the socket's timeout, bounds the whole of an operation.
  * One reader at a time; another gets a RuntimeError.
  * What is large is received where it will stay. If that is interrupted and another
    way of reading is used next, it goes back to the inbox first.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memchr, memcpy

from fastsock._arguments cimport as_size
from fastsock._buffers cimport borrow_writable, is_plain
from fastsock._errors cimport caught
from fastsock._inbox cimport free_inbox, front, length, make_room, put_back, settle, take
from fastsock._python cimport BufferView, PyBuffer_Release
from fastsock._wait cimport check_progress

from fastsock._exceptions import IncompleteReadError, LimitOverrunError

cdef extern from "<string.h>" nogil:
    void *memmem(const void *data, size_t size, const void *wanted, size_t wanted_size)


cdef class Reader:
    """The reading half of a Stream; no type to make objects of."""

    def __dealloc__(self):
        free_inbox(&self.inbox)

    def pending(self):
        """How many bytes have arrived and were not read yet: select() can't see them."""
        if self.large is not None:
            return self.header_size + self.large_filled
        return length(&self.inbox)

    def at_eof(self):
        """Has the peer ended the connection, and is nothing left to read?"""
        return self.link is not None and self.link.has_ended and self.pending() == 0

    cdef int check_open(self) except -1:
        if self.link is None or self.closed:
            raise ValueError("I/O operation on closed stream")
        return 0

    cdef int begin_reading(self) except -1:
        self.check_open()
        if not fastsock_claim(&self.is_read):
            raise RuntimeError("the stream is being read from already: one reader at a time")
        self.expected = 0
        return 0

    cdef void end_reading(self) noexcept:
        # Room for the rest of a large message stays: each of many calls that get a part of it
        # would copy what is there.
        if length(&self.inbox) >= self.expected:
            settle(&self.inbox)
        fastsock_release(&self.is_read)

    cdef bint receive_more(self, Py_ssize_t wanted, Budget *budget,
                           bint may_keep_gil=True) except -1:
        """Receive once behind what is there, up to `wanted` bytes or the usual amount;
        False at the end."""
        cdef Py_ssize_t size = max(wanted, self.read_size)
        cdef Py_ssize_t count
        if wanted >= LARGE:
            self.expected = length(&self.inbox) + wanted
        count = self.link.receive(
            make_room(&self.inbox, size), size, may_keep_gil, budget)
        self.inbox.end += count
        if count:
            check_progress(budget, False)
        return count > 0

    cdef bytes take_bytes(self, Py_ssize_t count):
        found = PyBytes_FromStringAndSize(front(&self.inbox), count)
        take(&self.inbox, count)
        self.searched = 0
        return found

    cdef int look_for(self, object wanted) except -1:
        """What was searched before counts only for the same framing or separator."""
        self.unget_large()
        if self.searched_for is not wanted:
            self.searched_for = wanted
            self.searched = 0
        return 0

    def read(self, n=-1, /):
        """Read up to `n` bytes: what is there, or else what arrives next.

        Parameters
        ----------
        n : int
            -1 reads until the peer ends the connection, however much that is.

        Returns
        -------
        bytes
            b"" at the end, or for n = 0.
        """
        cdef Py_ssize_t most = as_size(n)
        cdef bint is_first = True
        cdef Budget budget
        self.begin_reading()
        try:
            budget = self.link.budget()
            self.look_for(None)
            if most < 0:
                # All but the first give the GIL away: this may go on for long.
                while self.receive_more(0, &budget, is_first):
                    is_first = False
                return self.take_bytes(length(&self.inbox))
            if most and not length(&self.inbox):
                self.receive_more(0, &budget)
            return self.take_bytes(min(most, length(&self.inbox)))
        finally:
            self.end_reading()

    def readexactly(self, n, /):
        """Read exactly `n` bytes.

        Raises
        ------
        ValueError
            For n below 0.
        fastsock.IncompleteReadError
            The peer ended the connection before: `.partial` is what had arrived.
        TimeoutError, BlockingIOError, OSError
            What had arrived stays for the next call.
        """
        cdef Py_ssize_t wanted = as_size(n)
        cdef Budget budget
        cdef Frame frame
        if wanted < 0:
            raise ValueError(f"readexactly() takes 0 or more bytes, not {wanted}")
        self.begin_reading()
        try:
            budget = self.link.budget()
            if not self.goes_on(wanted):
                self.look_for(None)
            if self.large is not None or wanted - length(&self.inbox) >= LARGE:
                if self.large is None:
                    frame.header = 0
                    frame.size = frame.total = wanted
                    self.begin_large(&frame, False)
                return self.finish_large(&budget)
            while length(&self.inbox) < wanted:
                if not self.receive_more(wanted - length(&self.inbox), &budget):
                    raise IncompleteReadError(self.take_bytes(length(&self.inbox)), wanted)
            return self.take_bytes(wanted)
        finally:
            self.end_reading()

    def readuntil(self, separator=b"\n", /):
        """Read up to and with a separator.

        Parameters
        ----------
        separator : bytes-like, or tuple of them
            The first that is complete ends it.

        Raises
        ------
        fastsock.IncompleteReadError
            The peer ended the connection before: `.partial` is what had arrived.
        fastsock.LimitOverrunError
            More than `limit` bytes come before the separator. They stay: read(
            error.consumed) takes them.
        """
        self.begin_reading()
        try:
            return self.read_until(separator)
        finally:
            self.end_reading()

    def readline(self):
        """Read a line with its b"\\n"; at the end what is left, and then b""."""
        self.begin_reading()
        try:
            return self.read_line()
        finally:
            self.end_reading()

    def __iter__(self):
        self.check_open()
        return self

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    cdef bytes read_line(self):
        cdef bytes line
        try:
            line = self.read_until(b"\n")
        except IncompleteReadError as error:
            line = caught(error, IncompleteReadError).partial
        return line

    cdef bytes read_until(self, object separator):
        cdef Budget budget = self.link.budget()
        cdef Py_ssize_t end, longest
        cdef Py_ssize_t start = 0
        cdef tuple separators = as_separators(separator)
        # A bytearray, say, may be another separator by the next call.
        self.look_for(separator if type(separator) is bytes else None)
        if self.searched_for is None:
            self.searched = 0
        while True:
            end = find_first(separators, front(&self.inbox), length(&self.inbox),
                             self.searched, &start, &longest)
            if end:
                if start > self.limit:
                    raise LimitOverrunError(
                        f"a line of {start} bytes is above the limit of {self.limit}", start)
                return self.take_bytes(end)
            self.searched = max(0, length(&self.inbox) - longest + 1)
            if self.searched > self.limit:
                raise LimitOverrunError(
                    f"no separator within the limit of {self.limit} bytes", self.searched)
            if not self.receive_more(0, &budget):
                raise IncompleteReadError(self.take_bytes(length(&self.inbox)), None)

    def peek(self, n, /):
        """Up to `n` of the next bytes, which stay: at least one, or b"" at the end."""
        cdef Py_ssize_t most = as_size(n)
        cdef Budget budget
        if most < 1:
            raise ValueError(f"peek() takes 1 or more bytes, not {most}")
        self.begin_reading()
        try:
            budget = self.link.budget()
            self.unget_large()
            if not length(&self.inbox):
                self.receive_more(0, &budget)
            return PyBytes_FromStringAndSize(
                front(&self.inbox), min(most, length(&self.inbox)))
        finally:
            self.end_reading()

    def readinto(self, buffer, /):
        """Read into a writable buffer: what is there, or else what arrives next.

        Returns
        -------
        int
            The number of bytes; 0 at the end, or for an empty buffer.
        """
        cdef BufferView view
        cdef Py_ssize_t count
        cdef Budget budget
        borrow_writable(buffer, &view, "readinto() argument")
        try:
            self.begin_reading()
            try:
                budget = self.link.budget()
                self.look_for(None)
                if not length(&self.inbox):
                    if view.len >= self.read_size:
                        count = self.link.receive(
                            <char *>view.buf, view.len, is_plain(&view), &budget)
                        self.inbox.taken += count
                        return count
                    if view.len:
                        self.receive_more(0, &budget)
                count = min(view.len, length(&self.inbox))
                if count:
                    memcpy(view.buf, front(&self.inbox), count)
                    take(&self.inbox, count)
                return count
            finally:
                self.end_reading()
        finally:
            PyBuffer_Release(&view)

    # -- a large message -----------------------------------------------------

    cdef bint goes_on(self, Py_ssize_t wanted) noexcept:
        """Is this the readexactly() that was given up before?"""
        return (self.large is not None and not self.large_is_message
                and PyBytes_GET_SIZE(self.large) == wanted)

    cdef int begin_large(self, Frame *frame, bint is_message) except -1:
        """What is there of it moves to where it will stay."""
        cdef Py_ssize_t filled = max(0, length(&self.inbox) - frame.header)
        self.large = PyBytes_FromStringAndSize(NULL, frame.size)
        # An empty inbox has no memory, and memcpy() takes no NULL, not even for 0 bytes.
        if frame.header:
            memcpy(self.header, front(&self.inbox), frame.header)
        if filled:
            memcpy(PyBytes_AS_STRING(self.large), front(&self.inbox) + frame.header, filled)
        take(&self.inbox, frame.header + filled)
        self.header_size = frame.header
        self.large_filled = filled
        self.large_is_message = is_message
        self.searched = 0
        settle(&self.inbox)
        return 0

    cdef bytes finish_large(self, Budget *budget):
        """Receive the rest of it; if that fails, it waits for the next call."""
        cdef char *memory = PyBytes_AS_STRING(self.large)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.large)
        cdef Py_ssize_t count
        while self.large_filled < size:
            count = self.link.receive(
                memory + self.large_filled, size - self.large_filled, True, budget)
            if count == 0:
                partial = self.header[:self.header_size] + memory[:self.large_filled]
                self.large = None
                raise IncompleteReadError(partial, self.header_size + size)
            self.large_filled += count
            self.inbox.taken += count
            if self.large_filled < size:
                check_progress(budget, False)
        message = self.large
        self.large = None
        return message

    cdef int unget_large(self) except -1:
        """Another way of reading comes next: what arrived of the message goes back."""
        if self.large is not None:
            put_back(&self.inbox, self.header, self.header_size,
                     PyBytes_AS_STRING(self.large), self.large_filled)
            self.large = None
        return 0


cdef tuple as_separators(object separator):
    """A tuple of bytes, none of them empty."""
    cdef tuple separators
    if type(separator) is bytes:
        separators = (separator,)
    elif isinstance(separator, tuple):
        if not separator:
            raise ValueError("readuntil() needs at least one separator")
        separators = tuple([bytes(memoryview(one)) for one in separator])
    else:
        separators = (bytes(memoryview(separator)),)
    if b"" in separators:
        raise ValueError("a separator of readuntil() must have at least one byte")
    return separators


cdef Py_ssize_t find_first(tuple separators, const char *data, Py_ssize_t size,
                           Py_ssize_t searched, Py_ssize_t *start, Py_ssize_t *longest) except -1:
    """Where the separator ends that is the first to be complete, the shorter of two that
    end together; 0: there is none.

    Also says where it starts, and how long the longest of them is.
    """
    cdef Py_ssize_t best = 0
    cdef Py_ssize_t end
    cdef const char *found
    cdef bytes separator
    longest[0] = 0
    for separator in separators:
        longest[0] = max(longest[0], PyBytes_GET_SIZE(separator))
        if size <= searched:
            continue
        if PyBytes_GET_SIZE(separator) == 1:
            found = <const char *>memchr(
                data + searched, PyBytes_AS_STRING(separator)[0], size - searched)
        else:
            found = <const char *>memmem(data + searched, size - searched,
                                         PyBytes_AS_STRING(separator),
                                         PyBytes_GET_SIZE(separator))
        if found == NULL:
            continue
        end = found - data + PyBytes_GET_SIZE(separator)
        if best == 0 or end < best or (end == best and found - data > start[0]):
            best = end
            start[0] = found - data
    return best
