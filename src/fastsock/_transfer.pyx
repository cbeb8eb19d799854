"""The recv and send family: one function a system call, and `sendall`.

Rules: the caller holds the memory until the function returned; every wait and
retry is `_wait.call`'s; a receive of 0 bytes makes no system call where the
stdlib makes none (recv, recv_into), and makes one where it does (recvfrom).
"""

from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF
from libc.stdint cimport int64_t

cimport fastsock._libc as libc
from fastsock._address cimport SocketAddress, from_sockaddr, parse_address
from fastsock._deadline cimport deadline_after, has_passed
from fastsock._errors cimport raise_timeout
from fastsock._libc cimport POLLIN, POLLOUT, sockaddr, socklen_t
from fastsock._python cimport (
    NewBytes, PyBytes_AS_STRING, PyErr_CheckSignals, PySys_Audit, _PyBytes_Resize,
)
from fastsock._wait cimport call


cdef struct Transfer:
    void *memory
    size_t size
    int flags
    SocketAddress *address


cdef Py_ssize_t call_recv(int fd, void *arguments) noexcept nogil:
    cdef Transfer *transfer = <Transfer *>arguments
    return libc.recv(fd, transfer.memory, transfer.size, transfer.flags)


cdef Py_ssize_t call_recvfrom(int fd, void *arguments) noexcept nogil:
    cdef Transfer *transfer = <Transfer *>arguments
    transfer.address.size = sizeof(transfer.address.storage)
    return libc.recvfrom(fd, transfer.memory, transfer.size, transfer.flags,
                         <sockaddr *>&transfer.address.storage, &transfer.address.size)


cdef Py_ssize_t call_send(int fd, void *arguments) noexcept nogil:
    cdef Transfer *transfer = <Transfer *>arguments
    return libc.send(fd, transfer.memory, transfer.size, transfer.flags)


cdef Py_ssize_t call_sendto(int fd, void *arguments) noexcept nogil:
    cdef Transfer *transfer = <Transfer *>arguments
    return libc.sendto(fd, transfer.memory, transfer.size, transfer.flags,
                       <sockaddr *>&transfer.address.storage, transfer.address.size)


cdef Py_ssize_t recv_into(SocketHead *sock, void *memory, Py_ssize_t size, int flags) except -1:
    """recv(2) into memory; returns the bytes received, 0 at the peer's end."""
    cdef Transfer transfer
    if size == 0:
        return 0
    transfer.memory = memory
    transfer.size = size
    transfer.flags = flags
    return call(sock, POLLIN, call_recv, &transfer, deadline_after(sock.timeout_ns))


cdef object recv(SocketHead *sock, Py_ssize_t size, int flags):
    """recv(2) into new bytes of at most `size`."""
    cdef PyObject *received = NewBytes(NULL, size)
    cdef Py_ssize_t count
    try:
        count = recv_into(sock, PyBytes_AS_STRING(received), size, flags)
    except:
        Py_DECREF(<object>received)
        raise
    return trimmed(received, size, count)


cdef object trimmed(PyObject *received, Py_ssize_t size, Py_ssize_t count):
    """New bytes of `size`, of which `count` were filled; takes the reference over."""
    cdef object result
    if count != size:
        _PyBytes_Resize(&received, count)
    result = <object>received
    Py_DECREF(result)
    return result


cdef object recvfrom(SocketHead *sock, Py_ssize_t size, int flags):
    """recvfrom(2) into new bytes; returns (data, address)."""
    cdef PyObject *received = NewBytes(NULL, size)
    cdef object count, address
    try:
        count, address = recvfrom_into(sock, PyBytes_AS_STRING(received), size, flags)
    except:
        Py_DECREF(<object>received)
        raise
    return trimmed(received, size, count), address


cdef object recvfrom_into(SocketHead *sock, void *memory, Py_ssize_t size, int flags):
    """recvfrom(2) into memory; returns (count, address)."""
    cdef SocketAddress address
    cdef Transfer transfer
    cdef Py_ssize_t count
    transfer.memory = memory
    transfer.size = size
    transfer.flags = flags
    transfer.address = &address
    count = call(sock, POLLIN, call_recvfrom, &transfer, deadline_after(sock.timeout_ns))
    return count, from_sockaddr(&address)


cdef Py_ssize_t send(SocketHead *sock, const void *memory, Py_ssize_t size,
                     int flags) except -1:
    """send(2); returns how many bytes the kernel took."""
    cdef Transfer transfer
    transfer.memory = <void *>memory
    transfer.size = size
    transfer.flags = flags
    return call(sock, POLLOUT, call_send, &transfer, deadline_after(sock.timeout_ns))


cdef int sendall(SocketHead *sock, const char *memory, Py_ssize_t size, int flags) except -1:
    """send(2) until all is sent, under one deadline; empty data is sent once.

    Signal handlers run after every send: a send that was interrupted after a
    part of the data succeeds with that part, and says nothing of EINTR.
    """
    cdef int64_t deadline_ns = deadline_after(sock.timeout_ns)
    cdef Transfer transfer
    cdef Py_ssize_t sent
    transfer.flags = flags
    while True:
        transfer.memory = <void *>memory
        transfer.size = size
        sent = call(sock, POLLOUT, call_send, &transfer, deadline_ns)
        memory += sent
        size -= sent
        PyErr_CheckSignals()
        if size <= 0:
            return 0
        if has_passed(deadline_ns):
            raise_timeout()


cdef Py_ssize_t sendto(SocketHead *sock, const void *memory, Py_ssize_t size, int flags,
                       object address) except -1:
    """sendto(2) to `address`; returns how many bytes the kernel took."""
    cdef SocketAddress destination
    cdef Transfer transfer
    parse_address(sock, address, &destination, "sendto")
    PySys_Audit("socket.sendto", "OO", <PyObject *>sock, <PyObject *>address)
    transfer.memory = <void *>memory
    transfer.size = size
    transfer.flags = flags
    transfer.address = &destination
    return call(sock, POLLOUT, call_sendto, &transfer, deadline_after(sock.timeout_ns))
