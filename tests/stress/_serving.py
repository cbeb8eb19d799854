"""Signals at 1 kHz, and KeyboardInterrupt, during each loop that serves or relays.

Rules: the loop runs in the main thread, its clients in another. Each client sends messages,
awaits their answers, and compares. The echo is whole, whatever interrupted the loop.
"""

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time

import fastsock
from fastsock._serve import BatchServer, HandlerServer

from tests.stress._loops import FRAMINGS, TEXTS
from tests.stress._peers import PATTERN, Source, Thread, Ticks, sleeps, until
from tests.stress._run import TIMEOUT_S, scenario

ANYWHERE = ("127.0.0.1", 0)


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


class BufferedEcho(asyncio.BufferedProtocol):
    def connection_made(self, transport):
        self.transport = transport
        self.room = bytearray(5000)

    def get_buffer(self, hint):
        return self.room

    def buffer_updated(self, count):
        self.transport.write(bytes(self.room[:count]))


def same(data):
    return data


def sending(data):
    fastsock.current_connection().send(data)


def remembering(**options):
    """A server whose callbacks keep its connections, one of which a signal may interrupt."""
    connections = set()
    return HandlerServer(sending, ANYWHERE, framing=FRAMINGS["lines"],
                         on_connect=connections.add,
                         on_disconnect=lambda connection, reason: connections.discard(connection),
                         **options)


SERVERS = {"Server": (lambda **options: fastsock.Server(Echo, ANYWHERE, **options), PATTERN),
           "Server, BufferedProtocol": (
               lambda **options: fastsock.Server(BufferedEcho, ANYWHERE, **options), PATTERN),
           "serve": (lambda **options: HandlerServer(same, ANYWHERE, **options), PATTERN),
           "serve, send() and callbacks": (remembering, TEXTS["lines"])}
for name, framing in FRAMINGS.items():
    for title, kind in ("serve", HandlerServer), ("serve batches of", BatchServer):
        SERVERS[f"{title} {name}"] = (
            lambda framing=framing, kind=kind, **options: kind(
                same, ANYWHERE, framing=framing, **options), TEXTS[name])


def exchange(client, source, size):
    """Send some bytes and read as many, both at once: what did not come back in time raises."""
    data = source.take(size)
    came = bytearray()
    client.setblocking(False)
    deadline_s = time.monotonic() + TIMEOUT_S
    while len(came) < size:
        with contextlib.suppress(BlockingIOError):
            data = data[client.send(data):] if data else data
        with contextlib.suppress(BlockingIOError):
            piece = client.recv(1 << 16)
            if not piece:
                raise AssertionError(f"the end after {len(came)} of {size} bytes")
            came += piece
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{len(came)} of {size} bytes came back")
        os.sched_yield()
    client.settimeout(TIMEOUT_S)
    check = Source(source.text)
    check.offset = source.offset - size
    check.meet(came)
    return size


def to_the_end(source):
    """How many bytes are left to the text's end, at most."""
    return len(source.text) - source.offset % len(source.text)


def converse(run, address, text, pause):
    """Clients, until the time is over: how many bytes they exchanged."""
    moved = 0
    while run.goes_on():
        source = Source(text)
        with socket.create_connection(address, TIMEOUT_S) as client, \
                socket.create_connection(address, TIMEOUT_S) as idle:
            for _ in range(3):
                pause()
                # All of the text: no message is left in the middle.
                half = to_the_end(source) // 2 if text is PATTERN else to_the_end(source)
                moved += exchange(client, source, min(half, 300_000))
            idle.close()
        run.rounds += 1
    return moved


def serving(name, use_poll, run):
    make, text = SERVERS[name]
    with make(use_poll=use_poll) as server, Ticks(run) as ticks:
        peer = Thread(stopping, server, converse, run, server.addresses[0], text, ticks.wait)
        server.serve_forever()
        run.add(bytes=peer.end())


def stopping(server, function, *arguments):
    """Call a function, and shut the server down whatever became of it."""
    try:
        return function(*arguments)
    finally:
        server.shutdown()


def relaying(use_poll, run):
    """Relay, in front of a server in another thread."""
    with fastsock.Server(Echo, ANYWHERE) as target:
        behind = Thread(target.serve_forever)
        try:
            with fastsock.Relay(ANYWHERE, target.addresses[0], use_poll=use_poll) as relay, \
                    Ticks(run) as ticks:
                peer = Thread(stopping, relay, converse, run, relay.addresses[0], PATTERN,
                              ticks.wait)
                relay.serve_forever()
                run.add(bytes=peer.end())
        finally:
            target.shutdown()
            behind.end()


