"""recvmsg(2) and sendmsg(2): scattered and gathered memory, with control messages.

Rules: every buffer is held until the system call returned; the control buffer
lives as long as one call; if Python can't be told of what arrived, descriptors
that came along are closed.
"""

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from cpython.version cimport PY_VERSION_HEX
from libc.limits cimport INT_MAX
from libc.string cimport memset

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress, from_sockaddr, parse_address
from fastsock._ancillary cimport close_received_fds, pack, unpack
from fastsock._libc cimport MSG_TRUNC, POLLIN, POLLOUT, SOCK_DGRAM, SOCK_STREAM, iovec, msghdr
from fastsock._operation cimport RECEIVE, SEND, Operation
from fastsock._python cimport (
    NewBytes, PyBytes_AS_STRING, PySys_Audit, _PyBytes_Resize,
)
from fastsock._stats cimport FASTSOCK_COUNT, counters
from fastsock._stats cimport RECVMSG as NAME_RECVMSG, SENDMSG as NAME_SENDMSG
from fastsock._traits cimport PLAIN, traits_of
from fastsock._vector cimport Vector
from fastsock._wait cimport Budget, budget_of, call


cdef struct Message:
    msghdr header
    int flags
    unsigned int name_room
    size_t control_room


cdef Py_ssize_t call_recvmsg(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Message *message = <Message *>arguments
    # The kernel wrote these if an earlier try failed late.
    message.header.msg_namelen = message.name_room
    message.header.msg_controllen = message.control_room
    return libc.recvmsg(fd, &message.header, message.flags | extra_flags)


cdef Py_ssize_t call_sendmsg(int fd, void *arguments, int extra_flags) noexcept nogil:
    cdef Message *message = <Message *>arguments
    return libc.sendmsg(fd, &message.header, message.flags | extra_flags)


cdef Operation RECVMSG = Operation(call_recvmsg, POLLIN, RECEIVE, NAME_RECVMSG)
cdef Operation SENDMSG = Operation(call_sendmsg, POLLOUT, SEND, NAME_SENDMSG)


cdef tuple receive(SocketHead *sock, iovec *parts, size_t count, Py_ssize_t control_size,
                   int flags, PyObject **data):
    """recvmsg(2): (count or data, ancdata, flags, address).

    With `data`, new bytes that `parts` points into, they are cut to what arrived
    and come first; their reference stays the caller's.
    """
    cdef Budget budget = budget_of(sock)
    cdef SocketAddress address
    cdef Message message
    cdef Py_ssize_t received
    cdef object first
    if control_size < 0 or control_size > INT_MAX:
        raise ValueError("invalid ancillary data buffer length")
    memset(&message, 0, sizeof(message))
    # POSIX lets a system leave it alone on a connected socket.
    memset(&address.storage, 0, sizeof(address.storage))
    message.flags = flags
    message.header.msg_name = &address.storage
    message.name_room = sizeof(address.storage)
    message.header.msg_iov = parts
    message.header.msg_iovlen = count
    if control_size > 0:
        message.header.msg_control = PyMem_Malloc(control_size)
        if message.header.msg_control == NULL:
            raise MemoryError
        message.control_room = control_size
    try:
        # Not under the GIL: the memory may be anyone's, and fds may come along.
        received = call(sock, &RECVMSG, &message, traits_of(sock, flags, 0, False), &budget)
        FASTSOCK_COUNT(counters.bytes_in, received)
        try:
            ancillary = unpack(&message.header)
            if data != NULL:
                fit(data, received)
                first = <object>data[0]
            else:
                first = received
            address.size = min(<unsigned int>message.header.msg_namelen,
                               <unsigned int>sizeof(address.storage))
            return first, ancillary, message.header.msg_flags, from_sockaddr(&address)
        except:
            close_received_fds(&message.header)
            raise
    finally:
        PyMem_Free(message.header.msg_control)


cdef int fit(PyObject **data, Py_ssize_t received) except -1:
    """Make new bytes as long as the stdlib would, when the kernel says `received`.

    With MSG_TRUNC that may be above their room: as long as the datagram was they are since
    3.15, as those of recv() always were. What was not written is zero.
    """
    cdef Py_ssize_t room = PyBytes_GET_SIZE(<object>data[0])
    if received < room or (received > room and PY_VERSION_HEX >= 0x030F0000):
        _PyBytes_Resize(data, received)
        if received > room:
            memset(PyBytes_AS_STRING(data[0]) + room, 0, received - room)
    return 0


cdef object recvmsg(SocketHead *sock, Py_ssize_t size, Py_ssize_t control_size, int flags):
    """recvmsg(2) into new bytes: (data, ancdata, flags, address)."""
    cdef PyObject *data
    cdef iovec part
    if size < 0:
        raise ValueError("negative buffer size in recvmsg()")
    data = NewBytes(NULL, size)
    if flags & MSG_TRUNC and sock.type != SOCK_DGRAM:
        memset(PyBytes_AS_STRING(data), 0, size)  # TCP then writes nothing into it
    part.iov_base = PyBytes_AS_STRING(data)
    part.iov_len = size
    try:
        return receive(sock, &part, 1, control_size, flags, &data)
    finally:
        if data != NULL:
            Py_DECREF(<object>data)


cdef object recvmsg_into(SocketHead *sock, object buffers, Py_ssize_t control_size, int flags):
    """recvmsg(2) into an iterable of buffers: (count, ancdata, flags, address)."""
    cdef Vector vector = Vector()
    vector.borrow(buffers, True, "recvmsg_into() argument 1")
    return receive(sock, vector.parts, vector.count, control_size, flags, NULL)


cdef object sendmsg(SocketHead *sock, object buffers, object messages, int flags,
                    object address):
    """sendmsg(2) of an iterable of buffers; returns how many bytes the kernel took."""
    cdef Budget budget
    cdef Vector vector = Vector()
    cdef SocketAddress destination
    cdef Message message
    cdef Py_ssize_t sent
    cdef int traits = PLAIN
    memset(&message, 0, sizeof(message))
    message.flags = flags
    if address is not None:
        parse_address(sock, address, &destination, "sendmsg")
        message.header.msg_name = &destination.storage
        message.header.msg_namelen = destination.size
    PySys_Audit("socket.sendmsg", "OO", <PyObject *>sock, <PyObject *>address)
    vector.borrow(buffers, False, "sendmsg() argument 1")
    message.header.msg_iov = vector.parts
    message.header.msg_iovlen = vector.count
    try:
        pack(messages, &message.header)
        budget = budget_of(sock)  # all that calls code of others is over
        # A blocking stream takes all in the plain call; a try might take a part.
        if sock.type != SOCK_STREAM or budget.timeout_ns >= 0:
            traits = traits_of(sock, flags, 0, False)
        sent = call(sock, &SENDMSG, &message, traits, &budget)
        FASTSOCK_COUNT(counters.bytes_out, sent)
        return sent
    finally:
        PyMem_Free(message.header.msg_control)
