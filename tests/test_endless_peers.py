"""Peers that send without end: each kind of reader stops, or takes no more than it has room for.

A flood is sent as fast as it is taken, by a thread, until the reader's end closes; it is given
up only after FAR_TOO_MUCH bytes, and that is a failure. What is asserted is what was taken, what
is held, and who else is served meanwhile: no times.
"""

import contextlib
import itertools
import resource
import os
import socket as stdlib_socket
import ssl
import struct
import threading

import pytest

import fastsock
from fastsock.commands.http_files import FileProtocol
from fastsock.framing import Fixed, FramingError, LengthPrefix, LimitOverrunError, Lines
from fastsock.framing import Netstring, Varint

from tests.conftest import TIMEOUT_S, open_fds
from tests.serving import Echo, Served, answering, receive

LIMIT = 4096
READ_SIZE = 8192
#: What the kernel keeps of a flood for both ends, and a read: on every system far below this.
KERNEL = 8 << 20
FAR_TOO_MUCH = 256 << 20

#: What never becomes a message: the framing, its beginning, and what follows without end.
ENDLESS = {
    "a line": (Lines(limit=LIMIT), b"", b"x"),
    "a line that almost ends": (Lines(b"\r\n\r\n", limit=LIMIT), b"", b"\r\n\r"),
    "a length above the limit": (LengthPrefix(limit=LIMIT), b"\xff\xff\xff\xff", b"x"),
    "a length of 64 bits": (LengthPrefix("!Q", limit=LIMIT), b"\xff" * 8, b"x"),
    "a negative length": (LengthPrefix("!i", limit=LIMIT), b"\xff\xff\xff\xff", b"x"),
    "a varint": (Varint(limit=LIMIT), b"", b"\x80"),
    "digits": (Netstring(limit=LIMIT), b"", b"1"),
    "zeros": (Netstring(limit=LIMIT), b"", b"0"),
}

#: Messages without end, each of them good.
GOOD = {
    "lines": (Lines(limit=LIMIT), b"hello\n"), "empty lines": (Lines(limit=LIMIT), b"\n"),
    "prefixed": (LengthPrefix(limit=LIMIT), b"\0\0\0\x05hello"),
    "empty ones": (LengthPrefix(limit=LIMIT), bytes(4)), "varints": (Varint(limit=LIMIT), b"\0"),
    "netstrings": (Netstring(limit=LIMIT), b"5:hello,"), "fixed": (Fixed(7), b"1234567"),
}

endless = pytest.mark.parametrize("framing, begin, more", ENDLESS.values(), ids=ENDLESS)
good = pytest.mark.parametrize("framing, message", GOOD.values(), ids=GOOD)


