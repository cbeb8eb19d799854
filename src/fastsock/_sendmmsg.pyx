"""sendmmsg(2): many datagrams in one system call.

Rules: all is sent, in order, under the socket's timeout. Whatever ends it early reports how
many datagrams were sent (_pieces.pxd); those before an item that is no message were. Every
buffer is held until the call that sends it returned.

These functions become methods of fastsock.socket when they are first asked for.

Thread safety: as of sendto().
"""

cimport cython

from cpython.bytes cimport PyBytes_CheckExact
from cpython.object cimport PyObject
from libc.string cimport memcpy, memset

from fastsock._address cimport SocketAddress, parse_address
from fastsock._arguments cimport as_int
from fastsock._batch cimport DatagramBatch, Entry
from fastsock._buffers cimport borrow_readable
from fastsock._errors cimport attach
from fastsock._libc cimport (
    CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, CMSG_SPACE, POLLOUT, SOCK_STREAM, cmsghdr,
    iovec, msghdr,
)
from fastsock._object cimport SocketHead
from fastsock._operation cimport SEND, Operation
from fastsock._pieces cimport check_pieces, report
from fastsock._platform cimport FastsockMessage, fastsock_sendmmsg
from fastsock._python cimport BufferView, PyBuffer_Release, PySys_Audit
from fastsock._self cimport head_of
from fastsock._stats cimport FASTSOCK_COUNT, counters
from fastsock._stats cimport SENDMMSG as NAME_SENDMMSG
from fastsock._traits cimport MAY_KEEP_GIL, MOST_SENT_UNDER_GIL, traits_of
from fastsock._vector cimport Vector
from fastsock._wait cimport Budget, budget_of, call, check_progress

cdef enum:
    SOURCE_ROOM = 64            # a control message with a source address
    IPPROTO_IP = 0
    IPPROTO_IPV6 = 41
    IP_PKTINFO = 8
    IPV6_PKTINFO = 50


cdef struct Sending:
    FastsockMessage *messages
    unsigned int count
    int flags


