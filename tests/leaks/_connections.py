"""Servers in a thread, with clients that do all that a protocol can be told of.

Rule: a server's thread has ended, and its sockets are closed, when a scenario ends.
"""

import asyncio
import contextlib
import functools
import logging
import os
import shutil
import socket as stdlib_socket
import ssl
import subprocess
import tempfile
import threading

import fastsock
from fastsock._serve import BatchServer, HandlerServer
from fastsock.framing import Lines

from tests.faults._run import TIMEOUT_S
from tests.leaks._table import scenario

LOOPBACK = ("127.0.0.1", 0)


@contextlib.contextmanager
def running(server):
    """Its addresses, while it serves in a thread."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.addresses
    finally:
        server.shutdown()
        thread.join(TIMEOUT_S)
        server.close()
        assert not thread.is_alive()


def ask(address, data, size, context=None):
    """Send, read so many bytes, and the end."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(stdlib_socket.create_connection(address, TIMEOUT_S))
        if context is not None:
            client = stack.enter_context(context.wrap_socket(client))
        client.sendall(data)
        came = bytearray()
        while len(came) < size and (piece := client.recv(1 << 16)):
            came += piece
        if context is None:
            with contextlib.suppress(OSError):  # that end hung up, maybe
                client.shutdown(stdlib_socket.SHUT_WR)
            while client.recv(1 << 16):
                pass
    return bytes(came)


class Everything(asyncio.Protocol):
    """Calls every method of its transport."""

    def __init__(self, folder):
        self.folder = folder

    def connection_made(self, transport):
        self.transport = transport
        self.file = open(os.path.join(self.folder, "f"), "rb")
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        assert transport.get_extra_info("peername") and transport.get_extra_info("socket")
        assert transport.get_extra_info("nothing", self) is self
        assert transport.get_protocol() is self and not transport.is_closing()
        transport.set_protocol(self)
        transport.pause_reading()
        assert not transport.is_reading()
        transport.resume_reading()

    def pause_writing(self):
        pass

    def resume_writing(self):
        pass

    def data_received(self, data):
        transport = self.transport
        transport.writelines([data, data])
        transport.write(bytearray(b"x" * 5000))
        transport.send_file(self.file, 2, 100)
        assert transport.get_write_buffer_size() >= 0 and transport.can_write_eof()

    def eof_received(self):
        self.transport.write_eof()

    def connection_lost(self, error):
        self.file.close()
        assert self.transport.is_closing()


class Buffered(asyncio.BufferedProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.room = bytearray(300)

    def get_buffer(self, size):
        return self.room

    def buffer_updated(self, count):
        self.transport.write(memoryview(self.room)[:count])
        if self.room[0] == 33:
            self.transport.abort()
        if self.room[0] == 34:
            raise LookupError


@scenario("epoll", "poll")
def protocols(kind, *, run):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "f"), "wb") as file:
            file.write(b"0123456789" * 30)
        server = fastsock.Server(lambda: Everything(folder), LOOPBACK, use_poll=kind == "poll")
        called = threading.Event()
        with running(server) as [address]:
            server.call_soon_threadsafe(server.call_later, 0.0, called.set)
            for _ in range(2):
                assert len(ask(address, b"abc", 5106)) == 5106
            assert called.wait(TIMEOUT_S) and server.connection_count >= 0 and repr(server)


@scenario("epoll", "poll")
def protocols_with_buffers(kind, *, run):
    logging.getLogger("fastsock.server").propagate = False
    logging.getLogger("fastsock.server").addHandler(HUSH)
    with running(fastsock.Server(Buffered, LOOPBACK, use_poll=kind == "poll")) as [address]:
        assert ask(address, b"abc", 3) == b"abc"
        for data in b"!", b'"':
            with contextlib.suppress(ConnectionError):
                ask(address, data, 3)


HUSH = logging.NullHandler()


def answer(message):
    """Of every kind that a handler may give."""
    kind = message[:1]
    if kind == b"r":
        raise LookupError
    if kind == b"c":
        fastsock.current_connection().close()
        return None
    return {b"l": [b"one", b"two"], b"n": None, b"b": bytearray(b"ba")}.get(kind, bytes(message))


@scenario("epoll", "poll")
def handlers(kind, *, run):
    logging.getLogger("fastsock.server").propagate = False
    logging.getLogger("fastsock.server").addHandler(HUSH)
    with running(HandlerServer(answer, LOOPBACK, framing=Lines(limit=50),
                               use_poll=kind == "poll")) as [address]:
        for data in b"abc\nn\nb\nl\nxyz\n", b"abc\nr\n", b"abc\nc\n", b"abc\n" + b"x" * 100, b"half":
            with contextlib.suppress(ConnectionError):
                assert ask(address, data, 4 if b"\n" in data else 0)[:4] in (b"abc\n", b"")


