"""What sockets of datagrams have beyond the stdlib's; the class takes it from here when
it is first asked for.

Receiving and sending many at a time is in the extensions; options are set here.
"""

from __future__ import annotations

import ipaddress
import operator
import socket as _stdlib
import sys

from fastsock import _constants
from fastsock._groups import group_request, interface_request, interface_with
from fastsock._platform_facts import facts
from fastsock._recvmmsg import recvmmsg, recvmmsg_into
from fastsock._segmented import send_segmented
from fastsock._sendmmsg import sendmmsg, sendmmsg_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import SupportsIndex

    from fastsock._socket_class import socket

    _IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

__all__ = ["enable_gro", "join_group", "leave_group", "recvmmsg", "recvmmsg_into",
           "send_segmented", "sendmmsg", "sendmmsg_from", "set_multicast"]

LARGEST_INDEX = 0xffffffff

# Those that this system's headers, or else Linux's ABI, define.
_numbers = _constants.table()


def enable_gro(self: socket, enabled: bool = True, /) -> None:
    """Let the kernel glue datagrams of one sender together: UDP_GRO.

    recvmmsg() and batches give out single datagrams as before, for a fraction of the
    time. Plain recv(), recvfrom() and recvmsg() on this socket return them glued.

    Raises
    ------
    OSError
        This socket, or this system, has no such option.

    Source: udp(7), kernel commit e20cf8d3f1f7.
    """
    option = _numbers.get("UDP_GRO")
    if option is None:
        raise OSError("this system has no UDP_GRO")
    self.setsockopt(_stdlib.IPPROTO_UDP, option, int(bool(enabled)))


def join_group(self: socket, group: str, interface: str | int | None = None,
               source: str | None = None) -> None:
    """Receive what is sent to a multicast group: ip(7), ipv6(7), RFC 3678.

    Parameters
    ----------
    group : str
        The group's address, of the socket's family.
    interface : str or int, optional
        The name or index of an interface, or (IPv4) an address of it; None lets the
        routing table choose.
    source : str, optional
        Only what this sender sends; may be called again for others.

    Raises
    ------
    ValueError
        `group` is no multicast address, or another family's.
    OverflowError
        An index below 0, or above 4294967295.
    OSError
        The system refuses: no such interface, joined already, ...
    """
    _change_group(self, "JOIN", group, interface, source)


def leave_group(self: socket, group: str, interface: str | int | None = None,
                source: str | None = None) -> None:
    """Undo join_group() with the same arguments."""
    _change_group(self, "LEAVE", group, interface, source)


