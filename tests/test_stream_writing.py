"""Stream's writing: what was taken goes out once, and in order.

Over all kinds of sockets (streams.py has them). Where sending fails, `bytes_sent` is what
the peer can read, and flush() goes on there.
"""

import array
import itertools
import os
import signal
import socket as stdlib_socket
import threading
import types

import pytest

import fastsock
from fastsock import Stream
from fastsock.framing import Fixed, LengthPrefix, Lines, Netstring, Varint
from tests.conftest import TIMEOUT_S
from tests.streams import (
    DIRECT, LONG, MUCH, SHORT_WAITS, WAITING, Interrupted, Peer, examples, flush_all, hypothesis,
    interruption, reset, st,
)
from tests.workers import NUMBERS, Worker, needs_to_see_sleepers

#: TCP's bytes may be on their way; OpenSSL sends records, and counts what it was given.
INEXACT = ("tcp", "tls")


# -- order, and when it is sent ---------------------------------------------------

STEPS = st.lists(max_size=8, elements=st.tuples(
    st.sampled_from(["writelines", "send_messages", "send_message", "flush"]),
    st.lists(min_size=1, max_size=6, elements=st.sampled_from(
        [0, 1, 100, 999, 1024, 1025, 4095, 4096, 4097, 10_000, 40_000])),
    st.booleans()))


@hypothesis.given(STEPS, st.sampled_from([1, 1000, 5000, 65536]))
@examples(100)
def test_what_was_taken_is_sent_once_and_in_order(connect, steps, high_water):
    framing, wire, read, sent = Netstring(), b"", b"", 0
    with connect(0, room=1, framing=framing, high_water=high_water) as (stream, peer):
        for name, sizes, reads_now in steps:
            pulled, error = [], None

            def pieces():
                for size in sizes:
                    at = len(wire) + sum(map(len, pulled))
                    pulled.append(MUCH[at:at + size])
                    yield pulled[-1]

            try:
                arguments = {"flush": [], "send_message": pieces()}.get(name, [pieces()])
                getattr(stream, name)(*itertools.islice(arguments, 1))
            except WAITING as caught:
                error = caught
            if name == "writelines":
                for piece in pulled:
                    if len(wire) - sent >= high_water:
                        sent = len(wire)
                    wire += piece
                if len(wire) - sent >= high_water and not error:
                    sent = len(wire)
            else:
                wire += b"".join(map(framing.encode, pulled))
            if error and name != "flush":
                assert error.pieces_accepted == len(pulled)
            if error and name in ("writelines", "send_messages"):
                read += peer.drain()
                sent = len(read)
            elif error:
                sent += error.bytes_sent
            elif name != "writelines":
                sent = len(wire)
            if reads_now:
                read += peer.drain()
                assert wire.startswith(read)
                assert len(read) == sent or connect.kind in INEXACT
        assert flush_all(stream, peer, len(wire), read) == wire


def test_nothing_is_sent_before_it_must_be(connect):
    with connect(high_water=1000) as (stream, peer):
        assert stream.write(b"a" * 999) == 999
        assert stream.write(memoryview(b"b")) == 1
        assert stream.write(b"") == 0
        assert peer.drain() == b""
        assert stream.write(b"c") == 1  # one too many: what was before it goes
        assert peer.read(1000) == b"a" * 999 + b"b"
        assert stream.write(LONG) == len(LONG)
        assert peer.read(1) == b"c" and peer.drain() == b""
        assert stream.writelines(b"%d " % number for number in range(9)) is None
        assert peer.read(len(LONG)) == LONG and peer.drain() == b""
        stream.writelines([])
        assert stream.flush() is None
        assert peer.read(18) == b"0 1 2 3 4 5 6 7 8 "
        stream.flush()
        assert peer.drain() == b""


@pytest.mark.parametrize("make", [bytearray, lambda data: memoryview(bytearray(data)),
                                  lambda data: array.array("B", data)])
