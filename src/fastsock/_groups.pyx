"""Multicast: what join_group() and set_multicast() give to setsockopt(2), and interfaces
by address.

Rules: the structures are the system's own (RFC 3678): their layout is no other system's.
"""

cimport fastsock._libc as libc
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EADDRNOTAVAIL
from libc.string cimport memcmp, memcpy, memset

from fastsock._errors cimport raise_errno
from fastsock._libc cimport AF_INET, AF_INET6, sockaddr, sockaddr_in, sockaddr_in6
from fastsock._platform cimport FASTSOCK_LINUX, FASTSOCK_SET_SA_LEN, FastsockGroup

cdef extern from "<ifaddrs.h>" nogil:
    cdef struct ifaddrs:
        ifaddrs *ifa_next
        const char *ifa_name
        sockaddr *ifa_addr

    int getifaddrs(ifaddrs **found)
    void freeifaddrs(ifaddrs *found)

cdef extern from "<net/if.h>" nogil:
    unsigned int if_nametoindex(const char *name)

# Linux's ip_mreqn.
cdef struct Interface:
    char[4] group
    char[4] address
    int index

# Linux takes it for IP_MULTICAST_IF; every system takes an in_addr.
cdef bint HAS_INDEX = FASTSOCK_LINUX


def group_request(unsigned int interface, group, source):
    """What the options MCAST_JOIN_GROUP and the like, or with a source
    MCAST_JOIN_SOURCE_GROUP, take.

    Parameters
    ----------
    interface : int
        Its index; 0: the routing table chooses.
    group, source : ipaddress.IPv4Address or IPv6Address
        `source` may be None.
    """
    cdef FastsockGroup request
    memset(&request, 0, sizeof(request))
    request.gsr_interface = interface
    write_address(<sockaddr *>&request.gsr_group, group)
    if source is not None:
        write_address(<sockaddr *>&request.gsr_source, source)
        return PyBytes_FromStringAndSize(<char *>&request, sizeof(request))
    # A group_req is the first part of a group_source_req.
    return PyBytes_FromStringAndSize(
        <char *>&request, <char *>&request.gsr_source - <char *>&request)


cdef int write_address(sockaddr *target, object address) except -1:
    cdef sockaddr_in *inet = <sockaddr_in *>target
    cdef sockaddr_in6 *inet6 = <sockaddr_in6 *>target
    cdef bytes packed = address.packed
    if address.version == 4:
        inet.sin_family = AF_INET
        memcpy(&inet.sin_addr, <const char *>packed, sizeof(inet.sin_addr))
        FASTSOCK_SET_SA_LEN(inet, sizeof(sockaddr_in))
    else:
        inet6.sin6_family = AF_INET6
        inet6.sin6_scope_id = int(address.scope_id or 0)
        memcpy(&inet6.sin6_addr, <const char *>packed, sizeof(inet6.sin6_addr))
        FASTSOCK_SET_SA_LEN(inet6, sizeof(sockaddr_in6))
    return 0


def interface_request(unsigned int interface, address):
    """What the option IP_MULTICAST_IF takes.

    Parameters
    ----------
    interface : int
        Its index; 0: the routing table chooses.
    address : ipaddress.IPv4Address or None
        The address of the interface to send from.
    """
    cdef Interface request
    cdef bytes packed
    memset(&request, 0, sizeof(request))
    if address is not None:
        packed = address.packed
        memcpy(request.address, <const char *>packed, sizeof(request.address))
    elif interface and not HAS_INDEX:
        if not find_interface(&interface, request.address):
            raise_errno(EADDRNOTAVAIL)
    if not HAS_INDEX:
        return PyBytes_FromStringAndSize(request.address, sizeof(request.address))
    request.index = <int>interface
    return PyBytes_FromStringAndSize(<char *>&request, sizeof(request))


def interface_with(address):
    """The index of the interface that has the IPv4 address; 0: none has it."""
    cdef unsigned int index = 0
    cdef char[4] packed
    memcpy(packed, <const char *><bytes>address.packed, sizeof(packed))
    find_interface(&index, packed)
    return index


cdef int find_interface(unsigned int *index, char *packed) except -1:
    """Look up an IPv4 address: its interface if `index` is 0, else the interface's first."""
    cdef ifaddrs *found = NULL
    cdef ifaddrs *entry
    cdef sockaddr_in *inet
    cdef bint is_found = False
    cdef int failed, error
    with nogil:
        failed = getifaddrs(&found)
        error = libc.errno
    if failed:
        raise_errno(error)
    entry = found
    while entry != NULL and not is_found:
        if entry.ifa_addr != NULL and entry.ifa_addr.sa_family == AF_INET:
            inet = <sockaddr_in *>entry.ifa_addr
            if index[0] == 0:
                is_found = memcmp(&inet.sin_addr, packed, 4) == 0
                if is_found:
                    index[0] = if_nametoindex(entry.ifa_name)
            elif if_nametoindex(entry.ifa_name) == index[0]:
                is_found = True
                memcpy(packed, &inet.sin_addr, 4)
        entry = entry.ifa_next
    freeifaddrs(found)
    return is_found
