"""Stream's reading: as asyncio.StreamReader's, over every kind of socket, and nothing is lost.

Each test runs on all kinds that a Stream goes over (streams.py). Reading is compared with
asyncio's own reader, which is given the bytes when the Stream has received them.
"""

import asyncio
import sys
import types

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.streams import (
    DIRECT, tcp, examples, hypothesis, interruption, LONG, reset, SHORT_WAITS, st, WAITING,
)


# -- as asyncio.StreamReader ------------------------------------------------------

def said_by(call, *arguments):
    """What it returned or raised, in the same words for both implementations."""
    try:
        found = call(*arguments)
    except WAITING:
        return ("waits",)
    except (StopIteration, StopAsyncIteration):
        return ("ends",)
    except EOFError as error:
        return type(error).__name__, error.partial, error.expected
    except (fastsock.LimitOverrunError, asyncio.LimitOverrunError) as error:
        return type(error).__name__, error.consumed
    return "returns", found


class Model:
    """An asyncio.StreamReader that is asked as if it were a Stream."""

    def __init__(self, loop, limit):
        self.loop = loop
        self.reader = asyncio.StreamReader(limit=limit, loop=loop)

    def ask(self, name, *arguments):
        async def at_once():
            task = asyncio.ensure_future(getattr(self.reader, name)(*arguments))
            done, _ = await asyncio.wait([task], timeout=0)
            if not done:
                task.cancel()
                await asyncio.wait([task])
                raise BlockingIOError
            return task.result()

        return said_by(self.loop.run_until_complete, at_once())


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


SHORT = st.lists(st.sampled_from(b"ab\r\n"), max_size=12).map(bytes)
SIZES = st.integers(0, 12) | st.just(66_000)
SEPARATORS = [b"\n", b"\r\n", b"ab", b"aab", b"abab", bytearray(b"b")]
if sys.version_info >= (3, 13):
    SEPARATORS += [(b"\n",), (b"\r\n", b"\n"), (b"b", b"aab"), (b"aab", b"b"), (b"bab", b"a\r")]

MUCH = {"lines": LONG[:66_500], "a line": b"a" * 66_500}

STEPS = st.lists(max_size=25, elements=st.one_of(
    st.tuples(st.just("send"), SHORT | st.sampled_from(["lines", "a line"])),
    st.just(("end",)),
    st.tuples(st.sampled_from(["read", "readexactly", "readinto"]), SIZES),
    st.just(("read", -1)),
    st.tuples(st.just("readuntil"), st.sampled_from(SEPARATORS)),
    st.sampled_from([("readline",), ("__next__",)]),
    st.tuples(st.just("peek"), st.integers(1, 12))))


def read_into_new(stream, size):
    buffer = bytearray(size)
    return bytes(buffer[:stream.readinto(buffer)])


@hypothesis.given(STEPS, st.integers(1, 8) | st.just(65536), st.sampled_from([5, 1000, 65536]))
@examples(100)
def test_it_reads_as_asyncio(connect, loop, steps, limit, read_size):
    with connect(timeout=0, limit=limit, read_size=read_size) as (stream, peer):
        model, data, taken, given, has_ended = Model(loop, limit), b"", 0, 0, False
        for name, *arguments in steps:
            if name == "send":
                if not has_ended and len(data) - given < 70_000:  # the buffers take it
                    piece = MUCH.get(*arguments, *arguments)
                    peer.send(piece)
                    data += piece
                continue
            if name == "end":
                has_ended or peer.end()
                has_ended = True
                continue
            found = (said_by(read_into_new, stream, *arguments) if name == "readinto"
                     else said_by(getattr(stream, name), *arguments))
            if name != "peek" and found[0] in ("returns", "IncompleteReadError"):
                assert found[1] == data[taken:taken + len(found[1])]
                taken += len(found[1])
            received = taken + stream.pending()
            assert given <= received <= len(data)
            if received > given:
                model.reader.feed_data(data[given:received])
                given = received
            if stream.at_eof():
                assert has_ended
                model.reader.feed_eof()
            if name == "peek":
                waiting = data[taken:received][:arguments[0]]
                assert found == ("returns", waiting) if waiting or stream.at_eof() else ("waits",)
            elif arguments == [-1] and not stream.at_eof():
                assert found == ("waits",)  # asyncio would lose what it has read so far
            else:
                # asyncio's readline takes a line that is too long.
                asked = "readuntil" if found[0] == "LimitOverrunError" else {
                    "readinto": "read", "__next__": "__anext__"}.get(name, name)
                assert found == model.ask(asked, *arguments)
            assert stream.at_eof() == model.reader.at_eof()
        has_ended or peer.end()
        stream.sock.settimeout(TIMEOUT_S)
        assert stream.read(-1) == data[taken:]
        assert stream.at_eof() and stream.pending() == 0 and stream.read(-1) == b""


