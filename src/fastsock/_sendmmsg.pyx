"""sendmmsg(2): many datagrams in one system call; and one large buffer, cut by the kernel.

Rules: all is sent, in order, under the socket's timeout. What ends it early carries
`messages_sent`, and an item that is no message also which it was; the ones before it
were sent. Every buffer is held until the call that sends it returned.

These functions become methods of fastsock.socket when they are first asked for.

Thread safety: as of sendto().
"""

cimport cython

from cpython.bytes cimport PyBytes_CheckExact
from cpython.object cimport PyObject
from libc.string cimport memcpy, memset

from fastsock._address cimport SocketAddress, parse_address
from fastsock._arguments cimport as_int, as_size
from fastsock._batch cimport DatagramBatch, Entry
from fastsock._buffers cimport borrow_readable
from fastsock._errors cimport attach, caught
from fastsock._libc cimport (
    AF_UNIX, CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, CMSG_SPACE, EINVAL, POLLOUT,
    SOCK_DGRAM, SOCK_STREAM, cmsghdr, iovec, msghdr,
)
from fastsock._object cimport SocketHead
from fastsock._operation cimport SEND, Operation
from fastsock._platform cimport FASTSOCK_UDP_SEGMENT, FastsockMessage, fastsock_sendmmsg
from fastsock._python cimport BufferView, PyBuffer_Release, PySys_Audit
from fastsock._self cimport head_of
from fastsock._stats cimport FASTSOCK_COUNT, counters
from fastsock._stats cimport SENDMMSG as NAME_SENDMMSG
from fastsock._traits cimport (
    MAY_KEEP_GIL, MOST_SENT_UNDER_GIL, is_known_protocol, traits_of,
)
from fastsock._vector cimport Vector
from fastsock._wait cimport Budget, budget_of, call, check_progress

import errno

cdef enum:
    A_CALL = 64                 # messages a system call; more bring nothing (saturation)
    SOURCE_ROOM = 64            # a control message with a source address
    IPPROTO_IP = 0
    IPPROTO_UDP = 17
    IPPROTO_IPV6 = 41
    IP_PKTINFO = 8
    IPV6_PKTINFO = 50
    MOST_SEGMENTS = 64          # UDP_MAX_SEGMENTS of kernels before 6.9
    LARGEST_SEGMENTED = 65000   # below the largest datagram of IPv4 and IPv6


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
                  Py_ssize_t *sent) except -1:
    """Send so many messages; `sent` counts them as they go."""
    cdef Sending sending
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t number, index
    cdef int traits = traits_of(
        head, flags, 0, is_plain_memory and bytes_in_all <= MOST_SENT_UNDER_GIL
        and sent[0] == 0)
    sending.flags = flags
    while done < count:
        check_progress(budget, False)
        sending.messages = messages + done
        sending.count = <unsigned int>min(count - done, A_CALL)
        number = call(head, &OPERATION, &sending, traits, budget)
        for index in range(done, done + number):
            FASTSOCK_COUNT(counters.bytes_out, messages[index].msg_len)
        done += number
        sent[0] += number
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
    cdef list held                  # what the views and vectors need
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
        self.is_plain_memory = True
        return 0

    cdef int add(self, object sock, SocketHead *head, object message) except -1:
        """Add one message: data, (data, address), with data bytes-like or a list of them."""
        cdef Py_ssize_t place = self.count
        cdef msghdr *header = &self.messages[place].msg_hdr
        cdef Vector vector
        cdef Py_ssize_t index
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
            self.held.append(vector)
            self.is_plain_memory = False
        else:
            borrow_readable(data, &self.views[place])
            if PyBytes_CheckExact(data):
                self.held.append(data)  # a view of bytes holds no reference of its own
            else:
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

    cdef int send(self, SocketHead *head, int flags, Budget *budget, Py_ssize_t *sent) except -1:
        send_all(head, self.messages, self.count, flags, self.bytes_in_all,
                 self.is_plain_memory, budget, sent)
        return self.clear()


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
        An item is no message; `.index` says which. Those before it were sent.
    TimeoutError, BlockingIOError, OSError
        All of them with `.messages_sent`.
    """
    cdef SocketHead *head = head_of(self)
    cdef Budget budget = budget_of(head)
    cdef Outgoing outgoing = Outgoing()
    cdef Py_ssize_t sent = 0
    cdef int flag_bits = as_int(flags)
    check_datagrams(head, "sendmmsg()")
    try:
        for message in messages:
            try:
                outgoing.add(self, head, message)
            except Exception as error:
                attach(error, "index", sent + outgoing.count)
                error.add_note(f"in message {sent + outgoing.count} of sendmmsg()")
                outgoing.send(head, flag_bits, &budget, &sent)
                raise
            if outgoing.count == A_CALL:
                outgoing.send(head, flag_bits, &budget, &sent)
        outgoing.send(head, flag_bits, &budget, &sent)
        return sent
    except BaseException as error:
        attach(error, "messages_sent", sent)
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
        With `.messages_sent`.
    """
    cdef SocketHead *head = head_of(self)
    cdef Budget budget = budget_of(head)
    cdef FastsockMessage[A_CALL] messages
    cdef iovec[A_CALL] parts
    cdef char[A_CALL][SOURCE_ROOM] sources
    cdef Py_ssize_t sent = 0
    cdef Py_ssize_t index, place, bytes_in_all
    cdef int flag_bits = as_int(flags)
    cdef Entry *entry
    check_datagrams(head, "sendmmsg_from()")
    batch.claim()
    _block = batch.block  # it stays, whatever happens to the batch
    try:
        while sent < batch.used:
            place = 0
            bytes_in_all = 0
            memset(messages, 0, sizeof(messages))
            for index in range(sent, min(batch.used, sent + A_CALL)):
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
        return sent
    except BaseException as error:
        attach(error, "messages_sent", sent)
        raise
    finally:
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


