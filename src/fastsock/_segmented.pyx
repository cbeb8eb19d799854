"""send_segmented(): one large buffer as datagrams of one size, cut by the kernel.

Rules: all is sent, in order, under the socket's timeout. Where the kernel can't cut, the same
datagrams are sent by sendmmsg(2). Whatever ends it early reports how many were (_pieces.pxd).

The function becomes a method of fastsock.socket when it is first asked for.

Thread safety: as of sendto().
"""

cimport cython

from cpython.object cimport PyObject
from libc.string cimport memcpy, memset

from fastsock._address cimport SocketAddress, parse_address
from fastsock._arguments cimport as_size
from fastsock._buffers cimport borrow_readable
from fastsock._errors cimport caught
from fastsock._libc cimport (
    AF_UNIX, CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_SPACE, EINVAL, SOCK_DGRAM, cmsghdr, iovec,
    msghdr,
)
from fastsock._object cimport SocketHead
from fastsock._pieces cimport report
from fastsock._platform cimport FASTSOCK_UDP_SEGMENT, FastsockMessage
from fastsock._python cimport BufferView, PyBuffer_Release, PySys_Audit
from fastsock._self cimport head_of
from fastsock._sendmmsg cimport A_CALL, Sent, check_datagrams, send_all
from fastsock._traits cimport is_known_protocol
from fastsock._wait cimport Budget, budget_of

import errno

cdef enum:
    IPPROTO_UDP = 17
    MOST_SEGMENTS = 64          # UDP_MAX_SEGMENTS of kernels before 6.9
    LARGEST_SEGMENTED = 65000   # below the largest datagram of IPv4 and IPv6


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

    Notes
    -----
    Whatever ends it early has `.pieces_accepted`, how many datagrams were sent, and
    `.bytes_sent`, the bytes of these: data[error.bytes_sent:] was not sent.

    Where the kernel can't cut (another family, an old kernel, a segment larger than the
    path's MTU), the datagrams are sent by sendmmsg(), with the same result.

    Source: udp(7), kernel commit bec1f6f69736.
    """
    cdef SocketHead *head = head_of(self)
    cdef Budget budget
    cdef Py_ssize_t segment
    cdef SocketAddress destination
    cdef BufferView view
    cdef Sent sent = Sent(0, 0)
    try:
        segment = as_size(segment_size)
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
            budget = budget_of(head)  # resolving a name takes long
            send_segments(
                head, <char *>view.buf, view.len, segment, &destination, &budget, &sent)
        finally:
            PyBuffer_Release(&view)
        return sent.messages
    except BaseException as error:
        report(error, sent.messages, sent.bytes_)
        raise


cdef int send_segments(SocketHead *head, char *data, Py_ssize_t size, Py_ssize_t segment,
                       SocketAddress *destination, Budget *budget, Sent *sent) except -1:
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
            sent.messages += (piece + segment - 1) // segment
            sent.bytes_ += piece
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
    cdef Sent done = Sent(0, 0)
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
                  SocketAddress *destination, Budget *budget, Sent *sent) except -1:
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