def set_multicast(self: socket, *, interface: str | int | None = None,
                  ttl: SupportsIndex | None = None, loopback: bool | None = None) -> None:
    """Set how this socket sends to multicast groups: ip(7), ipv6(7).

    Each option that is None stays as it is. Receiving is join_group().

    Parameters
    ----------
    interface : str or int, optional
        The name or index of the interface to send by, or (IPv4) an address of it, which the
        datagrams then come from if the socket has no other. 0 lets the routing table choose,
        as before the first call.
    ttl : int, optional
        0 to 255: how many routers forward a datagram, and one more; the hop limit of IPv6.
        The system's default is 1, the local network. 0 stays on this host.
    loopback : bool, optional
        Whether this host's own members of the group receive the datagrams too. The system's
        default is True.

    Raises
    ------
    ValueError
        `ttl` is not 0 to 255, or the socket is neither AF_INET nor AF_INET6. Nothing was set.
    OverflowError
        `interface` is an index below 0, or above 4294967295. Nothing was set.
    OSError
        There is no such interface, and nothing was set; or the system refuses an option.

    Notes
    -----
    Options: IP_MULTICAST_IF, IP_MULTICAST_TTL and IP_MULTICAST_LOOP; IPV6_MULTICAST_IF,
    IPV6_MULTICAST_HOPS and IPV6_MULTICAST_LOOP. One system call for each that is given.

    Thread safety: as setsockopt().
    """
    if self.family not in (_stdlib.AF_INET, _stdlib.AF_INET6):
        raise ValueError(f"multicast needs a socket of AF_INET or AF_INET6, not {self.family!r}")
    of_ipv6 = self.family == _stdlib.AF_INET6
    level = _stdlib.IPPROTO_IPV6 if of_ipv6 else _stdlib.IPPROTO_IP
    options: list[tuple[int, int | bytes]] = []
    if interface is not None:
        index = _index_of(interface)
        if of_ipv6:
            options.append((_stdlib.IPV6_MULTICAST_IF, index.to_bytes(4, sys.byteorder)))
        else:
            options.append((_stdlib.IP_MULTICAST_IF,
                            interface_request(index, _address_in(interface))))
    # For IPv4 a single byte, which every system takes; the BSDs refuse an int.
    if ttl is not None:
        hops = operator.index(ttl)
        if not 0 <= hops <= 255:
            raise ValueError(f"ttl must be 0 to 255, not {hops}")
        options.append((_stdlib.IPV6_MULTICAST_HOPS, hops) if of_ipv6 else (
            _stdlib.IP_MULTICAST_TTL, bytes([hops])))
    if loopback is not None:
        flag = bool(loopback)
        options.append((_stdlib.IPV6_MULTICAST_LOOP, int(flag)) if of_ipv6 else (
            _stdlib.IP_MULTICAST_LOOP, bytes([flag])))
    for option, value in options:
        self.setsockopt(level, option, value)


def _change_group(sock: socket, verb: str, group: str, interface: str | int | None,
                  source: str | None) -> None:
    address = _address_of(sock, group, "group")
    if not address.is_multicast:
        raise ValueError(f"{address} is no multicast address")
    level = _stdlib.IPPROTO_IP if address.version == 4 else _stdlib.IPPROTO_IPV6
    name = f"MCAST_{verb}_GROUP" if source is None else f"MCAST_{verb}_SOURCE_GROUP"
    option = _numbers.get(name)
    if option is None:
        raise OSError(f"this system has no {name}")
    sock.setsockopt(level, option, group_request(
        _index_of(interface), address,
        None if source is None else _address_of(sock, source, "source")))


def _address_of(sock: socket, text: str, what: str) -> _IPAddress:
    address = ipaddress.ip_address(text)
    family = _stdlib.AF_INET if address.version == 4 else _stdlib.AF_INET6
    if sock.family != family:
        raise ValueError(f"{what} {text!r} is no address of {sock.family!r}")
    return address


def _index_of(interface: str | int | None) -> int:
    if interface is None:
        return 0
    if isinstance(interface, int):
        if not 0 <= interface <= LARGEST_INDEX:
            raise OverflowError(f"an interface's index is 0 to {LARGEST_INDEX}, not {interface}")
        return interface
    if not isinstance(interface, (str, bytes)):
        raise TypeError("interface must be a name, an index or an IPv4 address, "
                        f"not {interface!r} ({type(interface).__name__})")
    address = _address_in(interface)
    if address is None:
        try:
            return _stdlib.if_nametoindex(interface)
        except OSError as error:
            reason = f"no interface has the name {interface!r}"
            raise (OSError(error.errno, reason) if error.errno else OSError(reason)) from None
    if index := interface_with(address):
        return index
    raise OSError(f"no interface has the address {interface}")


def _address_in(interface: str | int) -> ipaddress.IPv4Address | None:
    """The address by which an interface is given; None for a name or an index."""
    if not isinstance(interface, str):  # four bytes would be one, too
        return None
    try:
        return ipaddress.IPv4Address(interface)
    except ValueError:
        return None


# A name that this system lacks is absent.
if not TYPE_CHECKING and not facts()["segmentation"]:
    del enable_gro
    __all__.remove("enable_gro")
