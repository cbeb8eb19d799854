"""Sending any number of buffers on a stream: sendmsg(2) without joining them.

How: as many buffers as one call takes (IOV_MAX) go in each; small ones are copied
together first, since the kernel's work for each of many entries exceeds a copy.
After a partial send the entries are advanced, and nothing is copied again.

Rule: all goes under one deadline; how much went out is known at any moment.
"""

from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.string cimport memset

cimport fastsock._libc as libc
from fastsock._buffers cimport fastsock_copy
from fastsock._libc cimport POLLOUT, iovec, msghdr
from fastsock._operation cimport SEND, Operation
from fastsock._platform cimport FASTSOCK_IOV_MAX
from fastsock._python cimport PyBytes_AS_STRING, PyTuple_GET_ITEM
from fastsock._stats cimport FASTSOCK_COUNT, counters
from fastsock._stats cimport SENDMSG as NAME_SENDMSG
from fastsock._traits cimport PLAIN, traits_of
from fastsock._transfer cimport borrow_scratch, give_back_scratch, transmit
from fastsock._vector cimport Vector
from fastsock._wait cimport Budget, call, check_progress

cdef enum:
    # Below this on average, copying is faster than an entry each.
    SMALL = 1024
    GATHER_SIZE = 65536


cdef struct Gathered:
    msghdr header
    int flags


cdef Py_ssize_t call_sendmsg(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Gathered *gathered = <Gathered *>arguments
    return libc.sendmsg(fd, &gathered.header, gathered.flags | extra_flags)


cdef Operation SENDMSG = Operation(call_sendmsg, POLLOUT, SEND, NAME_SENDMSG)


cdef int send_all_of(SocketHead *sock, tuple items, int flags, Budget *budget,
                     Py_ssize_t *total, Progress *progress) except -1:
    """Send every byte of several buffers, within a budget.

    `total` counts at any moment how many went out. If it fails, `progress` (or NULL) says
    which pieces these were.
    """
    cdef Vector vector = None
    cdef Py_ssize_t copied = 0
    cdef bint is_done = False
    total[0] = 0
    try:
        copied = send_small(sock, items, flags, budget, total)
        if copied < len(items):
            vector = Vector()
            vector.borrow(items[copied:] if copied else items, False, "sendmsg_all() argument 1")
            send_vector(sock, vector, flags, budget, total)
        is_done = True
    finally:
        if not is_done and progress != NULL:
            progress[0] = progress_of(items, copied, vector, total[0])
    return 0


cdef int send_vector(SocketHead *sock, Vector vector, int flags, Budget *budget,
                     Py_ssize_t *total) except -1:
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t sent
    while True:
        # Empty entries at the front would make calls that send nothing.
        while position < vector.count and vector.parts[position].iov_len == 0:
            position += 1
        if position >= vector.count:
            return 0
        sent = send_some(sock, vector, position, flags, budget)
        total[0] += sent
        position = advance(vector, position, sent)
        check_progress(budget, position >= vector.count)


cdef Progress progress_of(tuple items, Py_ssize_t copied, Vector vector,
                          Py_ssize_t total) noexcept:
    """Which pieces `total` bytes are; those that are no entry of the vector are bytes."""
    cdef Progress found = Progress(0, total)
    cdef Py_ssize_t size
    while found.inside > 0:
        if vector is None or found.pieces < copied:
            size = PyBytes_GET_SIZE(<object>PyTuple_GET_ITEM(items, found.pieces))
        else:
            size = vector.views[found.pieces - copied].len
        if found.inside < size:
            break
        found.inside -= size
        found.pieces += 1
    return found


cdef Py_ssize_t send_small(SocketHead *sock, tuple items, int flags, Budget *budget,
                           Py_ssize_t *total) except -1:
    """Send the small items at the front, if all items are bytes, copied together.

    Returns how many items went; the first large one ends it. This is the common
    case (headers, lines), and needs neither entries nor views.
    """
    cdef Py_ssize_t count = len(items)
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t index, filled, sent, size
    cdef PyObject *item
    cdef char *scratch
    # All: what is no buffer must be refused before anything is sent.
    for index in range(count):
        if not PyBytes_CheckExact(<object>PyTuple_GET_ITEM(items, index)):
            return 0
    scratch = borrow_scratch(GATHER_SIZE)
    if scratch == NULL:
        return 0
    try:
        while position < count:
            filled = 0
            while position < count:
                item = PyTuple_GET_ITEM(items, position)
                size = PyBytes_GET_SIZE(<object>item)
                if size > SMALL or filled + size > GATHER_SIZE:
                    break
                fastsock_copy(scratch + filled, PyBytes_AS_STRING(item), size)
                filled += size
                position += 1
            if filled == 0:
                break
            sent = 0
            while sent < filled:
                size = transmit(sock, scratch + sent, filled - sent, flags, True, budget)
                sent += size
                total[0] += size
                check_progress(budget, sent == filled and position == count)
        return position
    finally:
        give_back_scratch(GATHER_SIZE)


cdef Py_ssize_t advance(Vector vector, Py_ssize_t position, Py_ssize_t sent) noexcept:
    """Take `sent` bytes off the entries from `position` on; the first unsent entry."""
    cdef iovec *part
    while sent > 0:
        part = &vector.parts[position]
        if <size_t>sent < part.iov_len:
            part.iov_base = <char *>part.iov_base + sent
            part.iov_len -= sent
            return position
        sent -= part.iov_len
        part.iov_len = 0
        position += 1
    return position


cdef Py_ssize_t send_some(SocketHead *sock, Vector vector, Py_ssize_t position, int flags,
                          Budget *budget) except -1:
    """Send what one call can take, from the entry `position` on."""
    cdef Py_ssize_t count = 0
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t sent
    cdef char *scratch
    cdef Gathered gathered
    # What fits into one piece of scratch memory: many of them are worth a copy.
    while position + count < vector.count:
        if size + <Py_ssize_t>vector.parts[position + count].iov_len > GATHER_SIZE:
            break
        size += vector.parts[position + count].iov_len
        count += 1
    if count > 1 and size < count * SMALL:
        scratch = borrow_scratch(GATHER_SIZE)
        if scratch != NULL:
            try:
                join(vector, position, count, scratch)
                sent = transmit(sock, scratch, size, flags, True, budget)
            finally:
                give_back_scratch(size)
            return sent
    memset(&gathered, 0, sizeof(gathered))
    gathered.flags = flags
    gathered.header.msg_iov = &vector.parts[position]
    gathered.header.msg_iovlen = min(vector.count - position, FASTSOCK_IOV_MAX)
    # A blocking call takes all; a try might take a part, and be a call too many.
    sent = call(sock, &SENDMSG, &gathered,
                PLAIN if budget.timeout_ns < 0 else traits_of(sock, flags, 0, False), budget)
    FASTSOCK_COUNT(counters.bytes_out, sent)
    return sent


cdef void join(Vector vector, Py_ssize_t position, Py_ssize_t count, char *target) noexcept:
    cdef iovec *part
    cdef Py_ssize_t index
    for index in range(position, position + count):
        part = &vector.parts[index]
        fastsock_copy(target, part.iov_base, part.iov_len)
        target += part.iov_len
