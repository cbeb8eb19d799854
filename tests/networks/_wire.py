"""A wire between two networks that does to packets what it is told.

Job: `wire()` joins two namespaces by a device each, TUN's or a veth whose other end a packet
socket reads, and a thread that carries packets from one to the other: it drops, duplicates and
delays some, by a seed, and so reorders them; or it lets only so many bytes through.

Rules: what it did to each datagram is counted, by its payload. Packets that are not of TCP or
UDP (of neighbours that look for one another) pass as they are.
"""

import collections
import contextlib
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import threading
import time

from tests.networks._namespaces import LINK, Namespace, NotPermitted, addresses_of

TUNSETIFF = 0x400454ca
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17
ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_IGNORE_OUTGOING = 263, 1, 23
PACKET_MR_PROMISC = 1
LONGEST = 65_536
TCP, UDP = 6, 17


class Misbehaviour:
    """How often a packet is dropped, sent twice, and held back, and for how long at most."""

    def __init__(self, drop=0.0, duplicate=0.0, delay=0.0, delay_ms=0.0):
        self.drop = drop
        self.duplicate = duplicate
        self.delay = delay
        self.delay_ms = delay_ms


class Tun:
    """One end: a TUN device; packets begin with the head of IP."""

    head_size = 0

    def __init__(self, space):
        try:
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise NotPermitted(f"/dev/net/tun can't be opened: {error.strerror}") from None
        try:
            fcntl.ioctl(self.fd, TUNSETIFF,
                        struct.pack("16sH22x", LINK.encode(), IFF_TUN | IFF_NO_PI))
        except OSError as error:
            os.close(self.fd)
            raise NotPermitted(f"no TUN device can be made: {error.strerror}") from None

    def read(self):
        return os.read(self.fd, LONGEST)

    def write(self, packet):
        os.write(self.fd, packet)

    def close(self):
        os.close(self.fd)


class PacketSocket:
    """One end: a veth of the namespace between; packets begin with the head of Ethernet."""

    head_size = 14

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.sock.bind((name, ETH_P_ALL))
        self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack(
            "iHH8s", socket.if_nametoindex(name), PACKET_MR_PROMISC, 0, b""))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.setblocking(False)
        self.fd = self.sock.fileno()

    def read(self):
        return self.sock.recv(LONGEST)

    def write(self, packet):
        self.sock.send(packet)

    def close(self):
        self.sock.close()


