"""Scenarios of streams that arrive in pieces: split at every position, and late.

Job: what a reader makes of bytes that come one part, and when that was taken, the other. The
relay between is this thread: it gives the second part when the reader has the first.

Rule: a reader that has not enough yet says so, and has lost nothing.
"""

import array
import contextlib
import fcntl
import functools
import select
import termios

import fastsock
from fastsock import framing
from fastsock._serve import HandlerServer

from tests.networks._namespaces import FAR, linked
from tests.networks._tally import TIMEOUT_S, Together, numbered, scenario
from tests.networks._ways import FRAMINGS, connected, running, wait_until

WORDS = [b"0123456789abcdef", b"", b"x" * 40, b"16 bytes of text"]
FIXED_WORDS = [b"0123456789abcdef", b"16 bytes of text", b"and 16 more of it"[:16]]


def words_of(name):
    return FIXED_WORDS if name == "Fixed" else WORDS


def parts(data):
    """Every way to split it once, and each byte alone."""
    for position in range(1, len(data)):
        yield data[:position], data[position:]
    yield tuple(data[i:i + 1] for i in range(len(data)))


def count_of(sock, question):
    """TIOCOUTQ: bytes that the other end's kernel has not; FIONREAD: that wait to be read."""
    count = array.array("i", [0])
    fcntl.ioctl(sock, question, count)
    return count[0]


def give(sock, part, reader=None):
    """Returns when it is where it can be read."""
    if reader is None:
        sock.sendall(part)
        wait_until(lambda: count_of(sock, termios.TIOCOUTQ) == 0, "it was acknowledged")
    else:
        before = count_of(reader, termios.FIONREAD)
        sock.sendall(part)
        while count_of(reader, termios.FIONREAD) < before + len(part):
            assert any(select.select([reader], [], [], TIMEOUT_S)), "it never arrived"


def read_messages(name, socket, tally, chance):
    """A Stream without waiting: asked after each part."""
    coder = FRAMINGS[name]
    words = words_of(name)
    data = b"".join(map(coder.encode, words))
    with linked() as (near, far), connected(socket, near, far) as (a, b):
        b.setblocking(False)
        stream = fastsock.Stream(b, framing=coder)
        for split in parts(data):
            found = []
            for part in split:
                give(a, part, b)
                tally.sends(part)
                with contextlib.suppress(BlockingIOError):
                    while True:
                        found.append(stream.recv_message())
            tally.check(found == words, f"split {[len(part) for part in split]}: {found}")
            tally.received_bytes += len(data)


for _name in FRAMINGS:
    scenario(f"split at every position: messages of {_name}", on=("fastsock",))(
        functools.partial(read_messages, _name))


@scenario("split at every position: readline, readexactly, readuntil", on=("fastsock",))
def read_stream(socket, tally, chance):
    data = b"a line\nand then 16 bytes..until;\n\nend\n"
    with linked() as (near, far), connected(socket, near, far) as (a, b):
        b.setblocking(False)
        stream = fastsock.Stream(b)
        reads = [stream.readline, lambda: stream.readexactly(18), lambda: stream.readuntil(b";"),
                 stream.readline, stream.readline, stream.readline]
        for split in parts(data):
            found = []
            for part in split:
                give(a, part, b)
                tally.sends(part)
                with contextlib.suppress(BlockingIOError):
                    while len(found) < len(reads):
                        found.append(reads[len(found)]())
            tally.check(found == [b"a line\n", b"and then 16 bytes.", b".until;", b"\n", b"\n",
                                  b"end\n"], f"split {[len(part) for part in split]}: {found}")
            tally.received_bytes += len(b"".join(found))


@scenario("split at every position: recv_exactly keeps what came", on=("fastsock",))
def read_exactly(socket, tally, chance):
    data = numbered(64, chance)
    with linked() as (near, far), connected(socket, near, far) as (a, b):
        b.setblocking(False)
        for split in parts(data):
            found = b""
            for part in split:
                give(a, part, b)
                tally.sends(part)
                try:
                    found += b.recv_exactly(len(data) - len(found))
                except BlockingIOError as error:
                    found += error.partial
            tally.compare(data, found, "recv_exactly")


@scenario("split at every position: recv")
def read_plain(socket, tally, chance):
    data = numbered(64, chance)
    with linked() as (near, far), connected(socket, near, far) as (a, b):
        for split in parts(data):
            found = b""
            for part in split:
                give(a, part, b)
                tally.sends(part)
                found += b.recv(1000)
            tally.compare(data, found, "recv")


@scenario("split at every position: makefile")
def read_file(socket, tally, chance):
    data = b"a line\nanother one\r\n\nend\n"
    with linked() as (near, far), connected(socket, near, far) as (a, b):
        with b.makefile("rb") as file:
            for split in parts(data):
                found = []

                def relay(split=split):
                    for part in split:
                        give(a, part)
                        tally.sends(part)
                with Together(relay):
                    found = [file.readline() for _ in range(4)]
                tally.compare(data, b"".join(found), "makefile")


def serve_parts(name, socket, tally, chance):
    """A server that answers messages: each answer comes when its message is whole."""
    coder = FRAMINGS[name]
    words = words_of(name)
    data = b"".join(map(coder.encode, words))
    seen = []

    def handler(message):
        seen.append(message)
        return message
    with linked() as (near, far):
        with far.inside():
            server = HandlerServer(handler, (FAR, 0), framing=coder)
        with running(server, far):
            with near.inside():
                client = fastsock.create_connection(server.addresses[0], timeout=TIMEOUT_S)
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                stream = fastsock.Stream(client, framing=coder)
                for split in parts(data):
                    for part in split:
                        give(client, part)
                        tally.sends(part)
                    found = [stream.recv_message() for _ in words]
                    tally.check(found == words and seen == words, f"answers {found}, seen {seen}")
                    tally.received_bytes += len(data)
                    seen.clear()


for _name in FRAMINGS:
    scenario(f"split at every position: serve() of {_name}", on=("fastsock",))(
        functools.partial(serve_parts, _name))


@scenario("split at every position: a line too long", on=("fastsock",))
def too_long(socket, tally, chance):
    """It is refused wherever it is cut, and what stood before it is given out."""
    data = b"short\n" + b"x" * 30
    with linked() as (near, far):
        for split in parts(data):
            with connected(socket, near, far) as (a, b):
                stream = fastsock.Stream(b, framing=framing.Lines(limit=20))
                for part in split:
                    give(a, part, b)
                    tally.sends(part)
                tally.check(stream.recv_message() == b"short", "the line before it")
                with tally.raises(fastsock.LimitOverrunError):
                    stream.recv_message()
                tally.received_bytes += len(data)
