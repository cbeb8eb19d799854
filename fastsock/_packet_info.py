"""PacketInfo: what control messages say of a datagram, by name."""

import dataclasses
import socket as _stdlib
import struct

from fastsock import _constants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Self

    _Fields = dict[str, Any]  # of a PacketInfo, by name

_numbers = _constants.table()


def _number(name: str) -> int | None:
    """A constant of the interpreter's, or else of the table; None if neither has it."""
    number: int | None = getattr(_stdlib, name, _numbers.get(name))
    return number


_IP, _IPV6, _UDP = _stdlib.IPPROTO_IP, _stdlib.IPPROTO_IPV6, _stdlib.IPPROTO_UDP
_PKTINFO4 = _IP, _number("IP_PKTINFO")
_PKTINFO6 = _IPV6, _number("IPV6_PKTINFO")
_TTL4 = _IP, _number("IP_TTL")
_TTL6 = _IPV6, _number("IPV6_HOPLIMIT")
_TIMESTAMP = _stdlib.SOL_SOCKET, _number("SCM_TIMESTAMPNS")
_DROPPED = _stdlib.SOL_SOCKET, _number("SO_RXQ_OVFL")
_GRO = _UDP, _number("UDP_GRO")


@dataclasses.dataclass(frozen=True)
class PacketInfo:
    """What the kernel said of a datagram; None where it was not asked.

    Attributes
    ----------
    destination : str
        The address that it was sent to: IP_PKTINFO, IPV6_RECVPKTINFO.
    local : str
        This host's address that it came in by; other than `destination` for multicast.
    interface : int
        The index of the interface that it came in by.
    timestamp_ns : int
        When it arrived, in nanoseconds since 1970: SO_TIMESTAMPNS.
    dropped : int
        How many datagrams the socket had dropped for want of room by then:
        SO_RXQ_OVFL. The kernel does not say 0.
    ttl : int
        Time to live, or hop limit, on arrival: IP_RECVTTL, IPV6_RECVHOPLIMIT.
    segment_size : int
        The size of each of the datagrams that the kernel glued together: UDP_GRO.

    Sources: ip(7), ipv6(7), socket(7), udp(7).
    """

    destination: str | None = None
    local: str | None = None
    interface: int | None = None
    timestamp_ns: int | None = None
    dropped: int | None = None
    ttl: int | None = None
    segment_size: int | None = None

    @classmethod
    def from_ancillary(cls, ancdata: "Iterable[tuple[int, int, bytes]]") -> "Self":
        """Read the control messages of recvmsg(), recvmmsg() or batch.ancillary().

        Parameters
        ----------
        ancdata : iterable of (level, type, data)
            What is not known, or cut off, is passed over.
        """
        found: _Fields = {}
        for level, kind, data in ancdata:
            reader = _READERS.get((level, kind))
            if reader is not None:
                try:
                    found.update(reader(data))
                except struct.error:
                    pass  # cut off
        return cls(**found)

    def ancillary(self) -> list[tuple[int, int, bytes]]:
        """Control messages for sendmsg(), with which the answer is sent from `local`: a
        server bound to a wildcard answers from the address that it was asked on.

        Raises
        ------
        OSError
            `local` is no address, or this system can't be told where to send from.
        """
        if self.local is None:
            return []
        if ":" in self.local:
            packed = _stdlib.inet_pton(_stdlib.AF_INET6, self.local)
            is_link_local = packed[0] == 0xfe and packed[1] & 0xc0 == 0x80  # fe80::/10
            (level, kind), name = _PKTINFO6, "IPV6_PKTINFO"
            data = struct.pack("=16sI", packed, self.interface if is_link_local else 0)
        else:
            (level, kind), name = _PKTINFO4, "IP_PKTINFO"
            data = struct.pack("=i4s4x", 0, _stdlib.inet_aton(self.local))
        if kind is None:
            raise OSError(f"this system has no {name}")
        return [(level, kind, data)]


def _pktinfo4(data: bytes) -> "_Fields":
    interface, local, destination = struct.unpack("=i4s4s", data[:12])
    return {"interface": interface, "local": _stdlib.inet_ntoa(local),
            "destination": _stdlib.inet_ntoa(destination)}


def _pktinfo6(data: bytes) -> "_Fields":
    destination, interface = struct.unpack("=16sI", data[:20])
    text = _stdlib.inet_ntop(_stdlib.AF_INET6, destination)
    return {"interface": interface, "destination": text,
            "local": None if destination[0] == 0xff else text}


def _timestamp(data: bytes) -> "_Fields":
    seconds, nanoseconds = struct.unpack("@ll", data[:struct.calcsize("@ll")])
    return {"timestamp_ns": seconds * 10**9 + nanoseconds}


def _int_as(name: str, form: str) -> "Callable[[bytes], _Fields]":
    size = struct.calcsize(form)
    return lambda data: {name: struct.unpack(form, data[:size])[0]}


_READERS = {
    kind: reader for kind, reader in (
        (_PKTINFO4, _pktinfo4), (_PKTINFO6, _pktinfo6), (_TIMESTAMP, _timestamp),
        (_DROPPED, _int_as("dropped", "=I")), (_TTL4, _int_as("ttl", "=i")),
        (_TTL6, _int_as("ttl", "=i")), (_GRO, _int_as("segment_size", "=i")))
    if kind[1] is not None}
