"""A caller who follows the documentation delivers each piece once and in order.

A model: calls that are given several pieces end early at random places, and the caller
continues as docs/streams.md describes. They are ended by sockets that take little, timeouts,
signal handlers that raise, iterators that raise, and pieces that are refused.
"""

import contextlib
import itertools
import random
import signal
import socket as stdlib_socket

import pytest

import fastsock
from fastsock import framing
from tests.conftest import TIMEOUT_S
from tests.streams import (
    DIRECT, FLIP, WAITING, Flipping, FlippingInto, Interrupted, connect, contexts,
)

__all__ = ["connect", "contexts"]

ROUNDS = 6  # of each test
BAD = 5  # no bytes-like object


class Flaky:
    """An iterator that raises now and then, and then continues."""

    def __init__(self, pieces, chance):
        self.pieces, self.chance = iter(pieces), chance

    def __iter__(self):
        return self

    def __next__(self):
        if self.chance.random() < 0.02:
            raise Interrupted
        return next(self.pieces)


def attempt(call, *arguments):
    """(what a call returned, in a list; its exception, or None).

    A signal handler may also raise before the call begins, or once it has returned: then the
    exception reports nothing, and the list is empty, or not.
    """
    returned = []
    try:
        # No bytecode lies between the call's end and what records it.
        returned.extend(itertools.starmap(call, [arguments]))
    except (*WAITING, Interrupted, TypeError, ValueError) as error:
        return returned, error
    return returned, None


@contextlib.contextmanager
def signals():
    """A signal a millisecond, whose handler raises inside attempt(), or in a call that it makes."""
    def handle(_, frame):
        # Not on the line of its `def`, where it begins and cannot catch anything yet.
        if (frame.f_code is attempt.__code__
                and frame.f_lineno != attempt.__code__.co_firstlineno):
            raise Interrupted

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ending(name, is_direct=True):
    """(timeout, context) of a way to end. While a class's own method waits, the handler does
    not raise, as the method would forget what it has sent: there a timeout must end it."""
    timeout, context = ENDS[name]
    return timeout if is_direct or context is not signals else 0.002, context


#: How the socket waits, and what else ends its calls.
ENDS = {
    "non-blocking": (0, contextlib.nullcontext),
    "timeout": (0.001, contextlib.nullcontext),
    "signals": (None, signals),
    "signals and a timeout": (TIMEOUT_S, signals),
}
#: What the pieces are in, and what is left of them when some were accepted.
GIVEN = {
    "list": (list, lambda pieces, error: pieces[error.pieces_accepted:]),
    "tuple": (tuple, lambda pieces, error: pieces[error.pieces_accepted:]),
    "generator": (lambda pieces: (piece for piece in pieces),
                  lambda pieces, error: itertools.chain(error.pieces_returned, pieces)),
    "flaky": (None, lambda pieces, error: itertools.chain(error.pieces_returned, pieces)),
}


def rounds(name, containers=tuple(GIVEN)):
    """(what chooses, what the pieces are in, what ends the calls), differing between tests."""
    chance = random.Random(name)
    ways = [(container, end) for container in containers for end in ENDS]
    for container, end in chance.sample(ways, min(ROUNDS, len(ways))):
        yield chance, container, end


def payloads(chance, count, largest):
    """Numbered, of sizes on both sides of what is copied."""
    sizes = [size for size in (0, 1, 60, 500, 1025, 4095, 4096, 30_000) if size <= largest]
    return [b"%06d" % number + b"." * chance.choice(sizes) for number in range(count)]


def put(container, pieces, chance):
    return Flaky(pieces, chance) if container == "flaky" else GIVEN[container][0](pieces)


def send_all(call, pieces, container, meanwhile):
    """As documented; a piece that is refused is left out."""
    interruptions = 0
    while True:
        returned, error = attempt(call, pieces)
        meanwhile()
        if returned:
            return interruptions
        if not hasattr(error, "pieces_accepted"):
            continue  # raised before the call
        interruptions += 1
        assert error.bytes_sent is not None and error.bytes_sent >= 0
        pieces = GIVEN[container][1](pieces, error)
        if isinstance(error, (TypeError, ValueError)):
            pieces = iter(pieces) if container in ("generator", "flaky") else pieces
            assert (next(pieces) if container in ("generator", "flaky") else pieces[0]) in (
                BAD, b"bad\n")
            pieces = pieces if container in ("generator", "flaky") else pieces[1:]


def send_one_by_one(call, pieces, meanwhile):
    for piece in pieces:
        while True:
            returned, error = attempt(call, piece)
            meanwhile()
            if returned or isinstance(error, (TypeError, ValueError)):
                break
            if getattr(error, "pieces_accepted", 0):
                break


@pytest.mark.parametrize("call", ["writelines", "send_messages", "write", "send_message"])
def test_a_stream_delivers_each_piece_once(connect, call):
    containers = ["list"] if call in ("write", "send_message") else GIVEN
    for chance, container, end in rounds(connect.kind + call, containers):
        deliver(connect, call, chance, container, *ending(end, connect.kind in DIRECT))


def deliver(connect, call, chance, container, timeout, context):
    wire, is_framed = framing.Lines(), call in ("send_message", "send_messages")
    high_water = chance.choice([1, 3000, 65536, 1 << 20])
    pieces, read = payloads(chance, 25, 30_000), []
    expected = b"".join(map(wire.encode, pieces) if is_framed else pieces)
    for bad in [BAD, b"bad\n"] if is_framed else [BAD]:
        pieces.insert(chance.randrange(len(pieces)), bad)

    def meanwhile():
        if chance.random() < 0.7:
            read.append(peer.drain())

    with connect(timeout, room=1, framing=wire, high_water=high_water) as (stream, peer):
        with context():
            if call in ("write", "send_message"):
                send_one_by_one(getattr(stream, call), pieces, meanwhile)
            else:
                send_all(getattr(stream, call), put(container, pieces, chance), container,
                         meanwhile)
            while not attempt(stream.flush)[0]:
                read.append(peer.drain())
        got = b"".join(read)
        assert got + peer.read(len(expected) - len(got)) == expected
        assert peer.drain() == b""