class Flood:
    """A thread that sends for as long as it is let."""

    def __init__(self, sock, begin, more):
        self.sock = sock
        self.begin, self.more = begin, more * (65536 // len(more))
        self.sent = 0
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with contextlib.suppress(OSError):
            self.sent += self.sock.send(self.begin)
            while self.sent < FAR_TOO_MUCH:
                self.sent += self.sock.send(self.more)  # what is cut off begins anew elsewhere


class WholeFlood(Flood):
    """Nothing of a message is left out where the kernel took a part."""

    def run(self):
        with contextlib.suppress(OSError):
            while self.sent < FAR_TOO_MUCH:
                self.sock.sendall(self.more)
                self.sent += len(self.more)


@contextlib.contextmanager
def flooded(sock, begin, more, kind=Flood):
    """While inside, `sock` sends without end; then it is shut down."""
    flood = kind(sock, begin, more)
    flood.thread.start()
    try:
        yield flood
    finally:
        with contextlib.suppress(OSError):
            sock.shutdown(stdlib_socket.SHUT_RDWR)
        flood.thread.join(TIMEOUT_S)
    assert not flood.thread.is_alive()


@pytest.fixture
def ends():
    """(what floods, what reads)"""
    a, b = stdlib_socket.socketpair()
    with a, fastsock.adopt(b) as reader:
        a.settimeout(TIMEOUT_S)
        reader.settimeout(TIMEOUT_S)
        yield a, reader


READS = {
    "recv_message": lambda stream: stream.recv_message(),
    "recv_messages": lambda stream: stream.recv_messages(),
    "recv_message_into": lambda stream: stream.recv_message_into(bytearray(2 * LIMIT)),
    "messages": lambda stream: next(iter(stream.messages())),
}


@endless
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_never_becomes_a_message_is_refused(ends, framing, begin, more, read):
    sender, reader = ends
    stream = fastsock.Stream(reader, framing=framing, read_size=READ_SIZE)
    with flooded(sender, begin, more) as flood:
        for _ in range(3):  # and it stays refused, without reading on
            with pytest.raises((LimitOverrunError, FramingError)):
                read(stream)
            assert stream.pending() <= LIMIT + READ_SIZE
    assert flood.sent < KERNEL


@pytest.mark.parametrize("read", [
    lambda stream: stream.readline(), lambda stream: stream.readuntil(b"\r\n"),
    lambda stream: stream.readuntil((b"\r\n", b"\0", b"end")), next],
    ids=["readline", "readuntil", "several separators", "iterating"])
def test_a_line_without_an_end_is_refused(ends, read):
    sender, reader = ends
    stream = fastsock.Stream(reader, limit=LIMIT, read_size=READ_SIZE)
    with flooded(sender, b"", b"x") as flood:
        for _ in range(3):
            with pytest.raises(LimitOverrunError):
                read(stream)
            assert stream.pending() <= LIMIT + READ_SIZE
    assert flood.sent < KERNEL


@endless
def test_feed_refuses_what_never_becomes_a_message(framing, begin, more):
    fed = 0
    with pytest.raises((LimitOverrunError, FramingError)):
        for piece in itertools.chain([begin], itertools.repeat(more * 100)):
            fed += len(piece)
            assert fed <= LIMIT + 1000
            framing.feed(piece)
    # Whoever does not heed it feeds nothing.
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(1000):
        with pytest.raises((LimitOverrunError, FramingError)):
            framing.feed(bytes(200_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 100_000
    with pytest.raises((LimitOverrunError, FramingError)):
        framing.feed_eof()  # other tests use this framing, too


@good
def test_what_is_held_of_endless_messages(ends, framing, message):
    """As many as are asked for, and what one read brought behind them."""
    sender, reader = ends
    stream = fastsock.Stream(reader, framing=framing, read_size=READ_SIZE)
    with flooded(sender, b"", message, WholeFlood):
        for _ in range(2000):
            stream.recv_message()
            assert len(stream.recv_messages(max=3)) <= 3
            assert len(stream.peek(10)) <= 10
            assert stream.pending() <= 2 * READ_SIZE
        assert len(stream.readexactly(100_000)) == 100_000
        assert len(stream.read(1000)) <= 1000
        assert stream.pending() <= 2 * READ_SIZE


def test_exact_reads_and_plain_ones(ends):
    sender, reader = ends
    with flooded(sender, b"", b"x"):
        for size in (1, 1000, 100_000):
            assert len(reader.recv_exactly(size)) == size
            assert len(reader.recv(size)) <= size
            assert reader.recv_exactly_into(bytearray(size)) == size


def test_datagrams():
    with (fastsock.socket(type=stdlib_socket.SOCK_DGRAM) as reader,
          stdlib_socket.socket(type=stdlib_socket.SOCK_DGRAM) as sender):
        reader.bind(("127.0.0.1", 0))
        reader.settimeout(TIMEOUT_S)
        sender.connect(reader.getsockname())
        if not hasattr(reader, "recvmmsg"):
            pytest.skip("no recvmmsg() here")
        batch = fastsock.DatagramBatch(8, 100)
        with flooded(sender, b"x", b"x" * 1000, Datagrams):
            for _ in range(200):
                found = reader.recvmmsg(8, 100)
                assert 1 <= len(found) <= 8
                assert all(len(data) <= 100 for data, address in found)
                assert 1 <= reader.recvmmsg_into(batch) <= 8


class Datagrams(Flood):
    def run(self):
        with contextlib.suppress(OSError):
            while self.sent < FAR_TOO_MUCH:
                self.sent += self.sock.send(self.more[:1000])


def test_descriptors_that_nobody_asked_for(ends):
    """Plain receives, and recvmsg() without room for them: none stays open."""
    sender, reader = ends
    stream = fastsock.Stream(reader, framing=Lines())
    with open(os.devnull) as file:
        fds = struct.pack("=8i", *[file.fileno()] * 8)
        before = open_fds()
        for receiving in (lambda: reader.recv(1), lambda: reader.recvmsg(1),
                          lambda: reader.recvmsg(1, stdlib_socket.CMSG_LEN(0)),
                          lambda: reader.recv_exactly(1), stream.recv_message):
            for _ in range(50):
                sender.sendmsg([b"\n"], [(stdlib_socket.SOL_SOCKET, stdlib_socket.SCM_RIGHTS, fds)])
                receiving()
        assert open_fds() == before


# -- servers --------------------------------------------------------------------

@endless
@pytest.mark.parametrize("batch", [False, True], ids=["one", "batch"])
def test_a_server_ends_what_never_becomes_a_message(tmp_path, framing, begin, more, batch):
    with (answering(list if batch else bytes, str(tmp_path / "s"), framing=framing,
                    batch=batch) as served, served.connect() as client):
        flood = Flood(client, begin, more)
        flood.thread.start()
        flood.thread.join()  # the server has ended the connection, or far too much was sent
        assert flood.sent < KERNEL


@good
@pytest.mark.parametrize("batch", [False, True], ids=["one", "batch"])
def test_a_server_waits_for_who_does_not_read_its_answers(tmp_path, framing, message, batch):
    with (answering(list if batch else bytes, str(tmp_path / "s"), framing=framing,
                    batch=batch) as served, served.connect() as client):
        client.setblocking(False)
        sent = 0
        data = message * (65536 // len(message))
        left = data
        while sent < FAR_TOO_MUCH:
            try:
                count = client.send(left)
            except BlockingIOError:
                served.turn()  # whatever it had to do is done
                try:
                    count = client.send(left)
                except BlockingIOError:
                    break
            sent += count
            left = left[count:] or data
        assert sent < KERNEL


def test_a_head_without_an_end(tmp_path):
    """The example of HTTP: an answer that says so, and the end of the connection."""
    with serving(fastsock.Server(lambda: FileProtocol(tmp_path), str(tmp_path / "s"))) as served:
        with served.connect() as client:
            flood = Flood(client, b"GET / HTTP/1.1\r\n", b"a: b\r\n")
            flood.thread.start()
            flood.thread.join()
            assert flood.sent < KERNEL


@contextlib.contextmanager
def serving(server):
    served = Served(server)
    with server:
        served.thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            served.thread.join(TIMEOUT_S)


@contextlib.contextmanager
def relay_to_an_echo(folder):
    with (serving(fastsock.Server(Echo, str(folder / "target"))) as target,
          serving(fastsock.Relay(str(folder / "s"), target.address)) as served):
        yield served


class Answering:
    """In the place of ssl's objects: each byte that arrives is answered by TLS itself, as a
    request for new keys is, and says nothing to the protocol."""

    def wrap_bio(self, incoming, outgoing, server_side):
        self.incoming, self.outgoing = incoming, outgoing
        return self

    def do_handshake(self):
        pass

    def read(self, size):
        self.outgoing.write(self.incoming.read())
        raise ssl.SSLWantReadError

    def unwrap(self):
        pass


class Deaf(Echo):
    def data_received(self, data):
        pass

    def pause_writing(self):
        pass


def test_who_asks_tls_without_end_and_reads_nothing(tmp_path):
    """No protocol can stop it: one that writes nothing need not know of pauses."""
    with serving(fastsock.Server(Deaf, str(tmp_path / "s"),
                                 ssl_context=Answering())) as served:
        with served.connect() as client:
            flood = Flood(client, b"", b"x")
            flood.thread.start()
            flood.thread.join()
            assert flood.sent < KERNEL
        # Who reads the answers is not ended for them.
        with served.connect() as client:
            for _ in range(300):
                client.sendall(bytes(1000))
                assert receive(client, 1000) == bytes(1000)


SERVERS = {
    "serve": lambda folder: answering(bytes, str(folder / "s"), framing=Lines()),
    "batch": lambda folder: answering(list, str(folder / "s"), framing=Lines(), batch=True),
    "whatever arrives": lambda folder: answering(bytes, str(folder / "s")),
    "protocol": lambda folder: serving(fastsock.Server(Echo, str(folder / "s"))),
    "relay": relay_to_an_echo,
}


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "not reading"])
@pytest.mark.parametrize("make", SERVERS.values(), ids=SERVERS)
def test_others_are_served_meanwhile(tmp_path, make, reads):
    with make(tmp_path) as served, contextlib.ExitStack() as stack:
        for _ in range(3):
            flooding = stack.enter_context(served.connect())
            stack.enter_context(flooded(flooding, b"", b"hello\n", WholeFlood))
            if reads:
                reader = threading.Thread(target=read_all, args=[flooding])
                stack.callback(reader.join)
                stack.callback(flooding.shutdown, stdlib_socket.SHUT_RDWR)
                reader.start()
        with served.connect() as client:
            for _ in range(50):
                client.sendall(b"question\n")
                assert receive(client, 9) == b"question\n"


def read_all(sock):
    with contextlib.suppress(OSError):
        while sock.recv(1 << 18):
            pass
