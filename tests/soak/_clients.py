"""The load: good clients, that check every byte, and bad ones.

Job: `Clients` is some threads of each, until stop(). Bad clients vanish, dribble, never read,
reset, half-close and send garbage, as a seeded generator says; good ones count what they said
and what came back. Half of the good ones are on fastsock's sockets.

Rule: bad ones visit only the servers of BAD_FOR. What the others count must be just what the
good clients count.
"""

import collections
import contextlib
import random
import select
import socket
import ssl
import struct
import threading

import fastsock

from tests.soak._servers import FIXED, FRAMINGS

TIMEOUT_S = 20.0
BAD = 6         # threads of bad clients
BAD_FOR = ("protocol", *FRAMINGS)
GOOD_FOR = (*BAD_FOR, "batch", "tls", "relay", "workers", "relay()", "datagrams", "stream")
GARBAGE = {"lines": b"x" * 70_000, "length": b"\xff" * 9, "varint": b"\xff" * 12,
           "netstring": b"99999999999:", "fixed": b"short", "protocol": b"\0\xff"}

#: Of what has no framing of its own: as which server it is spoken to.
FRAMED_AS = {"batch": "lines", "workers": "lines", "relay()": "length", "stream": "length"}
PORT_OF = {"relay()": "length", "stream": "length"}


def message(chance, name):
    if name == "fixed":
        return chance.randbytes(FIXED)
    data = chance.randbytes(chance.choice([0, 1, 10, 1000, 20_000]))
    return data.replace(b"\n", b"-").replace(b"\r", b"-") if name == "lines" else data


def conversation(chance, name):
    """What a good client says: (its bytes, how many of them are payload)."""
    name = FRAMED_AS.get(name, name)
    words = [message(chance, name) for _ in range(chance.randrange(1, 20))]
    if name in FRAMINGS:
        data = b"".join(map(FRAMINGS[name].encode, words))
    else:
        data = b"".join(words)
    return data, sum(map(len, words))


def say(client, data, chance):
    """Send in pieces and read the echo meanwhile, to the last byte: the echo."""
    echo = bytearray()
    client.setblocking(False)
    sent = 0
    while len(echo) < len(data):
        readable, writable, _ = select.select(
            [client], [client] if sent < len(data) else [], [], TIMEOUT_S)
        assert readable or writable, f"{len(echo)} of {len(data)} bytes came back"
        if writable:
            sent += client.send(data[sent:sent + chance.choice([1, 100, 5000, 100_000])])
        if readable:
            piece = client.recv(1 << 16)
            assert piece, f"the end after {len(echo)} of {len(data)} bytes"
            echo += piece
    client.settimeout(TIMEOUT_S)
    return bytes(echo)


# -- bad ones --------------------------------------------------------------------------------

def vanish(client, name, chance):
    if chance.random() < 0.5:
        client.sendall(conversation(chance, name)[0])


def dribble(client, name, chance):
    for byte in conversation(chance, name)[0][:200]:
        client.sendall(bytes([byte]))


def never_read(client, name, chance):
    client.setblocking(False)
    data = conversation(chance, name)[0] + b"\n"
    with contextlib.suppress(BlockingIOError):
        for _ in range(1000):
            client.sendall(data * 10)  # until nobody takes it any more


def reset(client, name, chance):
    data = conversation(chance, name)[0]
    client.sendall(data[:chance.randrange(len(data) + 1)])
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half_close(client, name, chance):
    client.sendall(conversation(chance, name)[0][:10_000])
    client.shutdown(socket.SHUT_WR)
    while client.recv(1 << 16):
        pass


def send_garbage(client, name, chance):
    client.sendall(GARBAGE[name] + chance.randbytes(chance.choice([0, 10, 100_000])))
    client.shutdown(socket.SHUT_WR)
    while client.recv(1 << 16):
        pass


MISBEHAVIOUR = [vanish, dribble, never_read, reset, half_close, send_garbage]


# -- good ones -------------------------------------------------------------------------------

class Counts:
    """What the good clients did, by the name of the server; each has one thread."""

    def __init__(self):
        self.conversations = collections.Counter()
        self.sent_bytes = collections.Counter()         # on the wire
        self.payload_bytes = collections.Counter()
        self.received_bytes = collections.Counter()
        self.misbehaved = collections.Counter()
        # Of fastsock's sockets in this process, as fastsock.stats() counts.
        self.own_bytes = collections.Counter()
        self.errors = []