def test_what_changes_after_the_call_does_not_change_on_the_wire(connect, make):
    with connect(0, framing=LengthPrefix(), high_water=1 << 30) as (stream, peer):
        expected = b""
        for size in (10, 4095, 4096, 70_000):
            stream.write(data := make(LONG[:size]))
            data[0] = data[size - 1] = 0
            expected += LONG[:size]
        read = flush_all(stream, peer, len(expected))
        data = make(MUCH)
        with pytest.raises(WAITING):
            stream.send_message(data)
        data[-1] = data[len(data) // 2] = 0
        expected += LengthPrefix().encode(MUCH)
        assert flush_all(stream, peer, len(expected), read) == expected


@pytest.mark.parametrize("framing", [
    Lines(), Lines(b"\r\n", limit=1 << 20), LengthPrefix("<H", includes_header=True), Varint(),
    Netstring()], ids=lambda framing: type(framing).__name__)
def test_messages_go_out_as_the_framing_writes_them(connect, framing):
    payloads = [LONG[:size].replace(b"\n", b"N")
                for size in (0, 1, 127, 128, 1023, 1025, 4095, 4096, 20_000)]
    with connect(framing=framing) as (stream, peer):
        stream.write(b"before")
        assert stream.send_message(payloads[1]) is None
        assert stream.send_messages(iter(payloads)) == len(payloads)
        assert stream.send_messages([]) == 0
        expected = b"before" + b"".join(map(framing.encode, [payloads[1], *payloads]))
        assert peer.read(len(expected)) == expected and peer.drain() == b""


def test_a_thousand_messages_go_out_in_one_system_call(stream_pair):
    stream, peer = stream_pair
    fastsock.stats(reset=True)
    assert stream.send_messages([b"%063d" % number for number in range(1000)]) == 1000
    made = fastsock.stats()["system_calls"]
    assert sum(made.values()) - made["poll"] == 1
    assert peer.read(64_000).split() == [b"%063d" % number for number in range(1000)]


@pytest.mark.parametrize("framing, bad", [
    (Lines(), b"ab\ncd"), (Lines(limit=5), b"123456"), (LengthPrefix("B"), b"x" * 256),
    (Varint(limit=5), b"123456"), (Netstring(limit=5), b"123456"), (Fixed(2), b"abc")],
    ids=lambda value: type(value).__name__)
def test_a_refused_payload_leaves_nothing_half_written(connect, framing, bad):
    with connect(framing=framing) as (stream, peer):
        stream.write(b"before")
        for payload in (bad, bytearray(bad)):
            with pytest.raises(ValueError):
                stream.send_message(payload)
        with pytest.raises(ValueError):
            stream.send_messages(iter([b"ok", bad, b"no"]))
        assert peer.drain() == b""
        stream.flush()
        expected = b"before" + framing.encode(b"ok")
        assert peer.read(len(expected)) == expected and peer.drain() == b""


def test_what_is_no_buffer_is_refused(stream_pair):
    stream, peer = stream_pair

    def payloads():
        yield b"given"
        with pytest.raises(RuntimeError, match="one writer at a time"):
            stream.write(b"from inside")
        raise KeyError

    for bad in ("text", 5, None, [b"x"]):
        for method in (stream.write, stream.send_message):
            with pytest.raises(TypeError):
                method(bad)
    for method in (stream.writelines, stream.send_messages):
        for bad in (5, [b"good", "bad", b"not reached"]):
            with pytest.raises(TypeError):
                method(bad)
    with pytest.raises(KeyError):
        stream.send_messages(payloads())
    stream.flush()
    assert peer.drain() == b"goodgood\ngiven\n"


# -- when it fails ----------------------------------------------------------------

SMALL = [MUCH[at:at + 1000] for at in range(0, len(MUCH), 1000)]
MIXED = [b"small", MUCH, b"small", LONG, b"s" * 4095]
FRAMING = LengthPrefix()
SENDS = {
    "small": (lambda stream: stream.writelines(SMALL), MUCH),
    "large": (lambda stream: stream.write(MUCH), MUCH),
    "mixed": (lambda stream: stream.writelines(MIXED), b"".join(MIXED)),
    "message": (lambda stream: stream.send_message(MUCH), FRAMING.encode(MUCH)),
    "messages": (lambda stream: stream.send_messages(MIXED),
                 b"".join(map(FRAMING.encode, MIXED))),
}
sends = pytest.mark.parametrize("name", SENDS)


def fill(stream, send):
    """Send more than the kernel takes; the error."""
    with pytest.raises(WAITING) as caught:
        send(stream)
        stream.flush()
    return caught.value


@sends
@pytest.mark.parametrize("timeout", SHORT_WAITS)
def test_a_send_that_is_given_up_goes_on_where_it_ended(connect, name, timeout):
    send, wire = SENDS[name]
    with connect(timeout, framing=FRAMING, high_water=1 << 24) as (stream, peer):
        error = fill(stream, send)
        assert error.bytes_sent > 0 or connect.kind == "tls"
        read = peer.read(error.bytes_sent)
        assert connect.kind in INEXACT or peer.drain() == b""
        assert flush_all(stream, peer, len(wire), read) == wire


def test_bytes_sent_counts_all_that_the_call_has_sent(connect):
    """Also what send_messages had sent each time that the high-water mark was reached."""
    with connect(0, framing=FRAMING, high_water=1000) as (stream, peer):
        error = fill(stream, lambda stream: stream.send_messages(SMALL))
        assert error.bytes_sent > 1000
        assert connect.kind in INEXACT or error.bytes_sent == len(peer.drain())


@pytest.mark.parametrize("name", ["small", "large", "mixed"])
def test_a_signal_handler_that_raises_loses_nothing(connect, name):
    """Also if it raises one object again, which has the first time's bytes_sent."""
    if connect.kind not in DIRECT:
        pytest.skip("a handler may raise inside the class's method, which then forgets what it did")
    (send, wire), error = SENDS[name], Interrupted()
    for timeout in (None, TIMEOUT_S):
        with connect(timeout, high_water=1 << 24) as (stream, peer):
            send(stream)
            sent = 0
            for _ in range(2):
                with interruption(error):
                    stream.flush()
                sent += error.bytes_sent
            read = peer.drain()
            assert connect.kind in INEXACT or sent == len(read)
            assert flush_all(stream, peer, len(wire), read) == wire


@needs_to_see_sleepers
def test_a_signal_that_cuts_a_blocking_send_ends_the_flush(monkeypatch):
    """Where a class's send is C, nobody else looks for signals between two calls."""
    class Own(stdlib_socket.socket):
        pass

    def handle(*_):
        raise error

    def interrupt():
        while not Worker.sleeps_in(main, "send"):
            os.sched_yield()
        signal.pthread_kill(main.thread.ident, signal.SIGALRM)
        # What wrongly sends on would sleep for ever.
        ended.wait(TIMEOUT_S) or peer.read(len(MUCH))

    monkeypatch.setitem(NUMBERS, "send", {44, 46, 206, 211})
    main = types.SimpleNamespace(thread=threading.main_thread())
    error, ended, before = Interrupted(), threading.Event(), signal.signal(signal.SIGALRM, handle)
    a, b = stdlib_socket.socketpair()
    with Own(fileno=a.detach()) as sock, b:
        stream, peer, thread = Stream(sock), Peer(b), threading.Thread(target=interrupt)
        stream.write(MUCH)
        thread.start()
        with pytest.raises(Interrupted):
            stream.flush()
        ended.set()
        thread.join()
        signal.signal(signal.SIGALRM, before)
        assert error.bytes_sent == len(peer.drain())


def test_a_class_that_raises_one_object_again(python):
    """In a process of its own: it was a crash."""
    python(code="""
import fastsock, types
error, room, wire, data = OSError("full"), 5000, bytearray(), bytes(range(256)) * 20
def send(piece):
    global room
    taken = piece[:room]
    if not taken:
        raise error
    room -= len(taken)
    wire.extend(taken)
    return len(taken)
stream = fastsock.Stream(types.SimpleNamespace(recv=None, send=send))
stream.write(data)
for expected in (5000, 0, 0):
    try:
        stream.flush()
    except OSError as caught:
        assert caught.bytes_sent == expected, (caught.bytes_sent, expected)
room = 1000
stream.flush()
assert wire == data
""")


def own_sendall(base):
    """Over a socket of a class with only a sendall of its own: (stream, peer, error)."""
    class Own(base):
        def sendall(self, data, flags=0):
            return super().sendall(data, flags)

    a, b = stdlib_socket.socketpair()
    sock = Own(fileno=a.detach())
    sock.settimeout(0)
    stream = Stream(sock)
    stream.write(MUCH)
    return stream, Peer(b), fill(stream, Stream.flush)


def test_a_class_with_a_sendall_of_its_own_sends_nothing_twice():
    stream, peer, error = own_sendall(fastsock.socket)
    with stream.sock, peer.sock:
        read = peer.drain()
        assert error.bytes_sent == len(read)
        assert flush_all(stream, peer, len(MUCH), read) == MUCH


def test_nothing_more_is_sent_after_a_sendall_that_does_not_say_how_much():
    """The stdlib's does not, so that no one knows what would be next."""
    stream, peer, _ = own_sendall(stdlib_socket.socket)
    with stream.sock, peer.sock:
        peer.drain()
        with pytest.raises(OSError, match="not known"):
            stream.flush()
        assert peer.drain() == b""


@pytest.mark.parametrize("said", ["3", -1, 1 << 40, True])
def test_a_sendall_that_says_nonsense(said):
    """That is as if nothing was said: nothing more is sent."""
    class Own(fastsock.socket):
        def sendall(self, data, flags=0):
            error = OSError("full")
            error.bytes_sent = said
            raise error

    a, b = stdlib_socket.socketpair()
    with Own(fileno=a.detach()) as sock, b:
        stream = Stream(sock)
        stream.write(b"1234567")
        with pytest.raises(OSError, match="full") as caught:
            stream.flush()
        assert caught.value.bytes_sent is None
        with pytest.raises(OSError, match="not known"):
            stream.flush()


class OwnInto(fastsock.socket):
    def recv_into(self, buffer, nbytes=0, flags=0):
        count = super().recv_into(buffer, nbytes, flags)
        buffer[:count] = bytes(buffer[:count]).upper()
        return count


class OwnIntoAndSendall(OwnInto):
    def sendall(self, data, flags=0):
        return super().sendall(bytes(data).upper(), flags)


@pytest.mark.parametrize("cls", [OwnInto, OwnIntoAndSendall])
def test_a_class_with_a_recv_into_of_its_own(cls):
    a, b = stdlib_socket.socketpair()
    with cls(fileno=a.detach()) as sock, b:
        stream = Stream(sock)
        stream.write(b"abc")
        stream.flush()
        assert b.recv(10) == (b"abc" if cls is OwnInto else b"ABC")
        b.sendall(b"line\n")
        assert stream.readline() == b"LINE\n"


@pytest.mark.parametrize("given, expected", [
    (None, TypeError), ("3", TypeError), (-1, ValueError), (6, ValueError)])
def test_a_send_that_returns_nonsense(given, expected):
    answers = [2, given]
    stream = Stream(types.SimpleNamespace(recv=None, send=lambda data: answers.pop(0)))
    stream.write(b"1234567")
    with pytest.raises(expected) as caught:
        stream.flush()
    assert caught.value.bytes_sent == 2
    answers.append(5)
    stream.flush()
    assert answers == []


@pytest.mark.parametrize("size", [10, 100_000])
def test_a_peer_that_is_gone(connect, size):
    with connect(framing=FRAMING) as (stream, peer):
        reset(peer)
        # OpenSSL may say it by an error of its own.
        expected = OSError if connect.kind == "tls" else (ConnectionResetError, BrokenPipeError)
        for send in (lambda: stream.send_message(LONG[:size]), stream.flush, stream.close):
            with pytest.raises(expected) as caught:
                send()
            assert caught.value.bytes_sent == 0
        assert stream.closed and stream.sock.fileno() == -1
        stream.close()
