"""What a server lives through: its loop is in a thread, which alone meets the fault.

Rules: the clients are the stdlib's sockets in the main thread, and are not watched. While
the fault is armed a client gets what it sent, or the beginning of it and the end of the
connection; the loop goes on in any case, and serves whoever comes next in full.
"""

import asyncio
import contextlib
import functools
import socket as stdlib_socket
import threading

import fastsock
from fastsock._serve import BatchServer, HandlerServer
from fastsock.framing import Lines

from tests.faults._run import TIMEOUT_S

SCENARIOS = {}

LINES = b"".join(b"line %d\n" % number for number in range(200))
LARGE = bytes(range(256)) * 1200


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class Thread(threading.Thread):
    """Runs a server, watched, until it is shut down; what left its loop is in `raised`."""

    def __init__(self, server, run):
        super().__init__()
        self.server = server
        self.run_of_test = run
        self.raised = None

    def run(self):
        watched = self.run_of_test.injector.watched()
        watched[0] = 1
        try:
            self.server.serve_forever()
        except BaseException as error:
            self.raised = error.with_traceback(None)
        finally:
            watched[0] = 0


def talk(address, data):
    """Send, and read until all came back or the connection ended: what came."""
    came = bytearray()
    with contextlib.suppress(ConnectionResetError, BrokenPipeError), \
            stdlib_socket.create_connection(address, timeout=TIMEOUT_S) as client:
        for start in range(0, len(data), 100_000):
            piece = data[start:start + 100_000]
            client.sendall(piece)
            wanted = len(came) + len(piece)
            while len(came) < wanted:
                answer = client.recv(1 << 16)
                if not answer:
                    return bytes(came)
                came += answer
    return bytes(came)


def serve_with(make, data, *, run):
    """Two connections while the fault is armed, and one after it."""
    server = make()
    address = server.addresses[0]
    thread = Thread(server, run)
    try:
        # Armed before its thread starts, so that what it begins with counts as well.
        with run, run.unwatched():
            thread.start()
            for _ in range(2):
                try:
                    came = talk(address, data)
                except TimeoutError:
                    if thread.is_alive():
                        raise
                    break  # nobody is there any more to hang up
                assert data.startswith(came), "what came back is not what was sent"
                if run.fault is None:
                    assert came == data
        if thread.ident is None or run.ended_for_memory(thread.raised):
            # It never began, or says clearly that it ended: close() frees what it had.
            server.close()
            return
        assert thread.is_alive(), f"the loop has ended: {thread.raised!r}"
        assert talk(address, data) == data, "afterwards it does not serve"
    finally:
        if thread.is_alive():
            server.shutdown()
            thread.join(TIMEOUT_S)
        if not thread.is_alive():
            server.close()
    assert not thread.is_alive(), "it does not shut down"
    assert thread.raised is None, f"the loop was left by {thread.raised!r}"


LOOPBACK = ("127.0.0.1", 0)


def sending(kind, **more):
    """An echo by send(): with the replies of the running handler, or apart from them."""
    connections = []

    def send(line):
        fastsock.current_connection().send(line)

    def send_apart(lines):
        for line in lines:
            connections[-1].send(line)
        return [None] * len(lines)

    return kind(send if kind is HandlerServer else send_apart, LOOPBACK, framing=Lines(),
                on_connect=connections.append,
                on_disconnect=lambda connection, reason: connections.remove(connection), **more)


SERVERS = {
    "serve: lines": (lambda **more: HandlerServer(
        lambda line: line, LOOPBACK, framing=Lines(), **more), LINES),
    "serve: a lot": (lambda **more: HandlerServer(lambda data: data, LOOPBACK, **more), LARGE),
    "serve: batches": (lambda **more: BatchServer(
        lambda lines: lines, LOOPBACK, framing=Lines(), **more), LINES),
    "serve: send()": (functools.partial(sending, HandlerServer), LINES),
    "serve: send() apart": (functools.partial(sending, BatchServer), LINES),
    "Server: protocol": (lambda **more: fastsock.Server(Echo, LOOPBACK, **more), LARGE),
}
for name, (make, data) in SERVERS.items():
    SCENARIOS[name] = functools.partial(serve_with, make, data)
    # The listener is not watched while there is a connection, and watched again after it.
    SCENARIOS[f"{name}, one at a time"] = functools.partial(
        serve_with, functools.partial(make, max_connections=1), data)
SCENARIOS["serve: lines, by poll"] = functools.partial(
    serve_with, functools.partial(SERVERS["serve: lines"][0], use_poll=True), LINES)


def proxied(data, *, run):
    """Relay, in front of an echo server that meets no fault."""
    with HandlerServer(lambda data: data, LOOPBACK) as target:
        thread = threading.Thread(target=target.serve_forever)
        thread.start()
        try:
            serve_with(lambda: fastsock.Relay(LOOPBACK, target.addresses[0]), data, run=run)
        finally:
            target.shutdown()
            thread.join(TIMEOUT_S)


SCENARIOS["Relay: a little"] = functools.partial(proxied, LINES)
SCENARIOS["Relay: a lot"] = functools.partial(proxied, LARGE)


def making(make, *, run):
    """A server that can't be made leaves nothing behind; one that can, works."""
    server = None
    with run:
        server = make()
    if server is not None:
        server.close()


SCENARIOS["making a Server"] = functools.partial(
    making, lambda: fastsock.Server(Echo, [LOOPBACK, LOOPBACK]))
SCENARIOS["making a Relay, by poll"] = functools.partial(
    making, lambda: fastsock.Relay(LOOPBACK, ("127.0.0.1", 9), use_poll=True))
