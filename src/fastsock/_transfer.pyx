"""The recv and send family: one function a system call, and `sendall`.

Rules: the caller holds the memory until the function returned, and says whether
it is plain (owned by bytes or a bytearray: writing it can't fault on a file);
every wait and retry is `_wait.call`'s; a receive of 0 bytes makes no system call
where the stdlib makes none (recv, recv_into), and makes one where it does
(recvfrom). A result is as large as what arrived, whatever was asked for.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.string cimport memset

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress, from_sockaddr, parse_address
from fastsock._buffers cimport fastsock_copy
from fastsock._errors cimport attach
from fastsock._fdtable cimport FdState, fastsock_enter, fastsock_leave, learn, state_of
from fastsock._libc cimport MSG_TRUNC, POLLIN, POLLOUT, SOCK_DGRAM, SOCK_STREAM, sockaddr
from fastsock._operation cimport RECEIVE, SEND, Operation
from fastsock._python cimport (
    NewBytes, PyBytes_AS_STRING, PySys_Audit, _PyBytes_Resize,
)
from fastsock._stats cimport FASTSOCK_COUNT, counters
from fastsock._stats cimport RECV as NAME_RECV, RECVFROM as NAME_RECVFROM
from fastsock._stats cimport SEND as NAME_SEND, SENDTO as NAME_SENDTO
from fastsock._traits cimport (
    MAY_TRY_FIRST, MOST_SENT_UNDER_GIL, MOST_UNDER_GIL, PLAIN, traits_of,
)
from fastsock._wait cimport budget_of, call, check_progress

# Only here, since what the header defines is static: others go through the two
# functions that are declared in the .pxd.
cdef extern from "_scratch.h" nogil:
    char *fastsock_borrow_scratch(size_t size)
    void fastsock_give_back_scratch(size_t used)

cdef struct Transfer:
    void *memory
    size_t size
    int flags
    SocketAddress *address


cdef Py_ssize_t call_recv(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Transfer *transfer = <Transfer *>arguments
    return libc.recv(fd, transfer.memory, transfer.size, transfer.flags | extra_flags)


cdef Py_ssize_t call_recvfrom(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Transfer *transfer = <Transfer *>arguments
    transfer.address.size = sizeof(transfer.address.storage)
    return libc.recvfrom(
        fd, transfer.memory, transfer.size, transfer.flags | extra_flags,
        <sockaddr *>&transfer.address.storage, &transfer.address.size)


cdef Py_ssize_t call_send(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Transfer *transfer = <Transfer *>arguments
    return libc.send(fd, transfer.memory, transfer.size, transfer.flags | extra_flags)


cdef Py_ssize_t call_sendto(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Transfer *transfer = <Transfer *>arguments
    return libc.sendto(
        fd, transfer.memory, transfer.size, transfer.flags | extra_flags,
        <sockaddr *>&transfer.address.storage, transfer.address.size)


cdef Operation RECV = Operation(call_recv, POLLIN, RECEIVE, NAME_RECV)
cdef Operation RECVFROM = Operation(call_recvfrom, POLLIN, RECEIVE, NAME_RECVFROM)
cdef Operation SEND_ = Operation(call_send, POLLOUT, SEND, NAME_SEND)
cdef Operation SENDTO = Operation(call_sendto, POLLOUT, SEND, NAME_SENDTO)


cdef char *borrow_scratch(size_t size) noexcept nogil:
    """This thread's memory, at least `size` bytes; NULL if it is lent, or too small."""
    return fastsock_borrow_scratch(size)


cdef void give_back_scratch(size_t used) noexcept nogil:
    """End of use; `used` is how many bytes of it were written."""
    fastsock_give_back_scratch(used)


# -- receiving ------------------------------------------------------------------

cdef Py_ssize_t receive(SocketHead *sock, void *memory, Py_ssize_t size, int flags,
                        bint is_plain_memory, SocketAddress *address,
                        Budget *budget) except -1:
    """recvfrom(2) where an address is asked for, else recv(2), within a budget.

    Returns the bytes received, 0 at the end.
    """
    cdef Transfer transfer
    cdef Py_ssize_t count
    transfer.memory = memory
    transfer.size = size
    transfer.flags = flags
    transfer.address = address
    count = call(sock, &RECV if address == NULL else &RECVFROM, &transfer,
                 traits_of(sock, flags, size, is_plain_memory), budget)
    FASTSOCK_COUNT(counters.bytes_in, count)
    return count