class Carrier:
    """The thread between two ends."""

    def __init__(self, ends, misbehaviour, seed):
        self.ends = ends
        self.misbehaviour = misbehaviour
        self.chance = random.Random(seed)
        self.waiting = []               # a heap: when, number, towards which end, packet
        self.number = 0
        self.seen = 0                   # packets
        self.dropped = self.duplicated = self.delayed = 0
        self.datagrams = collections.Counter()          # payload: how many were carried
        self.datagrams_seen = 0
        self.lock = threading.Condition()
        self.allowed_bytes = None       # of TCP, both ways; None: all
        self.used_up = threading.Event()
        self.is_over = False
        self.error = None
        self.waker, self.wake = os.pipe()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        poll = select.poll()
        for end in self.ends:
            poll.register(end.fd, select.POLLIN)
        poll.register(self.waker, select.POLLIN)
        by_fd = {end.fd: index for index, end in enumerate(self.ends)}
        try:
            while not self.is_over:
                self.write_due()
                wait_ms = None
                if self.waiting:
                    wait_ms = max(0, self.waiting[0][0] - time.monotonic()) * 1000
                for fd, events in poll.poll(wait_ms):
                    if fd == self.waker:
                        return
                    # A device that is down says POLLERR.
                    if events & select.POLLIN:
                        self.carry(by_fd[fd])
                    else:
                        time.sleep(0.001)
        except Exception as error:
            self.error = error

    def carry(self, index):
        for _ in range(64):
            try:
                packet = self.ends[index].read()
            except OSError:  # EAGAIN; a device that is down
                return
            self.decide(packet, 1 - index)

    def decide(self, packet, towards):
        protocol, payload = parts_of(packet[self.ends[0].head_size:])
        copies, delay_s = 1, 0.0
        if protocol in (TCP, UDP):
            self.seen += 1
            wanted, chance = self.misbehaviour, self.chance
            if chance.random() < wanted.drop or self.holds_back(protocol, packet):
                copies = 0
                self.dropped += 1
            elif chance.random() < wanted.duplicate:
                copies = 2
                self.duplicated += 1
            if chance.random() < wanted.delay:
                delay_s = chance.random() * wanted.delay_ms / 1000
                self.delayed += 1
        for _ in range(copies):
            self.number += 1
            heapq.heappush(self.waiting,
                           (time.monotonic() + delay_s, self.number, towards, packet))
        if protocol == UDP:
            with self.lock:
                self.datagrams[payload] += copies
                self.datagrams_seen += 1
                self.lock.notify_all()

    def holds_back(self, protocol, packet):
        if protocol != TCP or self.allowed_bytes is None:
            return False
        self.allowed_bytes -= len(packet)
        if self.allowed_bytes >= 0:
            return False
        self.used_up.set()
        return True

    def write_due(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            _, _, towards, packet = heapq.heappop(self.waiting)
            with contextlib.suppress(OSError):  # a device that is down, or smaller than before
                self.ends[towards].write(packet)

    def wait_for_datagrams(self, count, timeout_s):
        """Returns when it has decided about so many."""
        with self.lock:
            return self.lock.wait_for(lambda: self.datagrams_seen >= count, timeout_s)

    def close(self):
        self.is_over = True
        os.write(self.wake, b"!")
        self.thread.join()
        for end in self.ends:
            end.close()
        os.close(self.wake)
        os.close(self.waker)
        if self.error is not None:
            raise self.error


def parts_of(packet):
    """(protocol, what an UDP packet carries) of a packet of IP."""
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        head_size, protocol = (packet[0] & 15) * 4, packet[9]
    elif version == 6 and len(packet) >= 40:
        head_size, protocol = 40, packet[6]
    else:
        return None, b""
    return protocol, packet[head_size + 8:] if protocol == UDP else b""


@contextlib.contextmanager
def wire(misbehaviour=None, seed=0, kind="tun", mtu=1500):
    """(near, far, carrier), with the addresses of linked()."""
    misbehaviour = misbehaviour or Misbehaviour()
    with contextlib.ExitStack() as stack:
        near, far = (stack.enter_context(Namespace()) for _ in range(2))
        ends = (tun_ends if kind == "tun" else packet_sockets)(stack, near, far, mtu)
        for number, space in enumerate((near, far), 1):
            space.ip(f"link set {LINK} mtu {mtu} txqueuelen 10000",
                     *addresses_of(number, mtu), f"link set {LINK} up")
        carrier = Carrier(ends, misbehaviour, seed)
        stack.callback(carrier.close)
        yield near, far, carrier


def tun_ends(stack, near, far, mtu):
    ends = []
    try:
        for space in (near, far):
            with space.inside():
                ends.append(Tun(space))
    except NotPermitted:
        for end in ends:
            end.close()
        raise
    return ends


def packet_sockets(stack, near, far, mtu):
    between = stack.enter_context(Namespace())
    names = ("w0", "w1")
    for name, space in zip(names, (near, far)):
        between.ip(f"link add {name} mtu {mtu} type veth peer name {LINK} netns {space.path}",
                   f"link set {name} up")
        with space.inside():
            without_offload(LINK)
    with between.inside():
        for name in names:
            without_offload(name)
        return [PacketSocket(name) for name in names]


def without_offload(name):
    """Have whole checksums computed, and so no packets above the MTU: a packet socket would
    see them unfinished. ETHTOOL_STXCSUM of linux/ethtool.h."""
    value = bytearray(struct.pack("II", ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        import ctypes
        held = (ctypes.c_char * len(value)).from_buffer(value)
        fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", name.encode(),
                                                    ctypes.addressof(held)))
