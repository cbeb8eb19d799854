"""Host names and numbers, to the address part of a sockaddr.

Job: what the stdlib's `bind`, `connect` and `sendto` do with a host: "" is the
wildcard, "<broadcast>" the broadcast address, a number is converted by
inet_pton(3), and anything else is asked of getaddrinfo(3), whose first answer of
the family is taken.

Rule: the resolver runs without the GIL, on memory that nothing can change.
"""

import _socket

from libc.string cimport memcpy, memset, strchr, strcmp

cimport fastsock._libc as libc
from fastsock._errors cimport raise_errno
from fastsock._libc cimport (
    AF_INET, AF_INET6, EAI_SYSTEM, INADDR_ANY, INADDR_BROADCAST, addrinfo, freeaddrinfo,
    gai_strerror, getaddrinfo, htonl, in6addr_any, inet_pton, sockaddr, sockaddr_in,
    sockaddr_in6,
)
from fastsock._python cimport (
    PyUnicode_DATA, PyUnicode_DecodeLocale, PyUnicode_IS_COMPACT_ASCII,
)


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