# -- without a buffer ---------------------------------------------------------------

class Stingy(fastsock.socket):
    """Sends at most 700 bytes at a time."""

    def send(self, data, flags=0):
        return super().send(memoryview(data)[:700], flags)


SOCKETS = {"fastsock's": (fastsock.socket, None), "own send": (Stingy, None),
           "own send, changed": (Flipping, FLIP), "own sendall": (FlippingInto, FLIP)}


def taken(sock, table=None):
    """What is there now."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while piece := sock.recv(1 << 20):
            found.append(piece.translate(table))
    return found


@contextlib.contextmanager
def tight_pair(cls, kind, timeout):
    a, b = stdlib_socket.socketpair(type=kind)
    a.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, 1)
    with cls(fileno=a.detach()) as ours, b:
        ours.settimeout(timeout)
        b.settimeout(0)
        yield ours, b


@pytest.mark.parametrize("kind", SOCKETS)
def test_sendmsg_all_delivers_each_byte_once(kind):
    for chance, container, end in rounds(kind):
        deliver_bytes(kind, chance, container, *ending(end, kind == "fastsock's"))


def deliver_bytes(kind, chance, container, timeout, context):
    """The caller continues inside a piece, by the count of bytes or by what is returned."""
    cls, table = SOCKETS[kind]
    pieces = payloads(chance, 25, 30_000)
    expected = b"".join(pieces)
    with tight_pair(cls, stdlib_socket.SOCK_STREAM, timeout) as (ours, theirs):
        got, left = [], put(container, pieces, chance)
        with context():
            while True:
                returned, error = attempt(ours.sendmsg_all, left)
                got += taken(theirs, table)
                if returned:
                    break
                if not hasattr(error, "pieces_accepted"):
                    continue  # raised before the call
                if container in ("list", "tuple"):
                    inside = error.bytes_sent - sum(map(len, left[:error.pieces_accepted]))
                    left = list(left[error.pieces_accepted:])
                    left[0] = left[0][inside:]
                    assert list(map(bytes, error.pieces_returned)) == left
                else:
                    left = itertools.chain(error.pieces_returned, left)
        got += taken(theirs, table)
    assert b"".join(got) == expected


def test_sendmmsg_delivers_each_datagram_once():
    for chance, container, end in rounds("sendmmsg"):
        pieces, got = payloads(chance, 300, 100), []
        messages = [chance.choice([piece, (piece, None), [piece[:3], piece[3:]]])
                    for piece in pieces]
        messages.insert(chance.randrange(len(messages)), BAD)
        timeout, context = ending(end)
        with tight_pair(fastsock.socket, stdlib_socket.SOCK_DGRAM, timeout) as (ours, theirs):
            with context():
                assert send_all(ours.sendmmsg, put(container, messages, chance), container,
                                lambda: got.extend(taken(theirs)))
            got += taken(theirs)
        assert got == pieces


def test_send_segmented_delivers_each_datagram_once():
    for chance, _, end in rounds("send_segmented", ["bytes"]):
        timeout, context = ending(end)
        size, got, at = chance.choice([1, 37, 1200]), [], 0
        data = b"".join(payloads(chance, 100, 100))[:size * 300]
        with tight_pair(fastsock.socket, stdlib_socket.SOCK_DGRAM, timeout) as (ours, theirs):
            with context():
                while True:
                    returned, error = attempt(ours.send_segmented, data[at:], size)
                    got += taken(theirs)
                    if returned:
                        break
                    if hasattr(error, "pieces_accepted"):
                        assert error.bytes_sent == min(
                            error.pieces_accepted * size, len(data) - at)
                        at += error.bytes_sent
            got += taken(theirs)
        assert got == [data[start:start + size] for start in range(0, len(data), size)]


def test_sendmmsg_from_reports_how_many_answers_went(tmp_path, monkeypatch):
    """The caller sends the others by sendmmsg(), to the same addresses."""
    monkeypatch.chdir(tmp_path)
    chance = random.Random("sendmmsg_from")
    with fastsock.socket(fastsock.AF_UNIX, fastsock.SOCK_DGRAM) as server, \
            fastsock.socket(fastsock.AF_UNIX, fastsock.SOCK_DGRAM) as client:
        server.bind("server")
        client.bind("client")
        client.connect("server")
        client.settimeout(0)
        server.settimeout(TIMEOUT_S)
        batch, got, expected = fastsock.DatagramBatch(64), [], []
        for _ in range(3):
            sent = payloads(chance, chance.randrange(1, 8), 10)
            client.sendmmsg(sent)
            expected += [piece.upper() for piece in sent] * 3
            server.settimeout(TIMEOUT_S)
            assert server.recvmmsg_into(batch) == len(sent)
            for index in range(len(batch)):
                batch[index] = bytes(batch[index]).upper()
            server.settimeout(0)
            for _ in range(3):  # more than the queue of the client takes
                try:
                    server.sendmmsg_from(batch)
                except BlockingIOError as error:
                    got += taken(client)
                    assert error.bytes_sent == sum(
                        len(batch[index]) for index in range(error.pieces_accepted))
                    server.sendmmsg([(batch[index], batch.address(index))
                                     for index in range(error.pieces_accepted, len(batch))])
            got += taken(client)
    assert got == expected
