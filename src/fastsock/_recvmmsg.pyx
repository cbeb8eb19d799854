"""recvmmsg(2): many datagrams in one system call, as objects or into a batch.

Rules: at least one datagram, under the socket's timeout, and then what is there
without waiting. The kernel is asked for true lengths (MSG_TRUNC), so that what was cut
off is known. With UDP_GRO the buffers are as large as what the kernel may glue
together, whatever the size of a datagram, and each datagram comes out alone.

These functions become methods of fastsock.socket when they are first asked for.

Thread safety: as of recv().
"""

cimport cython

from fastsock._ancillary cimport close_received_fds, unpack
from fastsock._arguments cimport as_int, as_size
from fastsock._batch cimport LARGEST_DATAGRAM, DatagramBatch, Entry
from fastsock._fdtable cimport FASTSOCK_FD_HAS_GRO, state_of
from fastsock._libc cimport (
    MSG_PEEK, MSG_TRUNC, POLLHUP, POLLIN, SOCK_STREAM, poll, pollfd,
)
from fastsock._object cimport SocketHead
from fastsock._operation cimport RECEIVE, Operation
from fastsock._platform cimport (
    FASTSOCK_MSG_CMSG_CLOEXEC, FastsockMessage, fastsock_recvmmsg,
)
from fastsock._self cimport head_of
from fastsock._stats cimport FASTSOCK_COUNT, counters
from fastsock._stats cimport RECVMMSG as NAME_RECVMMSG
from fastsock._traits cimport traits_of
from fastsock._wait cimport Budget, budget_of, call

cdef int SOCK_SEQPACKET = 5

# Batches of calls that return objects, to be used again; each at most so large.
cdef list spares = []
cdef enum:
    MOST_SPARES = 4
    LARGEST_SPARE = 1048576


cdef struct Receiving:
    FastsockMessage *messages
    unsigned int count
    int flags