# -- segmentation ------------------------------------------------------------------------

@cython.binding(True)
def send_segmented(self, data, segment_size, address=None, /):
    """Send one buffer as datagrams of one size, which the kernel cuts: UDP_SEGMENT.

    Parameters
    ----------
    data : bytes-like
        Any size. The last datagram may be shorter; without data none is sent.
    segment_size : int
        1 to 65,000 bytes a datagram.
    address : tuple, optional
        None for the connected peer.

    Returns
    -------
    int
        How many datagrams were sent.

    Raises
    ------
    TimeoutError, BlockingIOError, OSError
        With `.messages_sent`.

    Where the kernel can't cut (another family, an old kernel, a segment larger than the
    path's MTU), the datagrams are sent by sendmmsg(), with the same result.

    Source: udp(7), kernel commit bec1f6f69736.
    """
    cdef SocketHead *head = head_of(self)
    cdef Budget budget
    cdef Py_ssize_t segment = as_size(segment_size)
    cdef SocketAddress destination
    cdef BufferView view
    cdef Py_ssize_t sent = 0
    check_datagrams(head, "send_segmented()")
    if not 1 <= segment <= LARGEST_SEGMENTED:
        raise ValueError(
            f"segment_size must be 1 to {LARGEST_SEGMENTED} bytes, not {segment}")
    destination.size = 0
    if address is not None:
        parse_address(head, address, &destination, "send_segmented")
        PySys_Audit("socket.sendmsg", "OO", <PyObject *>self, <PyObject *>address)
    borrow_readable(data, &view)
    try:
        budget = budget_of(head)
        send_segments(head, <char *>view.buf, view.len, segment, &destination, &budget, &sent)
        return sent
    except BaseException as error:
        attach(error, "messages_sent", sent)
        raise
    finally:
        PyBuffer_Release(&view)


cdef int send_segments(SocketHead *head, char *data, Py_ssize_t size, Py_ssize_t segment,
                       SocketAddress *destination, Budget *budget, Py_ssize_t *sent) except -1:
    cdef Py_ssize_t most = min(LARGEST_SEGMENTED // segment, MOST_SEGMENTS) * segment
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t piece
    # Others would ignore the control message, and send all as one.
    cdef bint by_kernel = (
        FASTSOCK_UDP_SEGMENT >= 0 and head.type == SOCK_DGRAM and head.family != AF_UNIX
        and is_known_protocol(head) and most > segment)
    while position < size:
        piece = min(most, size - position)
        if by_kernel and piece > segment:
            by_kernel = send_glued(head, data + position, piece, segment, destination, budget)
            if not by_kernel:
                continue
            sent[0] += (piece + segment - 1) // segment
        else:
            send_cut(head, data + position, piece, segment, destination, budget, sent)
        position += piece
    return 0


cdef void set_target(msghdr *header, SocketAddress *destination) noexcept:
    if destination.size:
        header.msg_name = &destination.storage
        header.msg_namelen = destination.size


cdef bint send_glued(SocketHead *head, char *data, Py_ssize_t size, Py_ssize_t segment,
                     SocketAddress *destination, Budget *budget) except -1:
    """Have the kernel cut it; False where it can't."""
    cdef FastsockMessage message
    cdef iovec part
    cdef char[64] control
    cdef cmsghdr *header
    cdef unsigned short segment_size = <unsigned short>segment
    cdef Py_ssize_t done = 0
    memset(&message, 0, sizeof(message))
    memset(control, 0, sizeof(control))
    part.iov_base = data
    part.iov_len = size
    message.msg_hdr.msg_iov = &part
    message.msg_hdr.msg_iovlen = 1
    set_target(&message.msg_hdr, destination)
    message.msg_hdr.msg_control = control
    message.msg_hdr.msg_controllen = CMSG_SPACE(sizeof(unsigned short))
    header = CMSG_FIRSTHDR(&message.msg_hdr)
    header.cmsg_level = IPPROTO_UDP
    header.cmsg_type = FASTSOCK_UDP_SEGMENT
    header.cmsg_len = CMSG_LEN(sizeof(unsigned short))
    memcpy(CMSG_DATA(header), &segment_size, sizeof(unsigned short))
    try:
        send_all(head, &message, 1, 0, size, False, budget, &done)
        return True
    except OSError as error:
        if caught(error, OSError).errno not in CANT_SEGMENT:
            raise
    return False


# What the kernel says where it can't: bad option, no checksum offload, larger than the MTU.
cdef frozenset CANT_SEGMENT = frozenset(
    [EINVAL, errno.EIO, errno.EMSGSIZE, errno.ENOPROTOOPT, errno.EOPNOTSUPP])


cdef int send_cut(SocketHead *head, char *data, Py_ssize_t size, Py_ssize_t segment,
                  SocketAddress *destination, Budget *budget, Py_ssize_t *sent) except -1:
    """Cut it ourselves, at most A_CALL segments."""
    cdef FastsockMessage[A_CALL] messages
    cdef iovec[A_CALL] parts
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t position = 0
    memset(messages, 0, sizeof(messages))
    while position < size:
        parts[count].iov_base = data + position
        parts[count].iov_len = min(segment, size - position)
        messages[count].msg_hdr.msg_iov = &parts[count]
        messages[count].msg_hdr.msg_iovlen = 1
        set_target(&messages[count].msg_hdr, destination)
        position += segment
        count += 1
    return send_all(head, messages, count, 0, size, False, budget, sent)
