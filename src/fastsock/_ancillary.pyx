"""Control messages (ancillary data) of sendmsg(2) and recvmsg(2): cmsg(3).

Job: an iterable of (level, type, data) to the memory that the kernel reads, and
the memory that it wrote to a list of such tuples.

Rules: what arrives is checked against the length that the kernel returned; a
message that was cut off warns and ends the list; descriptors that came with a
message that Python will not see are closed, or a peer could fill our fd table.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc
from libc.limits cimport INT_MAX
from libc.string cimport memcpy

from fastsock._arguments cimport as_int
from fastsock._buffers cimport borrow_readable
from fastsock._libc cimport (
    CMSG_DATA, CMSG_FIRSTHDR, CMSG_LEN, CMSG_NXTHDR, CMSG_SPACE, SCM_RIGHTS, SOL_SOCKET, close,
    cmsghdr, msghdr,
)
from fastsock._python cimport (
    BufferView, PyBuffer_Release, PyErr_WarnEx, PySequence_Check,
)


cdef int pack(object messages, msghdr *header) except -1:
    """Write `messages` into new memory at `header.msg_control` (PyMem_Free it).

    Raises TypeError for what is no (level, type, bytes-like), OSError for what
    is larger than a control buffer can be.
    """
    cdef list parts = []
    cdef size_t total = 0
    cdef cmsghdr *message
    cdef bytes data
    for level, kind, data in [_parse(message_) for message_ in _items(messages)]:
        total += CMSG_SPACE(len(data))
        if total > <size_t>INT_MAX:
            raise OSError("too much ancillary data")
        parts.append((level, kind, data))
    if not parts:
        return 0
    # Zeroed: CMSG_NXTHDR looks at the length of the message that comes next.
    header.msg_control = PyMem_Calloc(1, total)
    if header.msg_control == NULL:
        raise MemoryError
    header.msg_controllen = total
    message = CMSG_FIRSTHDR(header)
    for level, kind, data in parts:
        if message == NULL:
            raise RuntimeError("ancillary data does not fit in calculated space")
        message.cmsg_len = CMSG_LEN(len(data))
        message.cmsg_level = level
        message.cmsg_type = kind
        memcpy(CMSG_DATA(message), <const char *>data, len(data))
        message = CMSG_NXTHDR(header, message)
    return 0


cdef object _items(object messages):
    try:
        return tuple(messages)
    except TypeError:
        raise TypeError("sendmsg() argument 2 must be an iterable") from None


cdef tuple _parse(object item):
    """(level, type, data as bytes) of one control message."""
    cdef BufferView view
    cdef tuple parts
    cdef bytes data
    if isinstance(item, bytes) or not PySequence_Check(item):
        raise TypeError("[sendmsg() ancillary data items] must be 3-item sequence, "
                        f"not {type(item).__name__}")
    # A tuple of our own: another sequence may make its items anew, or lose them.
    parts = tuple(item)
    if len(parts) != 3:
        raise TypeError("[sendmsg() ancillary data items] must be sequence of length 3, "
                        f"not {len(parts)}")
    level, kind = as_int(parts[0]), as_int(parts[1])
    borrow_readable(parts[2], &view)
    try:
        # Room for the padding before and after the data.
        if <size_t>view.len > <size_t>INT_MAX - CMSG_SPACE(1):
            raise OSError("ancillary data item too large")
        if type(parts[2]) is bytes:
            data = parts[2]
        else:
            data = PyBytes_FromStringAndSize(<char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    return level, kind, data


cdef bint data_length(msghdr *header, cmsghdr *message, size_t *length) noexcept:
    """The length of a message's data inside the buffer; was it all there?

    `length` is at most what the buffer holds, whatever the message claims.
    """
    cdef size_t start = <size_t>(<char *>CMSG_DATA(message) - <char *>header.msg_control)
    cdef size_t room = header.msg_controllen - start if start <= header.msg_controllen else 0
    length[0] = 0
    if message.cmsg_len < CMSG_LEN(0):
        return False
    length[0] = message.cmsg_len - CMSG_LEN(0)
    if length[0] <= room and start <= header.msg_controllen:
        return True
    length[0] = room
    return False


cdef list unpack(msghdr *header):
    """The received control messages as (level, type, data)."""
    cdef list messages = []
    cdef size_t length
    cdef bint is_whole
    cdef cmsghdr *message = NULL
    if header.msg_controllen > 0:
        message = CMSG_FIRSTHDR(header)
    while message != NULL:
        is_whole = data_length(header, message, &length)
        if not is_whole:
            PyErr_WarnEx(RuntimeWarning, "received malformed or improperly-truncated "
                         "ancillary data", 1)
            if message.cmsg_len < CMSG_LEN(0):
                break
        messages.append((message.cmsg_level, message.cmsg_type,
                         PyBytes_FromStringAndSize(<char *>CMSG_DATA(message), length)))
        if not is_whole:
            break
        message = CMSG_NXTHDR(header, message)
    return messages


cdef int close_received_fds(msghdr *header) noexcept:
    """Close every descriptor in the received control messages."""
    cdef size_t length, position
    cdef bint is_whole
    cdef int fd
    cdef cmsghdr *message = NULL
    if header.msg_controllen > 0:
        message = CMSG_FIRSTHDR(header)
    while message != NULL:
        is_whole = data_length(header, message, &length)
        if message.cmsg_level == SOL_SOCKET and message.cmsg_type == SCM_RIGHTS:
            for position in range(length // sizeof(int)):
                # The data of a message need not be aligned for an int.
                memcpy(&fd, CMSG_DATA(message) + position * sizeof(int), sizeof(int))
                close(fd)
        if not is_whole:
            break
        message = CMSG_NXTHDR(header, message)
    return 0
