"""Socket addresses of AF_INET, AF_INET6 and AF_UNIX: Python's forms and sockaddr.

Job: (host, port), (host, port, flowinfo, scope_id) and paths, to sockaddr and
back, as Doc/library/socket.rst gives them and with the stdlib's exceptions.

Hosts are what the stdlib's `bind`, `connect` and `sendto` take: "" is the wildcard,
"<broadcast>" the broadcast address, a number is converted by inet_pton(3), and
anything else is asked of getaddrinfo(3), whose first answer of the family is taken.

Rules: a host that is a number makes no system call; the resolver runs without the
GIL, on memory that nothing can change. What the kernel wrote is read by the length that
it returned, not up to a NUL that may be missing (unix(7), BUGS). Every other family
belongs to the inherited methods; `is_ours` says which.
"""

import _socket

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset, strchr, strcmp

cimport fastsock._libc as libc

from fastsock._arguments cimport as_int, as_unsigned
from fastsock._buffers cimport borrow_readable
from fastsock._libc cimport (
    AF_INET, AF_INET6, AF_UNIX, EAI_SYSTEM, INADDR_ANY, INADDR_BROADCAST, SUN_PATH_OFFSET,
    addrinfo, errno, freeaddrinfo, gai_strerror, getaddrinfo, htonl, htons, in6addr_any,
    inet_ntop, inet_pton, ntohl, ntohs, sockaddr, sockaddr_in, sockaddr_in6, sockaddr_un,
    socklen_t, strnlen,
)
from fastsock._errors cimport raise_errno
from fastsock._platform cimport FASTSOCK_HAS_ABSTRACT_ADDRESSES, FASTSOCK_SET_SA_LEN
from fastsock._python cimport (
    BufferView, PyBuffer_Release, PyUnicode_DATA, PyUnicode_DecodeFSDefaultAndSize,
    PyUnicode_DecodeLocale, PyUnicode_EncodeFSDefault, PyUnicode_FromString,
    PyUnicode_IS_COMPACT_ASCII,
)


cdef int parse_address(SocketHead *sock, object address, SocketAddress *parsed,
                       str caller) except -1:
    """Convert `address` for the socket's family; `caller` opens error messages.

    Raises TypeError for another form, OverflowError for a number out of range,
    OSError for a path that is too long, gaierror for a name that is not found.
    """
    if sock.family == AF_INET:
        return parse_inet(address, parsed, caller)
    if sock.family == AF_INET6:
        return parse_inet6(address, parsed, caller)
    if sock.family == AF_UNIX:
        return parse_unix(address, parsed)
    raise OSError(f"{caller}(): bad family")


cdef int parse_inet(object address, SocketAddress *parsed, str caller) except -1:
    cdef sockaddr_in *inet = <sockaddr_in *>&parsed.storage
    cdef int port
    if not isinstance(address, tuple):
        raise TypeError(
            f"{caller}(): AF_INET address must be tuple, not {type(address).__name__}")
    if len(address) != 2:
        raise TypeError("AF_INET address must be a pair (host, port)")
    host = host_name(address[0])
    port = parse_port(address[1], caller)
    memset(inet, 0, sizeof(sockaddr_in))
    resolve(host, AF_INET, <sockaddr *>inet, sizeof(sockaddr_in))
    check_port(port, caller)
    inet.sin_family = AF_INET
    inet.sin_port = htons(<unsigned short>port)
    parsed.size = sizeof(sockaddr_in)
    FASTSOCK_SET_SA_LEN(inet, parsed.size)
    return 0