cdef Py_ssize_t call_recvmmsg(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Receiving *receiving = <Receiving *>arguments
    return fastsock_recvmmsg(fd, receiving.messages, receiving.count,
                             receiving.flags | extra_flags)


cdef Operation OPERATION = Operation(call_recvmmsg, POLLIN, RECEIVE, NAME_RECVMMSG)


cdef int receive(SocketHead *head, DatagramBatch batch, Py_ssize_t count, int flags,
                 bint ancillary) except -1:
    """Receive into the batch, by its first `count` buffers."""
    cdef Budget budget = budget_of(head)
    cdef Receiving receiving
    cdef Py_ssize_t received, index
    cdef bint is_glued = state_of(head.fd).flags & FASTSOCK_FD_HAS_GRO != 0
    if head.type == SOCK_STREAM:
        raise ValueError("recvmmsg() needs a socket of datagrams, and this one is a stream: "
                         "use fastsock.Stream")
    if is_glued and batch.room < LARGEST_DATAGRAM:
        batch.make_block(LARGEST_DATAGRAM)
    if is_glued or ancillary:
        batch.want_controls()
    batch.prepare(is_glued or ancillary)
    receiving.messages = batch.messages
    # All of them would be the same datagram.
    receiving.count = 1 if flags & MSG_PEEK else <unsigned int>count
    receiving.flags = flags | MSG_TRUNC
    if ancillary:
        receiving.flags |= FASTSOCK_MSG_CMSG_CLOEXEC
    received = call(head, &OPERATION, &receiving,
                    traits_of(head, flags, count * batch.room, not ancillary), &budget)
    batch.written = received
    if head.type == SOCK_SEQPACKET:
        received = without_ends(head.fd, batch.messages, received)
    try:
        batch.take_in(received)
    except:
        for index in range(received):
            close_received_fds(&batch.messages[index].msg_hdr)
        raise
    for index in range(received):
        FASTSOCK_COUNT(counters.bytes_in, batch.messages[index].msg_len)
    return 0


cdef Py_ssize_t without_ends(int fd, FastsockMessage *messages, Py_ssize_t received) noexcept:
    """At the end of a SOCK_SEQPACKET connection each buffer is empty: one says it."""
    cdef pollfd watched
    watched.fd = fd
    watched.events = POLLIN
    watched.revents = 0
    if received < 2 or messages[received - 1].msg_len or messages[received - 2].msg_len:
        return received
    if poll(&watched, 1, 0) != 1 or not watched.revents & POLLHUP:
        return received  # messages without data
    while (received > 1 and messages[received - 2].msg_len == 0
            and messages[received - 1].msg_hdr.msg_controllen == 0):
        received -= 1
    return received


@cython.binding(True)
def recvmmsg_into(self, DatagramBatch batch not None, /, flags=0, *, ancillary=False):
    """Receive datagrams into a batch: recvmmsg(2).

    Parameters
    ----------
    batch : DatagramBatch
        What was in it is replaced.
    flags : int
        As for recv().
    ancillary : bool
        Also keep control messages, for batch.ancillary(i). Descriptors among them are not
        inherited by child processes (MSG_CMSG_CLOEXEC).

    Returns
    -------
    int
        How many datagrams: at least one, at most batch.count, or more if the kernel
        glued some (enable_gro).
    """
    batch.claim()
    try:
        receive(head_of(self), batch, batch.count, as_int(flags), ancillary)
        if ancillary:
            batch.own_controls()
        return batch.used
    except:
        batch.used = batch.slots_used = 0
        raise
    finally:
        batch.release()


@cython.binding(True)
def recvmmsg(self, count, bufsize=2048, flags=0, *, ancillary=False):
    """Receive many datagrams in one system call: recvmmsg(2).

    Parameters
    ----------
    count : int
        At most so many, 1 to 1,024; on a socket with enable_gro(), so many kernel
        buffers, and the list may be longer.
    bufsize : int
        1 to 65,536 bytes a datagram.
    flags : int
        As for recv(); with MSG_PEEK one datagram is returned.
    ancillary : bool
        Also return control messages. Descriptors among them are not inherited by child
        processes (MSG_CMSG_CLOEXEC).

    Returns
    -------
    list of (data, address), or of (data, ancdata, flags, address)
        Waits for the first as recvfrom() does, and for no other. A datagram longer
        than `bufsize` is a fastsock.TruncatedDatagram, which are bytes with `.full_size`.
    """
    cdef SocketHead *head = head_of(self)
    cdef Py_ssize_t most = as_size(count)
    cdef Py_ssize_t index
    cdef Py_ssize_t size = as_size(bufsize)
    cdef DatagramBatch batch = spare_batch(most, size)
    cdef Entry *entry
    cdef list found = []
    try:
        receive(head, batch, most, as_int(flags), ancillary)
        try:
            for index in range(batch.used):
                entry = &batch.entries[index]
                data = batch.text_of(entry)
                address = batch.address_of(entry.slot)
                found.append(
                    (data, unpack(&batch.messages[entry.slot].msg_hdr),
                     batch.messages[entry.slot].msg_hdr.msg_flags, address)
                    if ancillary else (data, address))
        except:
            for index in range(batch.slots_used):
                close_received_fds(&batch.messages[index].msg_hdr)
            raise
        return found
    finally:
        # One for UDP_GRO is allocated each time. That it is freed also teaches the C
        # library to keep such amounts: or the many bytes of a list would be new pages of
        # memory each time, at five times the cost of filling them.
        if (batch.room == size and batch.count * size <= LARGEST_SPARE
                and len(spares) < MOST_SPARES):
            try:
                spares.append(batch)
            except MemoryError:
                pass  # what has arrived must not be lost for it


cdef DatagramBatch spare_batch(Py_ssize_t count, Py_ssize_t size):
    """A batch of at least so many buffers of just this size, that no one else uses."""
    cdef DatagramBatch batch = None
    # No more in the clause: Cython's way out of one takes for granted that there was memory
    # for a traceback.
    try:
        batch = spares.pop()
    except IndexError:
        pass
    if batch is not None and batch.size == size and 1 <= count <= batch.count:
        return batch
    return DatagramBatch(count, size)