@pytest.mark.parametrize("separators", [(b"b", b"aab"), (b"aab", b"b")])
def test_of_two_separators_that_end_together_the_shorter_counts(stream_pair, separators):
    """For the limit, as asyncio's documentation has it."""
    stream, peer = stream_pair
    stream = fastsock.Stream(stream.sock, limit=2)
    peer.send(b"aaabaab")
    with pytest.raises(fastsock.LimitOverrunError) as caught:
        stream.readuntil(separators)
    assert caught.value.consumed == 3
    assert stream.read(2) == b"aa"
    assert stream.readuntil(separators) == b"ab"
    assert stream.readuntil(separators) == b"aab"


@pytest.mark.parametrize("as_separator", [lambda one: one, memoryview, lambda one: (one, b"y")])
def test_a_separator_that_has_changed_is_another(stream_pair, as_separator):
    stream, peer = stream_pair
    stream.sock.settimeout(0)
    separator = as_separator(changing := bytearray(b"x"))
    peer.send(b"12a34")
    with pytest.raises(BlockingIOError):
        stream.readuntil(separator)
    changing[:] = b"a"
    assert stream.readuntil(separator) == b"12a"


def test_an_overlong_line_stays(connect):
    with connect(limit=5) as (stream, peer):
        peer.send(b"123456\n12345\n")
        for _ in range(2):
            with pytest.raises(fastsock.LimitOverrunError) as caught:
                stream.readline()
            assert isinstance(caught.value, ValueError) and caught.value.consumed == 6
        assert stream.read(caught.value.consumed) + stream.readline() == b"123456\n"
        assert next(stream) == b"12345\n"
        peer.send(b"x" * 2000)
        with pytest.raises(fastsock.LimitOverrunError) as caught:
            stream.readline()
        assert stream.readexactly(caught.value.consumed) == b"x" * caught.value.consumed


def test_peek_takes_nothing_and_pending_counts(connect):
    with connect() as (stream, peer):
        assert stream.pending() == 0
        peer.send(b"abcdef")
        assert stream.peek(2) == b"ab"
        assert stream.pending() == 6
        assert stream.peek(100) == b"abcdef"
        assert stream.read(2) == b"ab"
        assert stream.pending() == 4 and stream.peek(1) == b"c"
        assert stream.readexactly(4) == b"cdef" and not stream.at_eof()
        peer.end()
        assert stream.peek(5) == b"" and stream.at_eof()


def test_readinto(connect):
    """What waits comes first; a large buffer is then filled directly."""
    with connect() as (stream, peer):
        for size in (65535, 65536, 100_000):
            target, taken = bytearray(size), b""
            peer.send(b"line\n" + LONG)
            assert stream.readline() == b"line\n"
            while len(taken) < len(LONG):
                taken += target[:stream.readinto(target)]
            assert taken == LONG and stream.readinto(bytearray()) == 0
        peer.end()
        assert stream.readinto(target) == stream.readinto(target) == 0 and list(stream) == []


def test_bad_arguments(stream_pair):
    stream, peer = stream_pair
    peer.send(b"abc\n")
    for bad in (0, -1):
        with pytest.raises(ValueError, match=f"1 or more bytes, not {bad}"):
            stream.peek(bad)
    with pytest.raises(ValueError, match="0 or more bytes, not -1"):
        stream.readexactly(-1)
    for bad in (b"", (), (b"\n", b""), bytearray()):
        with pytest.raises(ValueError, match="separator"):
            stream.readuntil(bad)
    for read in (stream.read, stream.readexactly, stream.peek, stream.readuntil, stream.readinto):
        for bad in ("1", 1.0, None, [b"\n"], ("\n",)):
            with pytest.raises(TypeError):
                read(bad)
    assert stream.read(0) == stream.readexactly(0) == b"" and stream.readline() == b"abc\n"


# -- nothing is lost --------------------------------------------------------------

