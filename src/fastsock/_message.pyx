"""recvmsg(2) and sendmsg(2): scattered and gathered memory, with control messages.

Rules: every buffer is held until the system call returned; the control buffer
lives as long as one call; if Python can't be told of what arrived, descriptors
that came along are closed.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.limits cimport INT_MAX
from libc.string cimport memset

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress, from_sockaddr, parse_address
from fastsock._ancillary cimport close_received_fds, pack, unpack
from fastsock._buffers cimport borrow_readable, borrow_writable
from fastsock._deadline cimport deadline_after
from fastsock._libc cimport POLLIN, POLLOUT, iovec, msghdr
from fastsock._python cimport (
    BufferView, NewBytes, PyBuffer_Release, PyBytes_AS_STRING, PySys_Audit, _PyBytes_Resize,
)
from fastsock._wait cimport call


cdef struct Message:
    msghdr header
    int flags


cdef Py_ssize_t call_recvmsg(int fd, void *arguments) noexcept nogil:
    cdef Message *message = <Message *>arguments
    return libc.recvmsg(fd, &message.header, message.flags)


cdef Py_ssize_t call_sendmsg(int fd, void *arguments) noexcept nogil:
    cdef Message *message = <Message *>arguments
    return libc.sendmsg(fd, &message.header, message.flags)


cdef class Vector:
    """The memory of several Python buffers, lent as an iovec until it is freed.

    Internal: lives inside one call. `what` opens the messages of its errors.
    """
    cdef iovec *parts
    cdef BufferView *views
    cdef Py_ssize_t count

    def __dealloc__(self):
        cdef Py_ssize_t index
        for index in range(self.count):
            PyBuffer_Release(&self.views[index])
        PyMem_Free(self.views)
        PyMem_Free(self.parts)

    cdef int borrow(self, object buffers, bint writable, str what) except -1:
        cdef tuple items
        cdef Py_ssize_t size
        try:
            items = tuple(buffers)
        except TypeError:
            raise TypeError(f"{what} must be an iterable") from None
        size = len(items)
        if size > INT_MAX:
            raise OSError(f"{what} is too long")
        if size == 0:
            return 0
        self.parts = <iovec *>PyMem_Calloc(size, sizeof(iovec))
        self.views = <BufferView *>PyMem_Calloc(size, sizeof(BufferView))
        if self.parts == NULL or self.views == NULL:
            raise MemoryError
        # A view of bytes holds no reference of its own: `items` must outlive it.
        self.items = items
        for item in items:
            if writable:
                borrow_writable(
                    item, &self.views[self.count],
                    f"{what} must be an iterable of single-segment read-write buffers;")
            else:
                borrow_readable(item, &self.views[self.count])
            self.parts[self.count].iov_base = self.views[self.count].buf
            self.parts[self.count].iov_len = self.views[self.count].len
            self.count += 1
        return 0

    cdef tuple items


cdef tuple receive(SocketHead *sock, iovec *parts, size_t count, Py_ssize_t control_size,
                   int flags, PyObject **data):
    """recvmsg(2): (count or data, ancdata, flags, address).

    With `data`, new bytes that `parts` points into, they are cut to what arrived
    and come first; their reference stays the caller's.
    """
    cdef SocketAddress address
    cdef Message message
    cdef Py_ssize_t received
    cdef object first
    if control_size < 0 or control_size > INT_MAX:
        raise ValueError("invalid ancillary data buffer length")
    memset(&message, 0, sizeof(message))
    message.flags = flags
    message.header.msg_name = &address.storage
    message.header.msg_namelen = sizeof(address.storage)
    message.header.msg_iov = parts
    message.header.msg_iovlen = count
    if control_size > 0:
        message.header.msg_control = PyMem_Malloc(control_size)
        if message.header.msg_control == NULL:
            raise MemoryError
        message.header.msg_controllen = control_size
    try:
        received = call(sock, POLLIN, call_recvmsg, &message, deadline_after(sock.timeout_ns))
        try:
            ancillary = unpack(&message.header)
            if data != NULL:
                _PyBytes_Resize(data, received)
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


cdef object recvmsg(SocketHead *sock, Py_ssize_t size, Py_ssize_t control_size, int flags):
    """recvmsg(2) into new bytes: (data, ancdata, flags, address)."""
    cdef PyObject *data
    cdef iovec part
    if size < 0:
        raise ValueError("negative buffer size in recvmsg()")
    data = NewBytes(NULL, size)
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
    cdef Vector vector = Vector()
    cdef SocketAddress destination
    cdef Message message
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
        return call(sock, POLLOUT, call_sendmsg, &message, deadline_after(sock.timeout_ns))
    finally:
        PyMem_Free(message.header.msg_control)