cdef Py_ssize_t call_sendmmsg(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Sending *sending = <Sending *>arguments
    return fastsock_sendmmsg(fd, sending.messages, sending.count, sending.flags | extra_flags)


cdef Operation OPERATION = Operation(call_sendmmsg, POLLOUT, SEND, NAME_SENDMMSG)


cdef int send_all(SocketHead *head, FastsockMessage *messages, Py_ssize_t count, int flags,
                  Py_ssize_t bytes_in_all, bint is_plain_memory, Budget *budget,
                  Sent *sent) except -1:
    """Send so many messages; `sent` counts them as they go."""
    cdef Sending sending
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t number, index
    cdef int traits = traits_of(
        head, flags, 0, is_plain_memory and bytes_in_all <= MOST_SENT_UNDER_GIL
        and sent.messages == 0)
    sending.flags = flags
    while done < count:
        check_progress(budget, False)
        sending.messages = messages + done
        sending.count = <unsigned int>min(count - done, A_CALL)
        number = call(head, &OPERATION, &sending, traits, budget)
        for index in range(done, done + number):
            FASTSOCK_COUNT(counters.bytes_out, messages[index].msg_len)
            sent.bytes_ += messages[index].msg_len
        done += number
        sent.messages += number
        traits &= ~MAY_KEEP_GIL  # a long list must not keep other threads waiting
    return 0


cdef int check_datagrams(SocketHead *head, str what) except -1:
    if head.type == SOCK_STREAM:
        raise ValueError(f"{what} needs a socket of datagrams, and this one is a stream")
    return 0


# -- any messages ---------------------------------------------------------------------

cdef class Outgoing:
    """Up to A_CALL messages, with what they are made of. Internal: lives in one call."""
    cdef FastsockMessage[A_CALL] messages
    cdef iovec[A_CALL] parts
    cdef BufferView[A_CALL] views
    cdef SocketAddress[A_CALL] addresses
    cdef list held                  # the messages, which the views need
    cdef list vectors               # None until a message has several buffers
    cdef Py_ssize_t before          # messages that were sent before these
    cdef Py_ssize_t count
    cdef Py_ssize_t bytes_in_all
    cdef bint is_plain_memory
    cdef object last_address        # of `last_parsed`; an address is often the one before
    cdef Py_ssize_t last_parsed

    def __cinit__(self):
        self.held = []
        self.is_plain_memory = True
        self.last_parsed = -1

    def __dealloc__(self):
        self.let_go()

    cdef int let_go(self) noexcept:
        cdef Py_ssize_t index
        for index in range(self.count):
            PyBuffer_Release(&self.views[index])
        self.count = 0
        self.bytes_in_all = 0
        return 0

    cdef int clear(self) except -1:
        self.let_go()
        self.held.clear()
        self.vectors = None
        self.is_plain_memory = True
        return 0

    cdef int add(self, object sock, SocketHead *head, object message) except -1:
        """Add one message: data, (data, address), with data bytes-like or a list of them."""
        cdef Py_ssize_t place = self.count
        cdef msghdr *header = &self.messages[place].msg_hdr
        cdef Vector vector
        cdef Py_ssize_t index
        # A view of bytes holds no reference of its own.
        self.held.append(message)
        data, address = message, None
        if isinstance(message, tuple):
            if len(<tuple>message) != 2:
                raise TypeError("a message of sendmmsg() is data or (data, address), with several "
                                f"buffers in a list, not a tuple of {len(<tuple>message)}")
            data, address = <tuple>message
        header.msg_name = NULL
        header.msg_namelen = 0
        header.msg_control = NULL
        header.msg_controllen = 0
        header.msg_flags = 0
        if address is not None:
            self.add_address(sock, head, address, place)
            header.msg_name = &self.addresses[place].storage
            header.msg_namelen = self.addresses[place].size
        self.views[place].obj = NULL
        if isinstance(data, list):
            vector = Vector()
            vector.borrow(data, False, "a message of sendmmsg()")
            header.msg_iov = vector.parts
            header.msg_iovlen = vector.count
            for index in range(vector.count):
                self.bytes_in_all += vector.parts[index].iov_len
            if self.vectors is None:
                self.vectors = []
            self.vectors.append(vector)
            self.is_plain_memory = False
        else:
            borrow_readable(data, &self.views[place])
            if not PyBytes_CheckExact(data):
                self.is_plain_memory = False
            self.parts[place].iov_base = self.views[place].buf
            self.parts[place].iov_len = self.views[place].len
            header.msg_iov = &self.parts[place]
            header.msg_iovlen = 1
            self.bytes_in_all += self.views[place].len
        self.count += 1
        return 0

    cdef int add_address(self, object sock, SocketHead *head, object address,
                         Py_ssize_t place) except -1:
        # Such a tuple can't change: the same one is the same address.
        if self.last_parsed >= 0 and address is self.last_address:
            if place != self.last_parsed:
                self.addresses[place] = self.addresses[self.last_parsed]
                self.last_parsed = place
            return 0
        self.last_parsed = -1
        parse_address(head, address, &self.addresses[place], "sendmmsg")
        PySys_Audit("socket.sendmsg", "OO", <PyObject *>sock, <PyObject *>address)
        if (type(address) is tuple and type((<tuple>address)[0]) is str
                and type((<tuple>address)[1]) is int):
            self.last_address = address
            self.last_parsed = place
        return 0

    cdef int send(self, SocketHead *head, int flags, Budget *budget, Sent *sent) except -1:
        send_all(head, self.messages, self.count, flags, self.bytes_in_all,
                 self.is_plain_memory, budget, sent)
        self.before = sent.messages
        return self.clear()

    cdef list unsent(self, const Sent *sent):
        return self.held[sent.messages - self.before:]


@cython.binding(True)
def sendmmsg(self, messages, flags=0):
    """Send many datagrams, many in one system call: sendmmsg(2).

    Parameters
    ----------
    messages : iterable of data, or of (data, address)
        Data is bytes-like, or a list of bytes-like objects that become one datagram.
        Without an address (or with None) it goes to the connected peer.
    flags : int
        As for send().

    Returns
    -------
    int
        How many were sent: all of them.

    Raises
    ------
    TypeError, OverflowError, socket.gaierror
        An item is no message. Those before it were sent.
    TimeoutError, BlockingIOError, OSError

    Notes
    -----
    Whatever ends it early has `.pieces_accepted`, how many datagrams were sent, and
    `.bytes_sent`, the bytes of these. `.pieces_returned` is a list of the messages that were
    taken from the iterable and not sent.
    """
    cdef SocketHead *head = head_of(self)
    cdef Budget budget = budget_of(head)
    cdef Outgoing outgoing = Outgoing()
    cdef Sent sent = Sent(0, 0)
    cdef int flag_bits
    try:
        flag_bits = as_int(flags)
        check_datagrams(head, "sendmmsg()")
        check_pieces(messages, "sendmmsg", "send(data), or [data]")
        for message in messages:
            try:
                outgoing.add(self, head, message)
            except Exception as error:
                error.add_note(f"in message {sent.messages + outgoing.count} of sendmmsg()")
                outgoing.send(head, flag_bits, &budget, &sent)
                outgoing.held.append(message)
                raise
            if outgoing.count == A_CALL:
                outgoing.send(head, flag_bits, &budget, &sent)
        outgoing.send(head, flag_bits, &budget, &sent)
        return sent.messages
    except BaseException as error:
        report(error, sent.messages, sent.bytes_)
        attach(error, "pieces_returned", outgoing.unsent(&sent))
        raise


# -- a batch ---------------------------------------------------------------------------

@cython.binding(True)
def sendmmsg_from(self, DatagramBatch batch not None, /, flags=0):
    """Send each datagram of a batch back to where it came from: sendmmsg(2).

    What batch[i] holds now is sent: write to it, or set it, to answer in place.

    Returns
    -------
    int
        How many were sent: all of them.

    Raises
    ------
    TimeoutError, BlockingIOError, OSError

    Notes
    -----
    Whatever ends it early has `.pieces_accepted`, how many datagrams were sent, and
    `.bytes_sent`. Those from batch[error.pieces_accepted] on were not.
    """
    cdef SocketHead *head = head_of(self)
    cdef Budget budget = budget_of(head)
    cdef FastsockMessage[A_CALL] messages
    cdef iovec[A_CALL] parts
    cdef char[A_CALL][SOURCE_ROOM] sources
    cdef Sent sent = Sent(0, 0)
    cdef Py_ssize_t index, place, bytes_in_all
    cdef int flag_bits
    cdef bint is_claimed = False
    cdef Entry *entry
    try:
        flag_bits = as_int(flags)
        check_datagrams(head, "sendmmsg_from()")
        batch.claim()
        is_claimed = True
        _block = batch.block  # it stays, whatever happens to the batch
        while sent.messages < batch.used:
            place = 0
            bytes_in_all = 0
            memset(messages, 0, sizeof(messages))
            for index in range(sent.messages, min(batch.used, sent.messages + A_CALL)):
                entry = &batch.entries[index]
                parts[place].iov_base = entry.data
                parts[place].iov_len = entry.size
                messages[place].msg_hdr.msg_iov = &parts[place]
                messages[place].msg_hdr.msg_iovlen = 1
                if batch.messages[entry.slot].msg_hdr.msg_namelen:
                    messages[place].msg_hdr.msg_name = &batch.addresses[entry.slot]
                    messages[place].msg_hdr.msg_namelen = (
                        batch.messages[entry.slot].msg_hdr.msg_namelen)
                if batch.had_controls:
                    set_source(&messages[place].msg_hdr,
                               &batch.messages[entry.slot].msg_hdr, sources[place])
                bytes_in_all += entry.size
                place += 1
            send_all(head, messages, place, flag_bits, bytes_in_all, True, &budget, &sent)
        return sent.messages
    except BaseException as error:
        report(error, sent.messages, sent.bytes_)
        raise
    finally:
        if is_claimed:
            batch.release()


cdef void set_source(msghdr *answer, msghdr *asked, char *control) noexcept:
    """Where it is known on which address we were asked (IP_PKTINFO), answer from it."""
    cdef cmsghdr *header = NULL
    cdef cmsghdr *source
    cdef unsigned char *data
    cdef size_t size = 0
    if asked.msg_controllen > 0:
        header = CMSG_FIRSTHDR(asked)
    while header != NULL:
        data = CMSG_DATA(header)
        if (header.cmsg_level == IPPROTO_IP and header.cmsg_type == IP_PKTINFO
                and header.cmsg_len >= CMSG_LEN(12)):
            size = 12  # struct in_pktinfo: interface, local address, destination
            break
        if (header.cmsg_level == IPPROTO_IPV6 and header.cmsg_type == IPV6_PKTINFO
                and header.cmsg_len >= CMSG_LEN(20) and data[0] != 0xff):
            size = 20  # struct in6_pktinfo: address, interface; no multicast address
            break
        header = CMSG_NXTHDR(asked, header)
    if size == 0:
        return
    memset(control, 0, SOURCE_ROOM)
    answer.msg_control = control
    answer.msg_controllen = CMSG_SPACE(size)
    source = CMSG_FIRSTHDR(answer)
    source.cmsg_level = header.cmsg_level
    source.cmsg_type = header.cmsg_type
    source.cmsg_len = CMSG_LEN(size)
    # The interface stays free, but for addresses that belong to a link.
    if size == 12:
        memcpy(CMSG_DATA(source) + 4, data + 4, 4)
    elif data[0] == 0xfe and data[1] & 0xc0 == 0x80:
        memcpy(CMSG_DATA(source), data, 20)
    else:
        memcpy(CMSG_DATA(source), data, 16)
