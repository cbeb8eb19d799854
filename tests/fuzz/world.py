"""A world: a few fresh sockets of one implementation, operations on them, what came of it.

Rules:
  * What a world records is the same from run to run: ports, paths and fds have names, large
    data is a checksum. Two worlds of the same scenario can so be compared.
  * Nothing waits for long: the kernel itself ends each call that blocks (SO_RCVTIMEO), and
    one that would wait is made only where the operation says so.
  * Over TCP no more is sent than all its buffers hold: how much of more is taken is a matter
    of time. What was sent is waited for until it has come (see settle).
  * What the page "Differences" lists is left out, with a word where.
"""

import array
import fcntl
import os
import select
import socket as stdlib
import stat
import struct
import termios
import zlib

import fastsock
from fastsock._platform_facts import facts
from tests.fuzz import values
from tests.fuzz.operations import OPERATIONS, WRITES
from tests.network import has_ipv6

MODULES = {"stdlib": stdlib, "fastsock": fastsock}
FACILITIES = facts()

#: What TCP holds between two sockets of this machine, whatever its settings.
MOST_OVER_TCP = 60000
BOUND = struct.pack("ll", 0, 1000)  # 1 ms; the kernel makes one of its ticks of it
INET = stdlib.AF_INET, stdlib.AF_INET6
TCP_CLOSE = 7  # of enum tcp_state, in Linux's tcp(7)
SMALL_BUFFER = 4608  # the least that Linux gives


class TooMuch(Exception):
    """What this world does not do, since time would decide what comes of it."""


def netlink(module):
    pair = [module.socket(stdlib.AF_NETLINK, stdlib.SOCK_DGRAM, NETLINK_USERSOCK)
            for _ in range(2)]
    for sock in pair:
        sock.bind((0, 0))
    return pair


#: Families that not every system has.
OTHER_PAIRS = {}
NETLINK_USERSOCK = 2
try:
    for sock in netlink(stdlib):
        sock.close()
    OTHER_PAIRS["netlink"] = netlink
except (AttributeError, OSError):
    pass

SCENARIOS = ["unix stream", "unix dgram", "unix seqpacket", "tcp", "udp", "tcp listening",
             "unix listening", "unconnected", *OTHER_PAIRS] + (
                 ["tcp6", "udp6"] if has_ipv6() else [])
#: How the sockets of a world begin: their timeout, and whether their buffers are small.
SETTINGS = [(0, False), (0, False), (None, False), (0.001, False), (0, True), (None, True), (0.001, True)]


def is_over(sock):
    """Is this TCP connection none any more?"""
    if not hasattr(stdlib, "TCP_INFO"):
        return True
    return sock.getsockopt(stdlib.IPPROTO_TCP, stdlib.TCP_INFO, 1)[0] == TCP_CLOSE