class Clients:
    """Threads of clients, until stop() says when."""

    def __init__(self, ports, authority, seed, counts):
        self.ports, self.seed, self.counts = ports, seed, counts
        self.context = None if authority is None else ssl.create_default_context(cafile=authority)
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(self.good, name))
                        for name in GOOD_FOR if name != "tls" or authority is not None]
        self.threads += [threading.Thread(target=self.run, args=(self.bad, number))
                         for number in range(BAD)]
        for thread in self.threads:
            thread.start()

    def run(self, kind, which):
        chance = random.Random(f"{self.seed} {kind.__name__} {which}")
        try:
            while not self.is_over.is_set():
                kind(which, chance)
        except BaseException as error:
            self.counts.errors.append(f"{kind.__name__} {which}: {error!r}")

    def address(self, name):
        return "127.0.0.1", self.ports[PORT_OF.get(name, name)]

    def good(self, name, chance):
        if name == "datagrams":
            return self.good_datagrams(chance)
        is_own = name in ("stream", "relay()") or chance.random() < 0.5
        module = fastsock if is_own and name != "tls" else socket
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(module.create_connection(self.address(name), TIMEOUT_S))
            if name == "tls":
                client = stack.enter_context(
                    self.context.wrap_socket(client, server_hostname="localhost"))
            if name == "relay()":
                client = self.behind_relay(stack, client)
            for _ in range(chance.randrange(1, 10)):
                data, payload = conversation(chance, name)
                echo = self.exchange(name, client, data, chance)
                assert echo == (data.swapcase() if name == "workers" else data), name
                self.count(name, data, payload, is_own=isinstance(client, fastsock.socket))
            if name in BAD_FOR:
                client.settimeout(TIMEOUT_S)
                data = conversation(chance, name)[0][:10_000]
                client.sendall(data)  # and leaves, politely or not
                if isinstance(client, fastsock.socket):
                    self.counts.own_bytes["out", name] += len(data)
        self.counts.conversations[name] += 1

    def exchange(self, name, client, data, chance):
        if name == "tls":  # neither select() nor two threads
            found = b""
            for start in range(0, len(data), 16_000):
                piece = data[start:start + 16_000]
                client.sendall(piece)
                size = len(found) + len(piece)
                while len(found) < size and (some := client.recv(size - len(found))):
                    found += some
            return found
        if name == "stream":
            return self.by_stream(client, data)
        return say(client, data, chance)

    def by_stream(self, client, data):
        """Messages, by a Stream of their own each time."""
        client.settimeout(TIMEOUT_S)
        stream = fastsock.Stream(client, framing=FRAMINGS["length"])
        found = []
        for word in FRAMINGS["length"].feed(data):
            stream.send_message(word)
            found.append(stream.recv_message())
        return b"".join(map(FRAMINGS["length"].encode, found))

    def behind_relay(self, stack, server):
        """The near end of relay() to a server; when it is closed, the relay ends."""
        near, far = fastsock.socketpair()
        moved = []

        def runs():
            try:
                moved.append(fastsock.relay(far, server, idle_timeout=TIMEOUT_S))
            except BaseException as error:
                self.counts.errors.append(f"relay(): {error!r}")
        thread = threading.Thread(target=runs)
        thread.start()

        def ends():
            near.close()
            thread.join(TIMEOUT_S)
            far.close()
            for forth, back in moved:
                self.counts.own_bytes["relayed", "forth"] += forth
                self.counts.own_bytes["relayed", "back"] += back
        stack.callback(ends)
        return near

    def good_datagrams(self, chance):
        """As many at once as a queue holds: on loopback none is lost then."""
        with fastsock.socket(type=fastsock.SOCK_DGRAM) as client:
            client.connect(self.address("datagrams"))
            client.settimeout(TIMEOUT_S)
            for _ in range(20):
                some = [chance.randbytes(chance.randrange(1, 1200))
                        for _ in range(chance.randrange(1, 33))]
                client.sendmmsg(some)
                found = []
                while len(found) < len(some):
                    found += [data for data, _ in client.recvmmsg(64)]
                assert found == some, "datagrams"
                data = b"".join(some)
                self.count("datagrams", data, len(data), is_own=True)
        self.counts.conversations["datagrams"] += 1

    def count(self, name, data, payload, is_own):
        counts = self.counts
        counts.sent_bytes[name] += len(data)
        counts.received_bytes[name] += len(data)
        counts.payload_bytes[name] += payload
        if is_own:
            counts.own_bytes["out", name] += len(data)
            counts.own_bytes["in", name] += len(data)

    def bad(self, number, chance):
        name = chance.choice(BAD_FOR)
        misbehave = chance.choice(MISBEHAVIOUR)
        with socket.create_connection(self.address(name), TIMEOUT_S) as client:
            try:
                misbehave(client, name, chance)
            except TimeoutError:  # the server should have ended it
                raise
            except OSError:
                pass  # ended or reset by the server, as it may
        self.counts.misbehaved[misbehave.__name__, number] += 1

    def stop(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(3 * TIMEOUT_S)
        assert not any(thread.is_alive() for thread in self.threads)
