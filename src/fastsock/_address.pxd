# Socket addresses, from Python and back. Its rules are in `_address.pyx`.

from fastsock._libc cimport AF_INET, AF_INET6, AF_UNIX, sockaddr_storage, socklen_t
from fastsock._object cimport SocketHead

cdef struct SocketAddress:
    sockaddr_storage storage
    socklen_t size


cdef inline bint is_ours(int family) noexcept nogil:
    """Is this a family whose addresses we convert? The stdlib does the others."""
    return family == AF_INET or family == AF_UNIX or family == AF_INET6


cdef int parse_address(SocketHead *sock, object address, SocketAddress *parsed,
                       str caller) except -1
cdef object from_sockaddr(SocketAddress *address)