class World:
    """The sockets of one run of one implementation: places 0 to 3, of which the first two
    are taken by the scenario."""

    def __init__(self, name, scenario, setting, folder):
        self.module = MODULES[name]
        self.folder = folder
        self.scenario = scenario
        self.timeout, self.has_small_buffers = setting
        self.places = [None] * 4
        self.files, self.sockets_of_files, self.sent_files = [], [], []
        self.ports, self.autobound = {}, {}
        self.over_tcp = 0
        self.shares_files = False
        self.pipe, end = os.pipe()
        os.close(end)

    def open(self):
        module, unix = self.module, stdlib.AF_UNIX
        kind = self.scenario.split()
        if kind[0] in OTHER_PAIRS:
            pair = OTHER_PAIRS[kind[0]](module)
        elif kind[0] == "unix" and kind[1] != "listening":
            pair = module.socketpair(unix, getattr(stdlib, f"SOCK_{kind[1].upper()}"))
        elif kind[0] == "unconnected":
            pair = module.socket(), module.socket(unix, stdlib.SOCK_DGRAM)
        elif kind[0] == "unix":
            pair = module.socket(unix), module.socket(unix)
            pair[0].bind(self.path(0))
            pair[0].listen(3)
        else:
            pair = self.inet_pair(kind)
        for place, sock in enumerate(pair):
            self.put(place, sock)
            sock.settimeout(self.timeout)
            if self.has_small_buffers and sock.family == unix:
                sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_SNDBUF, SMALL_BUFFER)

    def inet_pair(self, kind):
        module = self.module
        family, host = ((stdlib.AF_INET6, "::1") if kind[0].endswith("6")
                        else (stdlib.AF_INET, "127.0.0.1"))
        if kind[0].startswith("udp"):
            pair = [module.socket(family, stdlib.SOCK_DGRAM) for _ in range(2)]
            for sock in pair:
                sock.bind((host, 0))
            for ours, theirs in (pair, pair[::-1]):
                ours.connect(theirs.getsockname())
            return pair
        listener, client = module.socket(family), module.socket(family)
        listener.bind((host, 0))
        listener.listen(3)
        if kind[1:] == ["listening"]:
            return listener, client
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        listener.close()
        return client, server

    # -- one operation ------------------------------------------------------------------

    def do(self, operation):
        """(what came of the operation, what its socket then says of itself); or why it was
        not made, a str"""
        name, place, is_patient, *arguments = operation
        function, _, waits = OPERATIONS[name]
        sock = self.places[place]
        if name.startswith("file_"):
            sock = self.sockets_of_files[-1] if self.files else self.places[0]
        if sock is None:
            return "empty"
        self.settle()
        if waits and not (is_patient and self.may_wait(sock, waits, operation)) and (
                self.would_wait(sock, waits)):
            return "would wait"
        if name in READ_BY_FILES and self.is_read_in_parts(sock):
            return "in parts"
        if self.shares_files and sock.fileno() >= 0 and sock.gettimeout() is not None:
            # O_NONBLOCK that was cleared through a dup: on the page "Differences".
            os.set_blocking(sock.fileno(), False)
        try:
            outcome = self.plain(function(self, sock, *arguments))
        except TooMuch:
            return "too much"
        except Exception as error:
            outcome = self.raised(error)
        return outcome, self.state(sock)

    def settle(self):
        """Let TCP deliver what was sent: a busy machine does that a moment later."""
        for sock in self.places if self.over_tcp else ():
            if sock is None or sock.fileno() < 0 or sock.family not in INET or (
                    sock.type != stdlib.SOCK_STREAM or sock.getsockopt(
                        stdlib.SOL_SOCKET, stdlib.SO_ACCEPTCONN)):
                continue
            unacknowledged = array.array("i", [0])
            for _ in range(1000):
                fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, unacknowledged)
                if not unacknowledged[0] or is_over(sock):  # by a reset it is never acknowledged
                    break
                os.sched_yield()

    def would_wait(self, sock, events):
        fd = sock.fileno()
        if fd < 0 or sock.gettimeout() == 0:
            return False
        poll = select.poll()
        poll.register(fd, events)
        return not poll.poll(0)

    def is_read_in_parts(self, sock):
        """Would a file read what lies there in more pieces than the stdlib's would? That is
        on the page "Differences"."""
        there = array.array("i", [0])
        if sock.fileno() >= 0 and sock.type == stdlib.SOCK_STREAM and not sock.getsockopt(
                stdlib.SOL_SOCKET, stdlib.SO_ACCEPTCONN):
            fcntl.ioctl(sock.fileno(), termios.FIONREAD, there)
        return there[0] > 65536

    def may_wait(self, sock, events, operation):
        # With a timeout the stdlib asks poll(2) first, which may have a call wait that the
        # kernel would take at once, or refuse: on the page "Differences". Such are every send into a buffer
        # that has little room, all calls on a listener but accept(), and receives with
        # flags that make no sense there or with more buffers than IOV_MAX.
        if not sock.gettimeout() or sock.fileno() < 0:
            return True
        if "msg" in operation[0] or (operation[0].startswith("recv") and operation[-1] != 0):
            return False
        return events != WRITES and not sock.getsockopt(
            stdlib.SOL_SOCKET, stdlib.SO_ACCEPTCONN)

    def state(self, sock):
        fd = sock.fileno()
        # "settimeout() from one timeout to another", and O_NONBLOCK that was cleared through
        # a dup, are on the page "Differences".
        mode = None if fd < 0 or self.shares_files else os.get_blocking(fd)
        return fd >= 0, sock.gettimeout(), sock.getblocking(), mode

    # -- what operations use --------------------------------------------------------------

    def put(self, place, sock):
        """Take a socket over, in the place of another, which is closed."""
        before, self.places[place] = self.places[place], sock
        if before is not None:
            before.close()
        for option in stdlib.SO_RCVTIMEO, stdlib.SO_SNDTIMEO:
            try:
                sock.setsockopt(stdlib.SOL_SOCKET, option, BOUND)
            except OSError:
                pass  # a family without it
        return sock.family, sock.type, sock.proto, sock.gettimeout()

    def adopt(self, sock):
        return sock if self.module is stdlib else fastsock.adopt(sock)

    def data_in_pieces(self, sock, kind, size, flags):
        """A buffer that more than one call may send; raises TooMuch if the second of them
        might wait, since with a timeout the stdlib asks before each (see may_wait)."""
        if sock.gettimeout() and sock.family == stdlib.AF_UNIX and sock.fileno() >= 0:
            unread = array.array("i", [0])
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, unread)
            if unread[0] or size > (500 if self.has_small_buffers else 16385):
                raise TooMuch
        return self.data(sock, kind, size, flags)

    def data(self, sock, kind, size, flags):
        """A buffer to be sent; raises TooMuch if TCP had to wait with a part of it."""
        if sock.family in INET and sock.type == stdlib.SOCK_STREAM:
            self.over_tcp += size
            if self.over_tcp > MOST_OVER_TCP or (
                    isinstance(flags, int) and flags & values.HOLDING_FLAGS):
                raise TooMuch
        return values.buffer(kind, size)

    def refuse_tcp(self, sock):
        """To bind(2) a port that was used: whether it is free depends on connections of
        earlier worlds that the kernel remembers for a minute (TIME_WAIT)."""
        if sock.family in INET and sock.type == stdlib.SOCK_STREAM:
            raise TooMuch

    def path(self, number):
        return f"{self.folder}/{number}"

    def address(self, address):
        """The address that a description from values.ADDRESSES stands for."""
        return self.possible(self.meant(*address))

    def possible(self, address):
        """The same; raises TooMuch for one that this build has not: on the page "Differences"."""
        if not FACILITIES["abstract_addresses"] and isinstance(address, (str, bytes)) and (
                address[:1] in ("", b"", "\0", b"\0")):
            raise TooMuch
        return address

    def meant(self, kind, *rest):
        if kind == "plain":
            return rest[0]
        if kind == "name of":
            sock = self.places[rest[0]]
            return None if sock is None else sock.getsockname()
        if kind == "no such path":
            return f"{self.folder}/none/none"
        if kind == "long path":
            return f"{self.folder}/".ljust(rest[0], "x")
        if kind == "long abstract":
            return b"\0fuzz".ljust(rest[0], b"x")
        if kind.startswith("abstract"):
            name = f"\0{self.folder}{rest[0]}"
            return name if kind.endswith("str") else name.encode()
        path = self.path(rest[0])
        return {"path": path, "bytes path": path.encode(),
                "bytearray path": bytearray(path.encode())}[kind]

    def named(self, address):
        """An address with names for what the kernel chose."""
        if isinstance(address, tuple) and len(address) in (2, 4):
            host, port, *rest = address
            if isinstance(host, int):  # of AF_NETLINK: a number that the kernel chose
                host = f"number {self.ports.setdefault(host, len(self.ports))}" if host else 0
            elif port > 1023:
                port = f"port {self.ports.setdefault(port, len(self.ports))}"
            return (host, port, *rest)
        if isinstance(address, str):
            return address.replace(self.folder, "folder")
        if isinstance(address, bytes):
            if len(address) == 6:  # what bind("") gives: five hexadecimal digits
                return f"autobound {self.autobound.setdefault(address, len(self.autobound))}"
            return address.replace(self.folder.encode(), b"folder")
        return address

    def messages(self, description):
        """Control messages to be sent."""
        if not description:
            return []
        kind, number = description
        level, rights = stdlib.SOL_SOCKET, stdlib.SCM_RIGHTS
        fds = (level, rights, array.array("i", [self.pipe] * number))
        credentials = (level, getattr(stdlib, "SCM_CREDENTIALS", -1),
                       struct.pack("iII", os.getpid(), os.getuid(), os.getgid()))
        return {
            "fds": [fds],
            "two of fds": [fds, fds],
            "fds and more": (fds, (level, 999, b"1234")),
            "bad fd": [(level, rights, struct.pack("i", -1))],
            "half an fd": [(level, rights, struct.pack("i", self.pipe) + b"\0\0")],
            "credentials": [credentials],
            "credentials and fds": [credentials, fds],
            "ttl": [(stdlib.IPPROTO_IP, stdlib.IP_TTL, struct.pack("i", number))],
            "unknown": [(9999, number, b"1234")],
            "no sequence": [5], "too short": [(1, 2)], "too long": [(1, 2, b"", 4)],
            "str": [(1, 2, "x")], "none": None,
        }[kind]

    def received(self, messages):
        """Received control messages; descriptors in them are counted, and closed."""
        found = []
        for level, kind, data in messages:
            if (level, kind) == (stdlib.SOL_SOCKET, stdlib.SCM_RIGHTS):
                fds = array.array("i", data[:len(data) - len(data) % 4])
                for fd in fds:
                    os.close(fd)
                data = len(fds), len(data)
            found.append((level, kind, data))
        return found

    def written(self, sock, data, size, flags):
        """Of received bytes, those that the kernel wrote: with MSG_TRUNC the others are
        what lay in the memory. TCP writes none then, and others may tell a length that is
        larger than the room was."""
        if not flags & stdlib.MSG_TRUNC:
            return data
        if sock.family in INET and sock.type == stdlib.SOCK_STREAM:
            return len(data)
        return len(data), data[:size]

    def file_to_send(self, sock, kind, size):
        """A file for sendfile(), or None where the stdlib would wait without an end."""
        if self.has_small_buffers or (sock.fileno() >= 0 and not self.has_room(sock)):
            return None
        # From what is no file it goes by send(), in pieces.
        (self.data if kind == "file" else self.data_in_pieces)(sock, "bytes", size, 0)
        if kind == "no file":
            return size
        if kind == "bytesio":
            return values.SEEKABLE(values.PATTERN[:size])
        path = f"{self.folder}/file{size}"
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(values.PATTERN[:size])
        self.sent_files.append(open(path, "rb" if kind == "file" else "r"))
        return self.sent_files[-1]

    def has_room(self, sock):
        poll = select.poll()
        poll.register(sock.fileno(), WRITES)
        return bool(poll.poll(0))

    def position(self, file):
        return file.tell() if hasattr(file, "tell") else None

    # -- the record -----------------------------------------------------------------------

    def raised(self, error):
        """The class and errno: texts are not compared, and `bytes_sent`, which only ours
        has, is on the page "Differences"."""
        return "raised", type(error).__name__, getattr(error, "errno", None)

    def plain(self, value):
        """A value with its types, and a checksum in the place of large data."""
        kind = type(value)
        if kind in (tuple, list):
            return kind.__name__, *map(self.plain, value)
        if kind in (bytes, str) and len(value) > 40:
            data = value if kind is bytes else value.encode("utf-8", "surrogatepass")
            return kind.__name__, len(value), zlib.crc32(data)
        return kind.__name__, value

    def end(self):
        """What is left: state, options and data of each socket; closes all."""
        self.settle()
        left = []
        for sock in self.places:
            if sock is not None and sock.fileno() >= 0:
                sock.settimeout(0)  # else closing a file might wait
        for file in self.files:
            left.append(self.attempt(file.close))
        for sock in self.places:
            if sock is not None and sock.fileno() >= 0:
                left.append([self.attempt(lambda: self.named(sock.getsockname())),
                             self.attempt(lambda: self.named(sock.getpeername())),
                             self.attempt(lambda: sock.getsockopt(*error_option)),
                             self.state(sock), self.unread(sock.fileno())])
        return left

    def attempt(self, call):
        try:
            return self.plain(call())
        except Exception as error:
            return self.raised(error)

    def unread(self, fd):
        """What can be read of a socket, by read(2): (size, checksum) of each piece."""
        found = []
        os.set_blocking(fd, False)
        for _ in range(2000):
            try:
                data = os.read(fd, 1 << 18)
            except OSError as error:
                return [*found, error.errno]
            found.append((len(data), zlib.crc32(data)))
            if not data:
                break
        return found

    def close(self):
        for file in self.files + self.sent_files:
            try:
                file.close()
            except Exception:
                pass  # a buffer that can't be written any more; the next line closes the rest
            raw = getattr(file, "raw", None)
            if raw is not None:
                raw.close()
        for sock in self.places:
            if sock is not None:
                # Else the ports would be kept for a minute (TIME_WAIT).
                if sock.family in INET and sock.fileno() >= 0:
                    sock.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_LINGER,
                                    struct.pack("ii", 1, 0))
                sock._io_refs = 0
                sock.close()
        os.close(self.pipe)
        for entry in os.scandir(self.folder):
            if stat.S_ISSOCK(entry.stat().st_mode):
                os.unlink(entry)


READ_BY_FILES = {"file_read", "file_readline", "file_readinto"}
error_option = stdlib.SOL_SOCKET, stdlib.SO_ERROR
