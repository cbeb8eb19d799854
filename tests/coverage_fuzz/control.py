"""Control messages: the memory that recvmsg(2) fills, and descriptors that really come."""

import errno
import os
import socket
import struct
import warnings

import fastsock

from tests.coverage_fuzz import native
from tests.coverage_fuzz.target import Choices, Target, same

HEADER = struct.Struct("=Qii")  # struct cmsghdr: size with the header, level, type
RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)
NO_FD = 1 << 20                 # above all that may be open
MOST_FDS = 8

#: Those that PacketInfo knows.
KINDS = [RIGHTS, (0, socket.IP_TTL), (0, 8), (41, 50), (41, 52), (1, 35), (1, 40), (17, 104),
         (1, socket.SCM_CREDENTIALS if hasattr(socket, "SCM_CREDENTIALS") else 2)]


def aligned(size):
    return size + 7 & ~7


def walk(control):
    """[(level, type, where its data is, how much is there, is it whole?)], after cmsg(3).

    The last may be cut off; a C library may give that out as far as it is there, or not at
    all (glibc does so unless it is the first).
    """
    found, at = [], 0
    while len(control) - at >= HEADER.size:
        size, level, kind = HEADER.unpack_from(control, at)
        if size < HEADER.size:
            found.append((level, kind, at, -1, False))
            break
        there = min(size, len(control) - at) - HEADER.size
        found.append((level, kind, at + HEADER.size, there, size <= len(control) - at))
        if not found[-1][-1]:
            break
        at += aligned(size)
    return found


class ControlMessages(Target):
    """Any bytes as what the kernel wrote: each message that is there, none that is not."""

    words = tuple(HEADER.pack(HEADER.size + size, *kind)
                  for kind, size in zip(KINDS, (4, 4, 12, 20, 4, 16, 4, 4, 12), strict=True)) + (
        HEADER.pack(0, 1, 1), HEADER.pack(2**64 - 1, 1, 1), HEADER.pack(2**64 - 8, 1, 1),
        HEADER.pack(HEADER.size - 1, 1, 1), HEADER.pack(HEADER.size, 1, 1))
    why_not = staticmethod(native.why_not)
    unpack = staticmethod(native.unpack)
    close_received_fds = staticmethod(native.close_received_fds)
    pack = staticmethod(native.pack)

    def open(self):
        self.file = self.resources.enter_context(open(os.devnull))

    def check(self, data):
        self.check_reading(data)
        self.check_closing(data)
        self.check_writing(data)

    def check_reading(self, control):
        expected = walk(control)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            ours = self.unpack(control)
        is_cut = bool(expected) and not expected[-1][-1]
        whole = [(level, kind, control[at:at + size])
                 for level, kind, at, size, is_whole in expected if is_whole]
        same(ours[:len(whole)], whole, control)
        if len(ours) > len(whole):
            level, kind, at, size, _ = expected[-1]
            assert is_cut and size >= 0 and said, (ours, control)
            same(ours[len(whole):], [(level, kind, control[at:at + size])], control)
        if said:
            assert is_cut and len(said) == 1 and said[0].category is RuntimeWarning, control
        elif is_cut:
            assert len(expected) > 1, f"what was cut off did not warn: {control!r}"
        # What is not known, or cut off, is passed over.
        info = fastsock.PacketInfo.from_ancillary(ours)
        for level, kind, value in ours:
            if (level, kind) == (0, socket.IP_TTL) and len(value) >= 4:
                assert info.ttl is not None, ours
        fastsock.PacketInfo.from_ancillary(
            [(level, kind, value[:len(value) // 2]) for level, kind, value in ours])

    def check_closing(self, data):
        """Each descriptor in it is closed, and no other: ours stand where any number stood."""
        control, live = bytearray(data), []
        try:
            certain = []
            for level, kind, at, size, is_whole in walk(data):
                if (level, kind) != RIGHTS:
                    continue
                for place in range(at, at + max(size, 0) // 4 * 4, 4):
                    fd = NO_FD + len(live)
                    if len(live) < MOST_FDS:
                        fd = os.dup(self.file.fileno())
                        live.append(fd)
                        if is_whole:
                            certain.append(fd)
                    struct.pack_into("=i", control, place, fd)
            self.close_received_fds(bytes(control))
            left = [fd for fd in live if is_open(fd)]
            assert not set(certain) & set(left), (certain, left, data)
            assert is_open(self.file.fileno())
        finally:
            for fd in live:
                if is_open(fd):
                    os.close(fd)

    def check_writing(self, data):
        choices = Choices(data)
        messages = []
        while not choices.is_over and len(messages) < 6:
            level, kind = choices.signed(4), choices.signed(4)
            messages.append((level, kind, choices.take(choices.number())))
        control = b"".join(
            HEADER.pack(HEADER.size + len(value), level, kind) + value
            + bytes(aligned(len(value)) - len(value)) for level, kind, value in messages)
        ours = self.pack(messages)
        same(ours, control, messages)
        same(self.unpack(ours), messages, messages)


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError as error:
        assert error.errno == errno.EBADF, error
        return False
    return True


class Descriptors(Target):
    """Descriptors and credentials over a socket pair: as the stdlib has them, none left open."""

    longest_bytes = 40
    receive_class = fastsock.socket

    def open(self):
        self.file = self.resources.enter_context(open(os.devnull))

    def check(self, data):
        kinds = [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET]
        first = Choices(data)
        kind, wants_credentials = first.one_of(kinds), first.number() & 1
        before = os.dup(self.file.fileno())  # the lowest number that is free
        os.close(before)
        said = []
        for cls in (socket.socket, self.receive_class):
            choices = Choices(data[2:])
            a, b = socket.socketpair(socket.AF_UNIX, kind)
            with a, cls(fileno=b.detach()) as receiver:
                receiver.setblocking(False)
                a.setblocking(False)
                if wants_credentials and hasattr(socket, "SO_PASSCRED"):
                    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
                said.append([self.step(a, receiver, choices) for _ in range(6)
                             if not choices.is_over])
        same(said[1], said[0], data)
        after = os.dup(self.file.fileno())
        os.close(after)
        same(after, before, data)

    def step(self, sender, receiver, choices):
        """Send a message with descriptors, and receive with room for some: what was said."""
        count, size = choices.number() & 7, choices.number() & 31
        room, control_room = choices.number() & 31, choices.number() & 127
        flags = socket.MSG_PEEK if choices.number() & 1 else 0
        fds = struct.pack(f"={count}i", *[self.file.fileno()] * count)
        try:
            sender.sendmsg([bytes(size)], [(*RIGHTS, fds)] if count else [])
        except OSError as error:
            return error.errno
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                got, ancillary, flags_set, address = receiver.recvmsg(room, control_room, flags)
            except OSError as error:
                return error.errno
        said = []
        for level, kind, value in ancillary:
            if (level, kind) == RIGHTS:
                came = struct.unpack(f"={len(value) // 4}i", value[:len(value) // 4 * 4])
                said.append((len(value), [os.get_inheritable(fd) for fd in came]))
                for fd in came:
                    os.close(fd)
            else:
                said.append((level, kind, value))
        return got, said, flags_set, address, [str(one.message) for one in warned]