for use_poll in False, True:
    by = "by poll" if use_poll else "by its default"
    for name in SERVERS:
        scenario(f"signals: {name}, {by}", name, use_poll)(serving)
    scenario(f"signals: Relay, {by}", use_poll)(relaying)


@contextlib.contextmanager
def relayed_pairs():
    """(client, ours, ours, target): two connections, to be relayed in the middle."""
    client, near = socket.socketpair()
    far, target = socket.socketpair()
    with client, target, fastsock.adopt(near) as near, fastsock.adopt(far) as far:
        for sock in client, target:
            sock.settimeout(TIMEOUT_S)
        yield client, near, far, target


@scenario("signals: relay()")
def relay(run):
    def send(client, ticks):
        source = Source()
        while run.goes_on():
            client.sendall(source.take(run.chance.choice((1, 3000, 500_000))))
            ticks.wait()
            run.rounds += 1
        client.shutdown(socket.SHUT_WR)
        return source.offset

    def answer(target):
        came, back = Source(), Source()
        while data := target.recv(1 << 16):
            came.meet(data)
            if back.offset < came.offset // 10:
                target.sendall(back.take(100))
        target.shutdown(socket.SHUT_WR)
        return came.offset, back.offset

    def take(client):
        came = Source()
        while data := client.recv(1 << 16):
            came.meet(data)
        return came.offset

    with relayed_pairs() as (client, near, far, target), Ticks(run) as ticks:
        peers = Thread(send, client, ticks), Thread(answer, target), Thread(take, client)
        moved = fastsock.relay(near, far)
        sent, (came, back), taken = [peer.end() for peer in peers]
        run.expect(moved == (sent, back) == (came, taken), f"{moved=} {sent=} {came=} {taken=}")
        run.add(bytes=sum(moved))


# -- KeyboardInterrupt -------------------------------------------------------------------

def interrupt(run, moments):
    """SIGINT to the main thread, once it sleeps in the kernel."""
    main = threading.main_thread().native_id
    until(lambda: sleeps(main), "the main thread's sleep")
    moments.append(time.monotonic_ns())
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)


def interrupting_servers(name, use_poll, run):
    """serve_forever() is left by KeyboardInterrupt, and goes on with its connections."""
    make, text = SERVERS[name]
    with make(use_poll=use_poll) as server:
        go_on = threading.Event()
        moments = []

        def pause():
            interrupt(run, moments)
            if not go_on.wait(TIMEOUT_S):
                raise TimeoutError("KeyboardInterrupt did not come")
            go_on.clear()

        peer = Thread(stopping, server, converse, run, server.addresses[0], text, pause)
        interrupted = 0
        while True:
            try:
                server.serve_forever()
                break
            except KeyboardInterrupt:
                run.latencies_ns.append(time.monotonic_ns() - moments[-1])
                interrupted += 1
                go_on.set()
        run.add(bytes=peer.end(), interrupts=interrupted)
        run.expect(interrupted == len(moments) > 0, f"{interrupted} of {len(moments)} interrupts")


for name in SERVERS:
    scenario(f"interrupts: {name}, by its default", name, False)(interrupting_servers)
for name in "Server", "serve":
    scenario(f"interrupts: {name}, by poll", name, True)(interrupting_servers)


@scenario("interrupts: relay()")
def interrupting_relay(run):
    """What was moved is said, and what was not is relayed by the next call."""
    while run.goes_on():
        with relayed_pairs() as (client, near, far, target):
            data = Source().take(100_000)
            moments = []

            def act():
                client.sendall(data)
                came = bytearray()
                while len(came) < len(data):
                    came += target.recv(1 << 16)
                interrupt(run, moments)
                return came

            peer = Thread(act)
            try:
                fastsock.relay(near, far)
                run.expect(False, "relay() returned")
            except KeyboardInterrupt as error:
                run.latencies_ns.append(time.monotonic_ns() - moments[-1])
                run.expect(error.bytes_relayed == (len(data), 0), error.bytes_relayed)
            run.expect(peer.end() == data, "other bytes came")
            for sock in client, target:
                sock.shutdown(socket.SHUT_WR)
            run.expect(fastsock.relay(near, far) == (0, 0), "it does not go on")
        run.rounds += 1
        run.add(interrupts=1)
