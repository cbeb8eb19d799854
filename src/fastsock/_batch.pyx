"""DatagramBatch: memory for many datagrams, allocated once and used again.

Job: kernel buffers with a place for each sender's address and control messages, and
the datagrams that are in them. recvmmsg and sendmmsg (_recvmmsg, _sendmmsg) fill and
send it.

Rules: a buffer of a socket with UDP_GRO may hold many datagrams, glued; here each is an
entry of its own. What is cut off is marked. Memory that a memoryview shows stays as
long as that lives, also if the batch has got other memory since. One call at a time fills,
sends or clears a batch; without a GIL, who looks into it takes turns with what moves its memory.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memmove

from fastsock._ancillary cimport close_received_fds, unpack
from fastsock._arguments cimport as_size
from fastsock._buffers cimport borrow_readable
from fastsock._libc cimport (
    CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, cmsghdr, msghdr,
)
from fastsock._platform cimport FASTSOCK_UDP_GRO
from fastsock._python cimport BufferView, PyBuffer_Release

cdef extern from "_claim.h" nogil:
    bint fastsock_claim(int *flag)
    void fastsock_release(int *flag)

cdef enum:
    MOST_DATAGRAMS = 1024       # UIO_MAXIOV: what one system call takes
    IPPROTO_UDP = 17
    CLAIMED = 1 << 28           # in msg_flags: a bit that the kernel leaves alone


class TruncatedDatagram(bytes):
    """A datagram of which the end was cut off, since the buffer was too small.

    Attributes
    ----------
    full_size : int
        How many bytes were sent.
    """


cdef class DatagramBatch:
    "DatagramBatch(count, size=2048)\n--\n\n" \
        """Memory for many datagrams, to be received into and sent from again and again.

    Parameters
    ----------
    count : int
        1 to 1,024 kernel buffers, each for one datagram (or, on a socket with
        enable_gro(), for as many as the kernel glued together).
    size : int
        1 to 65,536 bytes a datagram; what is longer is cut off, and marked.

    `len(batch)` is how many datagrams are in it; batch[i] is a memoryview of one, which
    may be written to, and `batch[i] = data` puts other data in its place.

    Thread safety: one call at a time may use a batch; another gets a RuntimeError.
    """

    def __init__(self, count, size=2048):
        cdef Py_ssize_t slots = as_size(count)
        cdef Py_ssize_t room = as_size(size)
        if not 1 <= slots <= MOST_DATAGRAMS:
            raise ValueError(f"count must be 1 to {MOST_DATAGRAMS}, not {slots}")
        if not 1 <= room <= LARGEST_DATAGRAM:
            raise ValueError(f"size must be 1 to {LARGEST_DATAGRAM} bytes, not {room}")
        if self.parts != NULL:
            raise RuntimeError("a DatagramBatch is made once")
        self.peers = Peers()
        self.parts = <iovec *>calloc(slots, sizeof(iovec))
        self.addresses = <sockaddr_storage *>calloc(slots, sizeof(sockaddr_storage))
        self.entries = <Entry *>calloc(slots, sizeof(Entry))
        # Last, since it says that the batch is made.
        self.messages = <FastsockMessage *>calloc(slots, sizeof(FastsockMessage))
        if NULL in (self.messages, self.parts, self.addresses, self.entries):
            free(self.messages)
            self.messages = NULL
            raise MemoryError
        self.entry_room = self.count = slots
        self.size = room
        try:
            self.make_block(room)
        except:
            free(self.messages)
            self.messages = NULL
            raise

    def __repr__(self):
        if self.messages == NULL:
            return f"<fastsock.{type(self).__name__}, not initialised>"
        return (f"<fastsock.{type(self).__name__} count={self.count} size={self.size}, "
                f"{self.used} datagrams>")

    def __dealloc__(self):
        self.close_unclaimed_fds()
        free(self.messages)
        free(self.parts)
        free(self.addresses)
        free(self.entries)
        free(self.controls)

    # -- for receiving -----------------------------------------------------------

    cdef char *block_start(self):
        return PyByteArray_AS_STRING(self.block)

    @cython.critical_section
    cdef int make_block(self, Py_ssize_t room) except -1:
        """Memory of `room` bytes a kernel buffer; what was in the batch is gone, unless there
        is no memory."""
        cdef Py_ssize_t index
        cdef bytearray block = PyByteArray_FromStringAndSize(NULL, self.count * room)
        self.view = memoryview(block)
        self.block = block
        self.close_unclaimed_fds()
        self.room = room
        self.used = self.slots_used = 0
        self.written = self.count
        for index in range(self.count):
            self.parts[index].iov_base = self.block_start() + index * room
            self.parts[index].iov_len = room
            self.messages[index].msg_hdr.msg_iov = &self.parts[index]
            self.messages[index].msg_hdr.msg_iovlen = 1
            self.messages[index].msg_hdr.msg_name = &self.addresses[index]
        return 0

    cdef int want_controls(self) except -1:
        if self.controls == NULL:
            self.controls = <char *>calloc(self.count, CONTROL_ROOM)
            if self.controls == NULL:
                raise MemoryError
        return 0

    cdef int prepare(self, bint with_controls) noexcept:
        """Say to the kernel again how much room there is."""
        cdef Py_ssize_t index
        cdef Py_ssize_t stale = self.written if with_controls == self.had_controls else self.count
        cdef msghdr *header
        self.close_unclaimed_fds()
        for index in range(stale):
            header = &self.messages[index].msg_hdr
            header.msg_namelen = sizeof(sockaddr_storage)
            header.msg_control = (
                self.controls + index * CONTROL_ROOM if with_controls else NULL)
            header.msg_controllen = CONTROL_ROOM if with_controls else 0
            header.msg_flags = 0
        self.had_controls = with_controls
        self.written = 0
        self.used = self.slots_used = 0
        return 0

    cdef int close_unclaimed_fds(self) noexcept:
        """Close the descriptors that came with datagrams, and that nobody asked for."""
        cdef Py_ssize_t slot
        for slot in range(self.slots_with_controls):
            if not self.messages[slot].msg_hdr.msg_flags & CLAIMED:
                close_received_fds(&self.messages[slot].msg_hdr)
        self.slots_with_controls = 0
        return 0

    cdef int own_controls(self) noexcept:
        """Have the descriptors that came closed, unless they are asked for."""
        cdef Py_ssize_t slot
        self.slots_with_controls = self.slots_used
        for slot in range(self.slots_used):
            self.messages[slot].msg_hdr.msg_flags &= ~CLAIMED
        return 0

    @cython.critical_section
    cdef int take_in(self, Py_ssize_t slots) except -1:
        """Make entries of what the kernel wrote to so many buffers."""
        cdef Py_ssize_t slot, segment_size
        cdef cmsghdr *control
        for slot in range(slots):
            segment_size = 0
            control = NULL
            if self.messages[slot].msg_hdr.msg_controllen > 0:
                control = CMSG_FIRSTHDR(&self.messages[slot].msg_hdr)
            while control != NULL:
                if (control.cmsg_level == IPPROTO_UDP and control.cmsg_type == FASTSOCK_UDP_GRO
                        and control.cmsg_len >= CMSG_LEN(sizeof(int))):
                    segment_size = (<int *>CMSG_DATA(control))[0]
                control = CMSG_NXTHDR(&self.messages[slot].msg_hdr, control)
            self.slots_used = slot + 1
            self.add_entries(slot, segment_size)
        return 0

    cdef int add_entries(self, Py_ssize_t slot, Py_ssize_t segment_size) except -1:
        cdef Py_ssize_t left = self.messages[slot].msg_len
        cdef Py_ssize_t there = min(left, self.room)
        cdef char *data = <char *>self.parts[slot].iov_base
        cdef Entry *entries
        cdef Entry *entry
        if segment_size <= 0:
            segment_size = max(left, 1)
        while True:
            if self.used == self.entry_room:
                entries = <Entry *>realloc(
                    self.entries, 2 * self.entry_room * sizeof(Entry))
                if entries == NULL:
                    raise MemoryError
                self.entries = entries
                self.entry_room *= 2
            entry = &self.entries[self.used]
            # Of what was cut off nothing is there, and its place is the buffer's end.
            entry.data = data if there > 0 else <char *>self.parts[slot].iov_base + self.room
            entry.slot = slot
            entry.full_size = min(left, segment_size)
            entry.size = min(entry.full_size, max(there, 0))
            # Only glued datagrams can be above the size that was asked for.
            if entry.size > self.size:
                entry.size = self.size
            self.used += 1
            data += segment_size
            left -= segment_size
            there -= segment_size
            if left <= 0:
                return 0

    cdef int claim(self) except -1:
        """For one call; `release()` ends it."""
        if self.messages == NULL:
            raise ValueError("a DatagramBatch that was not initialised")
        if not fastsock_claim(&self.is_claimed):
            raise RuntimeError("another call uses this batch")
        return 0

    cdef void release(self) noexcept:
        fastsock_release(&self.is_claimed)

    # -- for users ----------------------------------------------------------------

    def __len__(self):
        return self.used

    cdef Entry *entry(self, object index) except NULL:
        cdef Py_ssize_t position = as_size(index)
        if position < 0:
            position += self.used
        if not 0 <= position < self.used:
            raise IndexError(f"datagram {index} of a batch that has {self.used}")
        return &self.entries[position]

    @cython.critical_section
    def __getitem__(self, index):
        cdef Entry *entry = self.entry(index)
        cdef Py_ssize_t start = entry.data - self.block_start()
        return self.view[start:start + entry.size]

    @cython.critical_section
    def __setitem__(self, index, data):
        """Put other data in its place, at most as much as one has room for."""
        cdef Entry *entry
        cdef Py_ssize_t room
        cdef BufferView view
        borrow_readable(data, &view)
        try:
            entry = self.entry(index)  # only now: lending may run Python code
            room = min(self.size, <char *>self.parts[entry.slot].iov_base + self.room - entry.data)
            if self.used > self.slots_used:
                room = min(room, entry.full_size)  # glued ones have neighbours
            if view.len > room:
                raise ValueError(f"{view.len} bytes don't fit into the {room} of datagram {index}")
            memmove(entry.data, view.buf, view.len)
            entry.size = entry.full_size = view.len
        finally:
            PyBuffer_Release(&view)

    @cython.critical_section
    def address(self, index, /):
        """The sender's address; None where there is none. Made once for each peer."""
        return self.address_of(self.entry(index).slot)

    cdef object address_of(self, Py_ssize_t slot):
        return self.peers.name_of(
            &self.addresses[slot], self.messages[slot].msg_hdr.msg_namelen)

    @cython.critical_section
    def truncated(self, index, /):
        """Was the end of it cut off?"""
        cdef Entry *entry = self.entry(index)
        return entry.size < entry.full_size

    @cython.critical_section
    def full_size(self, index, /):
        """How many bytes were sent of it, also if some were cut off."""
        return self.entry(index).full_size

    def ancillary(self, index, /):
        """The control messages that came with it: a list of (level, type, data). Empty
        unless recvmmsg_into() was asked for them.

        Descriptors among them are yours to close once they were asked for. Those that were
        not are closed when the batch is used again, cleared or freed.
        """
        cdef msghdr *header
        self.claim()  # what closes descriptors must not come in between
        try:
            header = &self.messages[self.entry(index).slot].msg_hdr
            found = unpack(header)
            header.msg_flags |= CLAIMED
            return found
        finally:
            self.release()

    def clear(self):
        """Forget the datagrams."""
        self.claim()
        self.close_unclaimed_fds()
        self.used = self.slots_used = 0
        self.release()

    cdef object text_of(self, const Entry *entry):
        cdef bytes text = PyBytes_FromStringAndSize(entry.data, entry.size)
        if entry.size < entry.full_size:
            marked = TruncatedDatagram(text)
            marked.full_size = entry.full_size
            return marked
        return text