cdef Py_ssize_t recv_into(SocketHead *sock, void *memory, Py_ssize_t size, int flags,
                          bint is_plain_memory) except -1:
    """recv(2) into memory; returns the bytes received, 0 at the peer's end."""
    cdef Budget budget = budget_of(sock)
    if size == 0:
        return 0
    return receive(sock, memory, size, flags, is_plain_memory, NULL, &budget)


cdef Py_ssize_t recv_by_scratch(SocketHead *sock, void *memory, Py_ssize_t size) except -1:
    """recv(2) into memory that is not known to be plain, without giving the GIL away
    for a few bytes: a copy costs less. While receives fill their room, as recv_into().
    Of a stream at most what may be received under the GIL; a datagram is not to be cut.
    """
    cdef FdState *state = state_of(sock.fd)
    cdef Py_ssize_t room = min(size, MOST_UNDER_GIL) if sock.type == SOCK_STREAM else size
    cdef Py_ssize_t count = 0
    cdef char *scratch = NULL
    if size > 0 and state.fills_room < 2:
        scratch = borrow_scratch(room)
    if scratch == NULL:
        count = recv_into(sock, memory, size, 0, False)
        learn(&state.fills_room, count == size)
        return count
    try:
        count = recv_into(sock, scratch, room, 0, True)
        fastsock_copy(memory, scratch, count)
        learn(&state.fills_room, count == room)
        return count
    finally:
        give_back_scratch(count)


cdef object recv(SocketHead *sock, Py_ssize_t size, int flags):
    """recv(2) into new bytes of at most `size`."""
    if size == 0:
        return b""
    return new_bytes(sock, size, flags, NULL)


cdef object recvfrom(SocketHead *sock, Py_ssize_t size, int flags):
    """recvfrom(2) into new bytes; returns (data, address)."""
    cdef SocketAddress address
    data = new_bytes(sock, size, flags, &address)
    return data, from_sockaddr(&address)


cdef object recvfrom_into(SocketHead *sock, void *memory, Py_ssize_t size, int flags,
                          bint is_plain_memory):
    """recvfrom(2) into memory; returns (count, address)."""
    cdef Budget budget = budget_of(sock)
    cdef SocketAddress address
    count = receive(sock, memory, size, flags, is_plain_memory, &address, &budget)
    return count, from_sockaddr(&address)


cdef inline bint is_large(Py_ssize_t count, Py_ssize_t size) noexcept:
    """Would a receive of `count` bytes have been cheaper into memory of `size`?

    Up to the allocator's threshold for mapping memory (128 KiB), allocating costs
    less than copying 16 KiB; above it, the room should have been half used.
    """
    return count >= size // 2 or (count >= 16384 and size <= 131072)


cdef object new_bytes(SocketHead *sock, Py_ssize_t size, int flags, SocketAddress *address):
    """Receive into new bytes that are as large as what arrived.

    Small receives go through the stack. Larger ones go through the thread's
    scratch memory and are copied, which beats allocating `size` for a few bytes;
    but on an fd whose receives lately filled their room, into the result itself.
    """
    cdef Budget budget = budget_of(sock)
    cdef char[STACK_SIZE] stack
    cdef Py_ssize_t count
    if flags & MSG_TRUNC:
        # The kernel then returns a datagram's length, which may be above `size`.
        return new_bytes_directly(sock, size, flags, address, &budget)
    if size > STACK_SIZE:
        return new_bytes_by_scratch(sock, size, flags, address, &budget)
    count = receive(sock, stack, size, flags, True, address, &budget)
    return PyBytes_FromStringAndSize(stack, count)


cdef object new_bytes_by_scratch(SocketHead *sock, Py_ssize_t size, int flags,
                                 SocketAddress *address, Budget *budget):
    cdef FdState *state = state_of(sock.fd)
    cdef char *scratch = NULL
    cdef Py_ssize_t count = 0
    if state.fills_room < 2:
        scratch = borrow_scratch(size)
    if scratch == NULL:
        return new_bytes_directly(sock, size, flags, address, budget)
    try:
        count = receive(sock, scratch, size, flags, True, address, budget)
        learn(&state.fills_room, is_large(count, size))
        return PyBytes_FromStringAndSize(scratch, count)
    finally:
        give_back_scratch(count)