cdef int parse_inet6(object address, SocketAddress *parsed, str caller) except -1:
    cdef sockaddr_in6 *inet6 = <sockaddr_in6 *>&parsed.storage
    cdef unsigned int flowinfo, scope_id
    cdef int port
    if not isinstance(address, tuple):
        raise TypeError(
            f"{caller}(): AF_INET6 address must be tuple, not {type(address).__name__}")
    if not 2 <= len(address) <= 4:
        raise TypeError(
            "AF_INET6 address must be a tuple (host, port[, flowinfo[, scopeid]])")
    host = host_name(address[0])
    port = parse_port(address[1], caller)
    flowinfo = as_unsigned(address[2]) if len(address) > 2 else 0
    scope_id = as_unsigned(address[3]) if len(address) > 3 else 0
    memset(inet6, 0, sizeof(sockaddr_in6))
    resolve(host, AF_INET6, <sockaddr *>inet6, sizeof(sockaddr_in6))
    check_port(port, caller)
    if flowinfo > 0xfffff:
        raise OverflowError(f"{caller}(): flowinfo must be 0-1048575.")
    inet6.sin6_family = AF_INET6
    inet6.sin6_port = htons(<unsigned short>port)
    inet6.sin6_flowinfo = htonl(flowinfo)
    # The stdlib takes the scope from the tuple alone, also after "fe80::1%eth0".
    inet6.sin6_scope_id = scope_id
    parsed.size = sizeof(sockaddr_in6)
    FASTSOCK_SET_SA_LEN(inet6, parsed.size)
    return 0


cdef int parse_port(object port, str caller) except? -1:
    try:
        return as_int(port)
    except OverflowError:
        raise OverflowError(f"{caller}(): port must be 0-65535.") from None


cdef int check_port(int port, str caller) except -1:
    # After the host, as in the stdlib: of two errors the resolver's comes first.
    if not 0 <= port <= 0xffff:
        raise OverflowError(f"{caller}(): port must be 0-65535.")
    return 0


cdef int parse_unix(object address, SocketAddress *parsed) except -1:
    cdef sockaddr_un *local = <sockaddr_un *>&parsed.storage
    cdef BufferView path
    cdef bint is_abstract
    if isinstance(address, str):
        # PEP 383, without refusing NULs, which abstract addresses have.
        address = PyUnicode_EncodeFSDefault(address)
    borrow_readable(address, &path)
    try:
        is_abstract = FASTSOCK_HAS_ABSTRACT_ADDRESSES and (
            path.len == 0 or (<char *>path.buf)[0] == 0)
        if path.len > <Py_ssize_t>sizeof(local.sun_path) - (0 if is_abstract else 1):
            raise OSError("AF_UNIX path too long")
        memset(local, 0, sizeof(sockaddr_un))
        local.sun_family = AF_UNIX
        memcpy(local.sun_path, path.buf, path.len)
        # A path counts its closing NUL, an abstract address is just its bytes.
        parsed.size = <socklen_t>(SUN_PATH_OFFSET + path.len + (0 if is_abstract else 1))
        FASTSOCK_SET_SA_LEN(local, parsed.size)
    finally:
        PyBuffer_Release(&path)
    return 0


cdef object from_sockaddr(SocketAddress *address):
    """The Python form of an address that the kernel wrote; None if it wrote none.

    A family that is not ours comes back as (family, bytes), as from the stdlib.
    """
    cdef sockaddr *plain = <sockaddr *>&address.storage
    if address.size == 0:
        return None
    if plain.sa_family == AF_INET:
        return from_inet(<sockaddr_in *>plain)
    if plain.sa_family == AF_INET6:
        return from_inet6(<sockaddr_in6 *>plain)
    if plain.sa_family == AF_UNIX:
        return from_unix(<sockaddr_un *>plain, min(address.size, sizeof(address.storage)))
    return plain.sa_family, PyBytes_FromStringAndSize(plain.sa_data, sizeof(plain.sa_data))


cdef object from_inet(sockaddr_in *inet):
    return host_text(AF_INET, &inet.sin_addr), ntohs(inet.sin_port)


cdef object from_inet6(sockaddr_in6 *inet6):
    return (host_text(AF_INET6, &inet6.sin6_addr), ntohs(inet6.sin6_port),
            ntohl(inet6.sin6_flowinfo), inet6.sin6_scope_id)