@scenario("one", "batches")
def callbacks_of_connections(kind, *, run):
    logging.getLogger("fastsock.server").propagate = False
    logging.getLogger("fastsock.server").addHandler(HUSH)
    members = []

    def on_connect(connection):
        members.append(connection)
        connection.send(b"hi")

    def on_disconnect(connection, reason):
        members.remove(connection)
        if isinstance(reason, LookupError):
            raise reason

    def handle(line):
        for member in members:
            member.send(line)
            member.send(line * 30_000)
        if line == b"r":
            raise LookupError
        return b"end"

    options = {"framing": Lines(), "on_connect": on_connect, "on_disconnect": on_disconnect}
    with running(HandlerServer(handle, LOOPBACK, **options) if kind == "one" else
                 BatchServer(lambda lines: list(map(handle, lines)), LOOPBACK,
                             **options)) as [address]:
        for data in b"a\n", b"r\n", b"a\n" + b"x" * 70_000:
            with contextlib.suppress(ConnectionError):
                ask(address, data, 30_010)
    members.clear()


@scenario("plain", "framed")
def handlers_without_batches(kind, *, run):
    with running(HandlerServer(lambda data: data, LOOPBACK,
                               framing=Lines() if kind == "framed" else None)) as [address]:
        data = b"abcdefg\n" * 30_000
        came = bytearray()
        with stdlib_socket.create_connection(address, TIMEOUT_S) as client:
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            while len(came) < len(data):
                came += client.recv(1 << 18)
            sender.join(TIMEOUT_S)
        assert came == data


@scenario()
def relays(*, run):
    with running(HandlerServer(bytes, LOOPBACK)) as [target]:
        relay = fastsock.Relay(LOOPBACK, target)
        with running(relay) as [address]:
            relay.call_soon_threadsafe(relay.call_later, 60.0, print)
            assert ask(address, b"abc", 3) == b"abc"
        assert relay.bytes_relayed[0] >= 3  # once its thread, which counts them, has ended
    # Nobody is there any more.
    with running(fastsock.Relay(LOOPBACK, target)) as [address], \
            contextlib.suppress(ConnectionError):
        assert ask(address, b"abc", 3) == b""


class Asking:
    """An outgoing connection that says something and closes when it was answered."""

    def __init__(self):
        self.has_ended = threading.Event()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"abc")

    def data_received(self, data):
        self.transport.close()

    def connection_lost(self, error):
        self.has_ended.set()


@scenario()
def outgoing_connections(*, run):
    with running(HandlerServer(bytes, LOOPBACK)) as [target]:
        server = fastsock.Server(Asking, LOOPBACK)
        with running(server):
            for address in target, ("localhost", target[1]):
                _, protocol = server.connect(Asking, address).result(TIMEOUT_S)
                assert protocol.has_ended.wait(TIMEOUT_S)
    with running(fastsock.Server(Asking, LOOPBACK)) as [_], fastsock.Server(
            Asking, LOOPBACK) as server:
        # Nobody is there any more; and a server that never runs.
        server.connect(Asking, target).cancel()
    server = fastsock.Server(Asking, LOOPBACK)
    with running(server), contextlib.suppress(ConnectionError):
        server.connect(Asking, target).result(TIMEOUT_S)


@functools.cache
def contexts():
    """(a server's, a client's that asks for nothing); None without the program openssl.

    Not by trustme: what it imports is not made for an interpreter that counts references.
    """
    program = shutil.which("openssl")
    if program is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = os.path.join(folder, "key"), os.path.join(folder, "certificate")
        subprocess.run([program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
                        "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True)
        context.load_cert_chain(certificate, key)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    return context, client


@scenario()
def tls(*, run):
    if contexts() is None:
        return
    context, client = contexts()
    logging.getLogger("fastsock.server").propagate = False
    logging.getLogger("fastsock.server").addHandler(HUSH)
    with running(HandlerServer(bytes, LOOPBACK, ssl_context=context)) as [address]:
        assert ask(address, b"abc" * 9000, 27000, client) == b"abc" * 9000
        with contextlib.suppress(ConnectionError):
            ask(address, b"this is no handshake\n" * 9, 100)


@scenario()
def unix_paths_and_systemd_sockets(*, run):
    with tempfile.TemporaryDirectory() as folder:
        with running(HandlerServer(bytes, os.path.join(folder, "s"))) as [address], \
                fastsock.socket(stdlib_socket.AF_UNIX) as client:
            client.connect(address)
            client.send(b"x")
            assert client.recv_exactly(1) == b"x"
    assert fastsock.systemd_sockets() == []


@scenario()
def relay_by_hand(*, run):
    pairs = [fastsock.socketpair() for _ in range(2)]
    with contextlib.ExitStack() as stack:
        (a, b), (c, d) = pairs
        for sock in a, b, c, d:
            stack.enter_context(sock)
        a.sendall(b"abc" * 1000)
        a.shutdown(stdlib_socket.SHUT_WR)
        d.shutdown(stdlib_socket.SHUT_WR)
        assert fastsock.relay(b, c, idle_timeout=TIMEOUT_S) == (3000, 0)