cdef object new_bytes_directly(SocketHead *sock, Py_ssize_t size, int flags,
                               SocketAddress *address, Budget *budget):
    """Receive into new bytes of `size`, and cut them to what arrived.

    With MSG_TRUNC they may have to grow, and TCP writes nothing into them at all: what the
    kernel left as it was must not show what lay in the memory.
    """
    cdef PyObject *received = NewBytes(NULL, size)
    cdef FdState *state = state_of(sock.fd)
    cdef object result
    if flags & MSG_TRUNC and sock.type != SOCK_DGRAM:
        memset(PyBytes_AS_STRING(received), 0, size)
    try:
        count = receive(sock, PyBytes_AS_STRING(received), size, flags, True, address, budget)
    except:
        Py_DECREF(<object>received)
        raise
    learn(&state.fills_room, is_large(count, size))
    if count != size:
        _PyBytes_Resize(&received, count)
        if count > size:
            memset(PyBytes_AS_STRING(received) + size, 0, count - size)
    result = <object>received
    Py_DECREF(result)
    return result


# -- sending --------------------------------------------------------------------

cdef Py_ssize_t transmit(SocketHead *sock, const void *memory, Py_ssize_t size, int flags,
                         bint is_plain_memory, Budget *budget) except -1:
    """send(2), within a budget; returns how many bytes the kernel took.

    A blocking send takes all, as send(2) does: where a first try took a part, the
    plain call sends the rest. If that fails or is interrupted, the part is the
    result, as it would have been of one call.
    """
    cdef FdState *state
    cdef Transfer transfer
    cdef Py_ssize_t sent, more
    cdef int fd
    cdef bint is_short = size <= MOST_SENT_UNDER_GIL
    cdef int traits = traits_of(sock, flags, size, is_plain_memory and is_short)
    if budget.timeout_ns < 0 and not is_short:
        traits = PLAIN  # will likely fill the buffer: one call, and not two
    transfer.memory = <void *>memory
    transfer.size = size
    transfer.flags = flags
    sent = call(sock, &SEND_, &transfer, traits, budget)
    if (sent < size and traits & MAY_TRY_FIRST and budget.timeout_ns < 0
            and sock.type == SOCK_STREAM):
        fd = sock.fd
        state = state_of(fd)
        transfer.memory = <char *>memory + sent
        transfer.size = size - sent
        fastsock_enter(state)
        with nogil:
            more = call_send(fd, &transfer, 0)
        fastsock_leave(state)
        FASTSOCK_COUNT(counters.system_calls[<int>NAME_SEND], 1)
        sent += max(more, 0)
    FASTSOCK_COUNT(counters.bytes_out, sent)
    return sent


cdef Py_ssize_t send(SocketHead *sock, const void *memory, Py_ssize_t size, int flags,
                     bint is_plain_memory) except -1:
    """send(2); returns how many bytes the kernel took."""
    cdef Budget budget = budget_of(sock)
    return transmit(sock, memory, size, flags, is_plain_memory, &budget)


cdef int sendall(SocketHead *sock, const char *memory, Py_ssize_t size, int flags,
                 bint is_plain_memory) except -1:
    """send(2) until all is sent, under one deadline; empty data is sent once.

    Signal handlers run after every send: a send that was interrupted after a
    part of the data succeeds with that part, and says nothing of EINTR. Whatever
    ends it early carries `bytes_sent`, and in `bytes_given` of how many bytes that was.
    """
    cdef Budget budget = budget_of(sock)
    cdef Py_ssize_t total = 0
    try:
        while True:
            total += transmit(sock, memory + total, size - total, flags, is_plain_memory,
                              &budget)
            check_progress(&budget, total >= size)
            if total >= size:
                return 0
    except BaseException as error:
        attach(error, "bytes_sent", total)
        attach(error, "bytes_given", size)
        raise


cdef Py_ssize_t sendto(SocketHead *sock, const void *memory, Py_ssize_t size, int flags,
                       bint is_plain_memory, object address) except -1:
    """sendto(2) to `address`; returns how many bytes the kernel took."""
    cdef Budget budget
    cdef SocketAddress destination
    cdef Transfer transfer
    cdef Py_ssize_t sent
    parse_address(sock, address, &destination, "sendto")
    PySys_Audit("socket.sendto", "OO", <PyObject *>sock, <PyObject *>address)
    budget = budget_of(sock)  # resolving a name takes long, and an audit hook is any code
    transfer.memory = <void *>memory
    transfer.size = size
    transfer.flags = flags
    transfer.address = &destination
    sent = call(sock, &SENDTO, &transfer,
                traits_of(sock, flags, size, is_plain_memory)
                if sock.type == SOCK_DGRAM else PLAIN, &budget)
    FASTSOCK_COUNT(counters.bytes_out, sent)
    return sent