cdef object host_text(int family, void *host):
    cdef char[64] text
    if inet_ntop(family, host, text, sizeof(text)) == NULL:
        raise_errno(errno)
    return PyUnicode_FromString(text)


cdef object from_unix(sockaddr_un *local, size_t size):
    cdef size_t length = size - SUN_PATH_OFFSET if size > SUN_PATH_OFFSET else 0
    if FASTSOCK_HAS_ABSTRACT_ADDRESSES and length > 0 and local.sun_path[0] == 0:
        return PyBytes_FromStringAndSize(local.sun_path, length)
    return PyUnicode_DecodeFSDefaultAndSize(local.sun_path, strnlen(local.sun_path, length))


# -- hosts ----------------------------------------------------------------------

cdef object host_name(object host):
    """The host as an ASCII str or bytes, as `resolve` takes it; TypeError for what is
    no host name."""
    cdef object name = host
    if not (isinstance(host, str) and PyUnicode_IS_COMPACT_ASCII(host)):
        name = encoded(host)
    if (b"\0" if isinstance(name, bytes) else "\0") in name:
        raise TypeError("host name must not contain null character")
    return name


cdef int resolve(object host, int family, sockaddr *address, size_t size) except -1:
    """Write the address of `host`, a host_name(), into a zeroed sockaddr of `family`.

    Raises gaierror for a name that is not found, OSError for "<broadcast>" with IPv6.
    """
    cdef const char *name
    if isinstance(host, bytes):
        name = <const char *><bytes>host
    else:
        name = <const char *>PyUnicode_DATA(host)
    if family == AF_INET:
        if name[0] == 0:
            (<sockaddr_in *>address).sin_addr.s_addr = htonl(INADDR_ANY)
            return 0
        if strcmp(name, b"<broadcast>") == 0 or strcmp(name, b"255.255.255.255") == 0:
            (<sockaddr_in *>address).sin_addr.s_addr = htonl(INADDR_BROADCAST)
            return 0
        if inet_pton(AF_INET, name, &(<sockaddr_in *>address).sin_addr) > 0:
            return 0
    else:
        if name[0] == 0:
            (<sockaddr_in6 *>address).sin6_addr = in6addr_any
            return 0
        if strcmp(name, b"<broadcast>") == 0 or strcmp(name, b"255.255.255.255") == 0:
            raise OSError("address family mismatched")
        # "fe80::1%eth0" is for getaddrinfo(3), which knows the interfaces.
        if strchr(name, c'%') == NULL and inet_pton(
                AF_INET6, name, &(<sockaddr_in6 *>address).sin6_addr) > 0:
            return 0
    return look_up(name, family, address, size)


cdef bytes encoded(object host):
    """The host as bytes; a str that is not ASCII by IDNA (RFC 3490)."""
    if isinstance(host, (bytes, bytearray)):
        return bytes(host)
    if isinstance(host, str):
        try:
            return host.encode("idna")
        except Exception:
            raise TypeError("encoding of hostname failed") from None
    raise TypeError(f"str, bytes or bytearray expected, not {type(host).__name__}")


cdef int look_up(const char *name, int family, sockaddr *address, size_t size) except -1:
    cdef addrinfo hints
    cdef addrinfo *found = NULL
    cdef int failure, error
    memset(&hints, 0, sizeof(hints))
    hints.ai_family = family
    with nogil:
        failure = getaddrinfo(name, NULL, &hints, &found)
        error = libc.errno
    if failure == EAI_SYSTEM:
        raise_errno(error)
    if failure:
        raise _socket.gaierror(
            failure, PyUnicode_DecodeLocale(gai_strerror(failure), b"surrogateescape"))
    memcpy(address, found.ai_addr, min(size, found.ai_addrlen))
    freeaddrinfo(found)
    return 0
