"""A server in a thread of the test, its loop held and let go, and plain clients.

Rule: the clients are the stdlib's sockets, so that they share no code with the server.
Over AF_UNIX what was sent has arrived when send() returns; tests that must know that
use `unix_address`.
"""

import asyncio
import contextlib
import os
import pathlib
import select
import socket
import ssl
import threading

import fastsock
from fastsock._serve import BatchServer, HandlerServer
from fastsock.framing import Fixed, LengthPrefix, Lines, Netstring, Varint

from tests.conftest import TIMEOUT_S

LOOPBACK = ("127.0.0.1", 0)

#: One of each class; messages of FIXED bytes suit them all.
FIXED = 5
FRAMINGS = {"Lines": Lines(), "CRLF": Lines(b"\r\n"), "LengthPrefix": LengthPrefix(),
            "Varint": Varint(), "Netstring": Netstring(), "Fixed": Fixed(FIXED)}


def environment():
    """Of a process that is to import the same fastsock as the tests."""
    return {**os.environ, "PYTHONPATH": str(pathlib.Path(fastsock.__file__).parent.parent)}


def unix_address(folder):
    return str(folder / "s")


class Echo(asyncio.Protocol):
    """Reads no more while its answers wait."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


def errors(log):
    """The exceptions that servers logged, as types."""
    return [record.exc_info[0] for record in log.records
            if record.name == "fastsock.server" and record.exc_info]


class Served:
    """A server of messages that runs in a thread."""

    def __init__(self, server):
        self.server = server
        self.address = server.addresses[0]
        self.raised = None
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while True:
            try:
                return self.server.serve_forever()
            except SystemExit as error:  # as a user may: note it, and go on
                self.raised = error

    def connect(self):
        if isinstance(self.address, str):
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(TIMEOUT_S)
            try:
                client.connect(self.address)
            except OSError:
                client.close()
                raise
            return client
        return socket.create_connection(self.address, timeout=TIMEOUT_S)

    @contextlib.contextmanager
    def held(self):
        """Nothing happens in the loop meanwhile; what happened before was dealt with."""
        is_held, goes_on = threading.Event(), threading.Event()

        def hold():
            is_held.set()
            assert goes_on.wait(TIMEOUT_S)

        # Two turns: between them the loop asks what is ready.
        soon = self.server.call_soon_threadsafe
        soon(soon, hold)
        assert is_held.wait(TIMEOUT_S)
        try:
            yield
        finally:
            goes_on.set()

    def turn(self):
        """Returns when the loop has looked at what was ready before, and dealt with it."""
        with self.held():
            pass

    def ask(self, data):
        """Send on a connection of its own, and read all that comes until its end."""
        with self.connect() as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return receive_all(client)


@contextlib.contextmanager
def answering(handler, address=LOOPBACK, *, batch=False, **options):
    """A HandlerServer, or a BatchServer, while it is needed."""
    served = Served((BatchServer if batch else HandlerServer)(handler, address, **options))
    served.thread.start()
    try:
        yield served
    finally:
        served.server.shutdown()
        served.thread.join(TIMEOUT_S)
        assert not served.thread.is_alive()


def receive_all(client):
    """All bytes until the end, be it a reset: that is how a connection ends on which the
    server left something unread. What arrived before it is still read."""
    data = bytearray()
    try:
        while piece := client.recv(1 << 18):
            data += piece
    except ConnectionResetError:
        pass
    return bytes(data)


def receive(client, size):
    """Exactly so many bytes."""
    data = bytearray()
    while len(data) < size:
        piece = client.recv(size - len(data))
        assert piece, f"the end after {len(data)} of {size} bytes"
        data += piece
    return bytes(data)


def exchange(client, pieces, size):
    """Send pieces, and read exactly so many bytes meanwhile, all in this thread: a TLS
    socket is not to be used by two."""
    pieces = iter(pieces)
    unsent, data = next(pieces), bytearray()
    client.setblocking(False)
    while unsent or len(data) < size:
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while unsent:
                unsent = unsent[client.send(unsent):] or next(pieces, b"")
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while len(data) < size:
                piece = client.recv(size - len(data))
                assert piece, f"the end after {len(data)} of {size} bytes"
                data += piece
        if unsent or len(data) < size:
            ready = select.select([client], [client] if unsent else [], [], TIMEOUT_S)
            assert any(ready), f"{len(data)} of {size} bytes came, {len(unsent)} are unsent"
    client.settimeout(TIMEOUT_S)
    return bytes(data)


def ends(client):
    """Has the peer ended the connection, with nothing more said?"""
    try:
        return client.recv(1) == b""
    except (ConnectionResetError, BrokenPipeError):  # OpenSSL 3.6 answers an end by an alert
        return True