READS = {
    "readexactly": (lambda stream: stream.readexactly(7), b"0123456"),
    "readuntil": (lambda stream: stream.readuntil(b"END"), b"0EN1EEND"),
    "readline": (lambda stream: stream.readline(), b"0123\n"),
    "iteration": (next, b"01\n"),
    "readexactly of much": (lambda stream: stream.readexactly(len(LONG)), LONG),
    "readuntil of much": (lambda stream: stream.readuntil(b"END"), b"x" * 90_000 + b"END"),
}


def cuts(size):
    """Everywhere in a short message, and where something may change in a long one."""
    return range(size) if size < 64 else [
        0, 1, 5, size - 65537, size - 65536, size - 65535, 65535, 65536, 65537, size - 3,
        size - 1]


@pytest.mark.parametrize("timeout", SHORT_WAITS)
@pytest.mark.parametrize("way", READS)
def test_a_wait_that_is_given_up_loses_nothing(connect, way, timeout):
    read, data = READS[way]
    with connect(limit=1 << 20) as (stream, peer):
        for cut in cuts(len(data)):
            stream.sock.settimeout(timeout)
            peer.send(data[:cut])
            for _ in range(2):
                with pytest.raises(WAITING):
                    read(stream)
            if cut % 2:
                assert stream.peek(3) == data[:min(cut, 3)]
            stream.sock.settimeout(TIMEOUT_S)
            peer.send(data[cut:])
            assert read(stream) == data
            assert stream.pending() == 0


@pytest.mark.parametrize("timeout", SHORT_WAITS)
def test_reading_to_the_end_may_be_given_up(connect, timeout):
    with connect(timeout) as (stream, peer):
        for start in range(0, len(LONG), 40_000):
            peer.send(LONG[start:start + 40_000])
            with pytest.raises(WAITING):
                stream.read()
        peer.end()
        stream.sock.settimeout(TIMEOUT_S)
        assert stream.read() == LONG and stream.at_eof()


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
@pytest.mark.parametrize("way", READS)
def test_a_signal_handler_that_raises_loses_nothing(connect, way, timeout):
    if connect.kind not in DIRECT:
        pytest.skip("a handler may raise inside the class's method, which then forgets what it did")
    read, data = READS[way]
    with connect(timeout, limit=1 << 20) as (stream, peer):
        peer.send(data[:-2])
        with interruption():
            read(stream)
        peer.send(data[-2:])
        assert read(stream) == data


def test_one_deadline_bounds_a_whole_read():
    """A peer that always has a little more can't keep it waiting."""
    count = 0

    def recv(size):
        nonlocal count
        count += 1
        assert count < 10_000_000, "it goes on for ever"
        return b"x"

    stream = fastsock.Stream(
        types.SimpleNamespace(recv=recv, send=None, gettimeout=lambda: 0.001), limit=1 << 30)
    for read in (stream.read, stream.readline, lambda: stream.readexactly(1 << 28)):
        with pytest.raises(TimeoutError):
            read()
        assert stream.pending() == count


@pytest.mark.parametrize("size", [7, 100_000])
@pytest.mark.parametrize("arrived", [0, 1, 6, 70_000])
def test_the_end_before_all_is_there(connect, size, arrived):
    arrived = min(arrived, size - 1)
    with connect() as (stream, peer):
        peer.send(LONG[:arrived])
        peer.end()
        with pytest.raises(fastsock.IncompleteReadError) as caught:
            stream.readexactly(size)
        assert (caught.value.partial, caught.value.expected) == (LONG[:arrived], size)
        with pytest.raises(fastsock.IncompleteReadError) as caught:
            stream.readuntil()
        assert (caught.value.partial, caught.value.expected) == (b"", None)
        assert stream.at_eof() and stream.read() == b"" and stream.readexactly(0) == b""


def test_a_connection_that_is_reset_leaves_what_had_arrived():
    sock, peer = tcp(None, None)
    sock.settimeout(TIMEOUT_S)
    with sock:
        stream = fastsock.Stream(sock)
        peer.send(b"abc")
        assert stream.peek(1) == b"a"
        reset(peer)
        with pytest.raises(ConnectionResetError):
            stream.readexactly(4)
        assert stream.readexactly(3) == b"abc"


@pytest.mark.parametrize("given, expected", [
    (None, TypeError), ("text", TypeError), (5, TypeError), (b"x" * 65537, ValueError)])
def test_a_recv_that_returns_nonsense(given, expected):
    answers = [bytearray(b"ab"), given, memoryview(b"cd\n")]
    stream = fastsock.Stream(types.SimpleNamespace(recv=lambda _: answers.pop(0), send=None))
    with pytest.raises(expected):
        stream.readline()
    assert stream.readline() == b"abcd\n"
