"""Socket addresses: what the kernel wrote, and what a program gives."""

import os
import socket
import struct

import fastsock
from fastsock._platform_facts import facts

from tests.coverage_fuzz import native
from tests.coverage_fuzz.target import Choices, Target, result_of, same
from tests.network import has_ipv6

PATH_BYTES = 108  # sun_path of Linux
HAS_ABSTRACT = facts()["abstract_addresses"]

FAMILIES = [socket.AF_INET]
if has_ipv6():
    FAMILIES.append(socket.AF_INET6)
if HAS_ABSTRACT:  # or else what is none of a path is another's matter: "Differences"
    FAMILIES.append(socket.AF_UNIX)


def expected_address(raw, size):
    """The address in Python's form: raw is a whole sockaddr_storage, size what is said of it."""
    family, = struct.unpack_from("=H", raw)
    if size == 0:
        return None
    if family == socket.AF_INET:
        port, = struct.unpack_from("!H", raw, 2)
        return ".".join(map(str, raw[4:8])), port
    if family == socket.AF_INET6:
        port, flowinfo = struct.unpack_from("!HI", raw, 2)
        scope_id, = struct.unpack_from("=I", raw, 24)
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]), port, flowinfo, scope_id
    if family == socket.AF_UNIX:
        path = raw[2:min(size, len(raw))]
        if HAS_ABSTRACT and path[:1] == b"\0":
            return path
        return os.fsdecode(path.partition(b"\0")[0])
    return family, raw[2:16]


class SocketAddresses(Target):
    """A sockaddr of any bytes and any size: no byte is read that is not in it."""

    longest_bytes = 132
    words = (b"\x01\0", b"\x01\0\0", b"\x02\0", b"\x0a\0", b"\xfe\x80", b"\0" * 10 + b"\xff\xff")
    why_not = staticmethod(native.why_not)
    from_sockaddr = staticmethod(native.from_sockaddr)
    parse_address = staticmethod(native.parse_address)

    def open(self):
        self.sockets = {family: self.resources.enter_context(fastsock.socket(family))
                        for family in {*FAMILIES, socket.AF_UNIX}}

    def check(self, data):
        size, data = (data[0], data[1:]) if data else (0, b"")
        raw = data[:native.SOCKADDR_STORAGE_BYTES].ljust(native.SOCKADDR_STORAGE_BYTES, b"\0")
        ours = self.from_sockaddr(raw, size)
        expected = expected_address(raw, size)
        same(ours, expected, raw, size)
        self.check_way_back(ours, raw, size)

    def check_way_back(self, address, raw, size):
        """What was read is written as it was, up to what a program may not say."""
        family, = struct.unpack_from("=H", raw)
        if size == 0 or family not in self.sockets:
            return
        written = result_of(self.parse_address, self.sockets[family], address)
        if family == socket.AF_INET:
            same(written, raw[:8] + bytes(8), address)
        elif family == socket.AF_INET6:
            if address[2] > 0xfffff:
                same(written[0], OverflowError, address)
            else:
                same(written, raw[:28], address)
        elif isinstance(address, bytes):  # an abstract name is just its bytes
            if len(address) > PATH_BYTES:
                same(written, (OSError, ("AF_UNIX path too long",)), address)
            else:
                same(written, raw[:2] + address, address)
        elif address:
            path = os.fsencode(address) + b"\0"
            if len(path) > PATH_BYTES:
                same(written, (OSError, ("AF_UNIX path too long",)), address)
            else:
                same(written, raw[:2] + path, address)


class AddressTexts(Target):
    """Addresses as programs give them: each is understood, or refused, as by the stdlib."""

    longest_bytes = 96
    words = (b"127.0.0.1", b"::1", b"fe80::1%lo", b"::ffff:1.2.3.4", b"0x7f.1", b"017.0.0.1",
             b"<broadcast>", b"255.255.255.255", b"%1", b"::", b"1.2.3.4.5", b"%", b"\0",
             b"ff02::1", b"1:2:3:4:5:6:7:8", "\u0661".encode(), "\uff11".encode(), b"\xc3\xa9")
    our_class = fastsock.socket

    def check(self, data):
        choices = Choices(data)
        family = choices.one_of(FAMILIES)
        address = chosen_address(choices, family)
        if address is None:
            return
        stdlibs, ours = (self.said(cls, family, address)
                         for cls in (socket.socket, self.our_class))
        same(ours, stdlibs, address)

    def said(self, cls, family, address):
        """What connecting, binding and sending say."""
        said = []
        with cls(family, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            said += [result_of(sock.connect, address), result_of(sock.getpeername),
                     result_of(sock.connect_ex, address)]
        with cls(family, socket.SOCK_DGRAM) as sock:
            if family != socket.AF_UNIX:
                level, option = ((socket.IPPROTO_IP, 15) if family == socket.AF_INET
                                 else (socket.IPPROTO_IPV6, 78))
                result_of(sock.setsockopt, level, option, 1)  # FREEBIND: also what is not ours
            if family != socket.AF_UNIX or is_abstract(address):
                said += [result_of(sock.bind, address), without_own(sock, address)]
        return said


def is_abstract(path):
    return (os.fsencode(path) if isinstance(path, str) else bytes(path))[:1] in (b"", b"\0")


def without_own(sock, address):
    """The name of a bound socket; of what the kernel chose, only that it did."""
    name = result_of(sock.getsockname)
    if isinstance(address, (tuple, list)):
        is_chosen = len(address) > 1 and address[1] == 0 and name[1] != 0
        return (name[0], is_chosen or name[1], *name[2:])
    return len(name) if not address else name


def chosen_address(choices, family):
    """An address for both; None where the resolver would be asked, or a path be made."""
    form, count = choices.number(), choices.number() % 6
    numbers = [choices.signed(3), choices.signed(5), choices.signed(5)]
    text = choices.rest()
    host = as_text(form & 7, text)
    if family == socket.AF_UNIX:
        return host
    if host is not None and is_looked_up(host):
        return None
    address = (host, *numbers, 0)[:count] if count < 5 else (host, numbers[0] & 0xffff)
    return list(address) if form & 0xf8 == 0xf8 else address


def as_text(form, text):
    """str in several ways, bytes and bytearray."""
    if form in (0, 1, 2):
        return text.decode("latin-1")
    if form == 3:
        return text.decode("utf-8", "surrogateescape")
    if form == 4:
        return text.decode("utf-8", "replace")
    return bytearray(text) if form == 5 else text


def is_looked_up(host):
    """Is it a name, with which the resolver would be asked?"""
    if isinstance(host, str) and not host.isascii():
        try:
            host = host.encode("idna")
        except UnicodeError:
            return False
    plain = host.encode() if isinstance(host, str) else bytes(host)
    if b"\0" in plain or plain in (b"", b"<broadcast>", b"255.255.255.255"):
        return False
    try:
        return not socket.getaddrinfo(plain, None, flags=socket.AI_NUMERICHOST)
    except OSError:
        return True
