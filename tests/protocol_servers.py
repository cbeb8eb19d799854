"""Servers for asyncio's protocols: asyncio's own, uvloop's, and fastsock.Server's.

Job: `serve` runs a protocol class on each of them in a thread, so that a test says once
what a protocol is told and what its peer sees. Peers are sockets of the stdlib's.

Rule: what a protocol is told is waited for with Recording.wait_for(), which returns
when it has happened; nothing here sleeps.
"""

import asyncio
import concurrent.futures
import contextlib
import queue
import socket
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.servers import pattern

KINDS = ["asyncio", "uvloop", "epoll", "poll"]
OURS = ["epoll", "poll"]

#: More than the kernel keeps for a connection whose peer does not read.
MUCH = pattern(16 << 20)


class Recorder(asyncio.BaseProtocol):
    """Notes what it is told, and says when it was told something."""

    keeps_open = None  # what eof_received() returns

    def __init__(self):
        self.calls = []
        self.received = bytearray()
        self.changed = threading.Condition()

    def note(self, *call):
        with self.changed:
            self.calls.append(call)
            self.changed.notify_all()

    def note_data(self, data):
        """As one call, however it was cut by the network."""
        with self.changed:
            self.received += data
            if self.calls[-1] != ("data",):
                self.calls.append(("data",))
            self.changed.notify_all()

    def wait_for(self, *names):
        """Wait for a call; the first one of these names."""
        def find():
            return next((call for call in self.calls if call[0] in names), None)

        with self.changed:
            assert self.changed.wait_for(find, TIMEOUT_S), f"no {names} in {self.calls}"
            return find()

    def wait_for_bytes(self, size):
        """Wait until so much arrived; all that did."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= size, TIMEOUT_S), \
                f"{len(self.received)} bytes arrived, not {size}"
            return bytes(self.received)

    def main_calls(self):
        """What it was told but for pauses; data that came in several parts is one call."""
        calls = [call for call in self.calls if call[0] not in ("pause", "resume")]
        return [call for call, before in zip(calls, [None, *calls]) if call != before]

    def connection_made(self, transport):
        self.transport = transport
        self.note("made")

    def eof_received(self):
        self.note("eof")
        return self.keeps_open

    def connection_lost(self, error):
        self.note("lost", error if error is None else type(error))

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")


class Recording(Recorder, asyncio.Protocol):
    def data_received(self, data):
        assert type(data) is bytes
        self.note_data(data)


class Buffering(Recorder, asyncio.BufferedProtocol):
    """As Recording, by way of a buffer of its own."""

    size = 4096

    def __init__(self):
        super().__init__()
        self.buffer = bytearray(self.size)

    def get_buffer(self, sizehint):
        return memoryview(self.buffer)

    def buffer_updated(self, count):
        assert 0 < count <= len(self.buffer)
        self.note_data(self.buffer[:count])


class Running:
    """A server in a thread of its own; a context manager."""

    kind = ""

    def __init__(self, factory):
        self.factory = factory
        self.made = queue.SimpleQueue()  # protocols that nobody asked for
        self.all = []
        self.peers = contextlib.ExitStack()

    def make_protocol(self):
        protocol = self.factory()
        self.all.append(protocol)
        self.made.put(protocol)
        return protocol

    def connect(self, address=None):
        """A new client, an open socket with a timeout, whose kernel keeps little for it.

        Left to itself Linux lets a window grow up to tcp_rmem, on some machines
        beyond MUCH, and then nothing is ever held back.
        """
        address = address or self.address
        if isinstance(address, tuple):
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        else:
            family = socket.AF_UNIX
        client = self.peers.enter_context(socket.socket(family))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 << 10)
        client.settimeout(TIMEOUT_S)
        client.connect(address)
        return client

    def protocol(self):
        """The protocol of the next connection, once it has its transport."""
        protocol = self.made.get(timeout=TIMEOUT_S)
        protocol.wait_for("made")
        return protocol

    def accept(self):
        """A new client, and its protocol."""
        return self.connect(), self.protocol()

    def call(self, function, *arguments):
        """Have the server's thread call something; what it returns or raises."""
        future = concurrent.futures.Future()

        def run():
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        self.call_soon_threadsafe(run)
        return future.result(TIMEOUT_S)

    def abort_all(self):
        for protocol in self.all:
            if hasattr(protocol, "transport") and protocol.calls[-1][0] != "lost":
                protocol.transport.abort()

    def __enter__(self):
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.peers.close()
        self.end()
        self.thread.join(TIMEOUT_S)
        assert not self.thread.is_alive()


class Reference(Running):
    """asyncio's server or uvloop's."""

    def __init__(self, factory, new_loop, **options):
        super().__init__(factory)
        self.loop = new_loop()
        if "ssl_context" in options:
            options["ssl"] = options.pop("ssl_context")
        self.server = self.loop.run_until_complete(self.loop.create_server(
            self.make_protocol, "127.0.0.1", 0, **options))
        self.address = self.server.sockets[0].getsockname()
        self.call_soon_threadsafe = self.loop.call_soon_threadsafe

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        self.loop.close()

    def end(self):
        self.call_soon_threadsafe(self.begin_end)

    def begin_end(self):
        self.server.close()
        self.abort_all()
        # The transports close in turns that were asked for above.
        self.loop.call_later(0.01, self.loop.stop)


class Ours(Running):
    """fastsock.Server, with all its options."""

    def __init__(self, factory, address=("127.0.0.1", 0), **options):
        super().__init__(factory)
        self.server = fastsock.Server(
            self.make_protocol, None if "sock" in options else address, **options)
        self.address = self.server.addresses[0]
        self.call_soon_threadsafe = self.server.call_soon_threadsafe

    def run(self):
        self.server.serve_forever()

    def end(self):
        self.server.shutdown()


@pytest.fixture(scope="session")
def opened_uvloop():
    """uvloop opens a pipe with its first loop and keeps it: not while a test is watched."""
    try:
        import uvloop
    except ImportError:
        return
    uvloop.new_event_loop().close()


def running(kind, factory, **options):
    """A Running of that kind, which is yet to be entered."""
    if kind == "asyncio":
        return Reference(factory, asyncio.SelectorEventLoop, **options)
    if kind == "uvloop":
        return Reference(factory, pytest.importorskip("uvloop").new_event_loop, **options)
    return Ours(factory, use_poll=kind == "poll", **options)


@pytest.fixture(params=KINDS)
def serve(request, opened_uvloop):
    """serve(protocol_class, **options): a Running, until the test ends."""
    with contextlib.ExitStack() as stack:
        def serve(factory=Recording, **options):
            return stack.enter_context(running(request.param, factory, **options))

        serve.kind = request.param
        yield serve


@pytest.fixture(params=OURS)
def serve_ours(request):
    """As `serve`, on fastsock.Server only, with the options that are its own."""
    with contextlib.ExitStack() as stack:
        def serve(factory=Recording, **options):
            return stack.enter_context(running(request.param, factory, **options))

        serve.options = {"use_poll": request.param == "poll"}
        yield serve


def read_all(sock, size=65536):
    """What comes until the peer sends no more."""
    received = bytearray()
    while data := sock.recv(size):
        received += data
    return bytes(received)


def read_exactly(sock, count):
    received = bytearray()
    while len(received) < count:
        data = sock.recv(min(count - len(received), 1 << 16))
        assert data, f"the connection ended after {len(received)} bytes of {count}"
        received += data
    return bytes(received)


def reset(sock):
    """Close so that the peer is sent a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


def slow_reader(sock):
    """Keep little for a peer that has not been sent anything yet."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
