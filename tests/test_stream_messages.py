"""Stream's messages: whole ones only, however they arrive, and none is lost or cut.

Over all kinds of sockets (streams.py has them) and framings; that a framing
finds the right end is tested in test_framing.py.
"""

import array
import itertools
import mmap
import sysconfig

import pytest

import fastsock
from fastsock.framing import Fixed, LengthPrefix, Lines, Netstring, Varint
from tests.conftest import TIMEOUT_S
from tests.streams import (
    DIRECT, examples, hypothesis, interruption, LONG, SHORT_WAITS, st, WAITING,
)
from tests.workers import Worker, needs_to_see_sleepers

MIB = 1 << 20

#: Made for payloads of a size.
FRAMINGS = {
    "Lines": lambda size: Lines(limit=MIB),
    "long delimiter": lambda size: Lines(b"\r\n--\r\n", limit=MIB),
    "LengthPrefix": lambda size: LengthPrefix(),
    "with header": lambda size: LengthPrefix("<q", includes_header=True),
    "Varint": lambda size: Varint(),
    "Netstring": lambda size: Netstring(),
    "Fixed": Fixed,
}

framings = pytest.mark.parametrize("name", FRAMINGS)
PAYLOAD = LONG.replace(b"\n", b"N").replace(b"\r", b"R")


def into_new(stream, size=200_000):
    buffer = bytearray(size)
    return bytes(buffer[:stream.recv_message_into(buffer)])


#: Each gives a list of messages.
RECEIVES = {
    "recv_message": lambda stream: [stream.recv_message()],
    "recv_messages": lambda stream: stream.recv_messages(),
    "recv_messages of 2": lambda stream: stream.recv_messages(2),
    "recv_message_into": lambda stream: [into_new(stream)],
    "messages": lambda stream: [next(stream.messages())],
}
receives = pytest.mark.parametrize("receive", RECEIVES.values(), ids=RECEIVES)


def look(stream):
    stream.peek(7)
    return []


def into_too_little(stream):
    try:
        return [into_new(stream, 3)]
    except ValueError as error:
        assert "too small" in str(error)
        return []


def given_up(receive, stream):
    """What a call gives before it has to wait: its messages, or none."""
    try:
        return receive(stream)
    except WAITING:
        return []


# -- nothing is lost --------------------------------------------------------------

SIZES = st.lists(st.sampled_from([0, 1, 3, 4, 600, 5000]), max_size=8)
CALLS = st.lists(st.sampled_from([*RECEIVES.values(), look, into_too_little]), max_size=4)


@hypothesis.given(st.data())
@examples(80)
def test_messages_cut_anywhere_and_received_in_any_way(connect, data):
    make = data.draw(st.sampled_from([*FRAMINGS.values()]))
    sizes = data.draw(SIZES)
    if data.draw(st.booleans()):
        sizes.insert(data.draw(st.integers(0, len(sizes))), 90_000)
    framing = make(500)
    if isinstance(framing, Fixed):
        sizes = [500] * len(sizes)
    payloads = [PAYLOAD[number:number + size] for number, size in enumerate(sizes)]
    wire = b"".join(map(framing.encode, payloads))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    read_size = data.draw(st.sampled_from([1000, 65536]))
    received = []
    with connect(timeout=0, framing=framing, read_size=read_size) as (stream, peer):
        for start, end in itertools.pairwise([0, *cuts, len(wire)]):
            peer.send(wire[start:end])
            for receive in data.draw(CALLS):
                received += given_up(receive, stream)
                assert received == payloads[:len(received)]
        peer.end()
        stream.sock.settimeout(TIMEOUT_S)
        assert received + list(stream.messages()) == payloads
        assert stream.at_eof() and stream.recv_messages() == []


def cuts_in(wire):
    """In the header, in the end, and where a large message is received otherwise."""
    size = len(wire)
    around = [*range(12), size // 2, *range(size - 8, size)]
    if size > 65536:
        around += [size - 65537, size - 65536, size - 65535, 65535, 65536, 65537, size - 4096]
    return sorted({cut for cut in around if 0 <= cut < size})


BETWEEN = [lambda stream: [], look, into_too_little, *RECEIVES.values()]


@framings
@pytest.mark.parametrize("timeout", SHORT_WAITS)
def test_a_wait_that_is_given_up_loses_nothing(connect, name, timeout):
    for size in (9, 99_000):
        framing, payload = FRAMINGS[name](size), PAYLOAD[:size]
        wire = framing.encode(payload)
        with connect(framing=framing) as (stream, peer):
            for number, cut in enumerate(cuts_in(wire)):
                stream.sock.settimeout(timeout)
                peer.send(wire[:cut])
                with pytest.raises(WAITING):
                    RECEIVES["recv_message"](stream)
                if timeout == 0:
                    assert given_up(BETWEEN[number % len(BETWEEN)], stream) == []
                stream.sock.settimeout(TIMEOUT_S)
                peer.send(wire[cut:])
                receive = [*RECEIVES.values()][number % len(RECEIVES)]
                assert receive(stream) == [payload]
                assert stream.pending() == 0


RAW_READS = [
    lambda stream: stream.read(3), lambda stream: stream.readexactly(10),
    lambda stream: stream.readuntil(b"\n"), lambda stream: stream.readline(), next,
    lambda stream: stream.readexactly(5) + stream.readuntil((b"\n", b"zz"))]


@pytest.mark.parametrize("name", ["LengthPrefix", "Netstring", "Fixed"])
def test_a_large_message_that_is_given_up_can_be_read_as_bytes(connect, name):
    """With its header, from its first byte on."""
    framing = FRAMINGS[name](95_000)
    wire = framing.encode(LONG[:95_000])
    with connect(framing=framing, limit=MIB) as (stream, peer):
        for arrived, receive, read in itertools.product(
                (6_000, 29_000, 94_000), RECEIVES.values(), RAW_READS):
            stream.sock.settimeout(0)
            peer.send(wire[:arrived])
            for _ in range(2):
                assert given_up(receive, stream) == []
            stream.sock.settimeout(TIMEOUT_S)
            start = read(stream)
            assert start and wire.startswith(start)
            assert stream.pending() <= arrived - len(start)
            peer.send(wire[arrived:])
            assert start + stream.readexactly(len(wire) - len(start)) == wire


@receives
def test_a_signal_handler_that_raises_loses_nothing(connect, receive):
    if connect.kind not in DIRECT:
        pytest.skip("a handler may raise inside the class's method, which then forgets what it did")
    for name, size, timeout in itertools.product(
            ["Lines", "LengthPrefix"], [9, 99_000], [None, TIMEOUT_S]):
        framing, payload = FRAMINGS[name](size), PAYLOAD[:size]
        wire = framing.encode(payload)
        with connect(timeout, framing=framing) as (stream, peer):
            peer.send(wire[:-6])
            with interruption():
                receive(stream)
            peer.send(wire[-6:])
            assert receive(stream) == [payload]


# -- the end ----------------------------------------------------------------------

@framings
def test_the_end_inside_a_message(connect, name):
    for size in (9, 99_000):
        framing, payload = FRAMINGS[name](size), PAYLOAD[:size]
        wire = framing.encode(payload)
        header = None if isinstance(framing, Lines) else wire.index(payload)
        for cut, receive in zip(cuts_in(wire)[1:], itertools.cycle(RECEIVES.values())):
            with connect(framing=framing) as (stream, peer):
                peer.send(wire[:cut])
                peer.end()
                with pytest.raises(fastsock.IncompleteReadError) as caught:
                    receive(stream)
                assert caught.value.partial == wire[:cut]
                assert caught.value.expected == (
                    None if header is None or cut < header else len(wire))
                assert_ended(stream)


def assert_ended(stream):
    assert stream.at_eof() and stream.recv_messages() == list(stream.messages()) == []
    for receive in (stream.recv_message, lambda: stream.recv_message_into(bytearray(9))):
        with pytest.raises(EOFError) as caught:
            receive()
        assert type(caught.value) is EOFError


def test_the_end_between_messages(connect):
    with connect(framing=Lines()) as (stream, peer):
        peer.send(b"a\n\nb\n")
        peer.end()
        assert list(stream.messages()) == [b"a", b"", b"b"]
        assert_ended(stream)


# -- recv_messages ----------------------------------------------------------------

@framings
@pytest.mark.parametrize("timeout", [None, 0, TIMEOUT_S])
def test_one_system_call_brings_a_thousand_messages(stream_pair, name, timeout):
    framing = FRAMINGS[name](50)
    stream, peer = fastsock.Stream(stream_pair[0].sock, framing=framing), stream_pair[1]
    stream.sock.settimeout(timeout)
    payloads = [b"%050d" % number for number in range(1000)]
    peer.send(b"".join(map(framing.encode, payloads)))
    fastsock.stats(reset=True)
    assert stream.recv_messages() == payloads
    made = fastsock.stats()["system_calls"]
    assert made.pop("poll") <= (timeout == TIMEOUT_S)
    assert sum(made.values()) == made["recv"] == 1


def test_what_the_call_left_comes_next(stream_pair):
    stream, peer = stream_pair
    payloads = [b"%099d" % number for number in range(1500)]
    peer.send(b"".join(b"%s\n" % payload for payload in payloads))
    fastsock.stats(reset=True)
    counts, received = [], []
    while len(received) < len(payloads):
        found = stream.recv_messages()
        counts.append(len(found))
        received += found
    assert received == payloads and counts == [655, 655, 190]
    assert fastsock.stats()["system_calls"]["recv"] == 3


def test_a_part_does_not_count(stream_pair):
    """At least one message, so a part waits for the rest of it; what is behind it comes too."""
    stream, peer = stream_pair
    peer.send(b"a\nb")
    assert stream.recv_messages() == [b"a"]
    peer.send(b"c\nd\ne")
    assert stream.recv_messages() == [b"bc", b"d"]
    stream.sock.settimeout(0)
    with pytest.raises(BlockingIOError):
        stream.recv_messages()
    assert stream.pending() == 1


def test_at_most_so_many(connect):
    with connect(framing=Lines()) as (stream, peer):
        peer.send(b"a\nb\nc\nd\ne\n")
        assert stream.recv_messages(max=2) == [b"a", b"b"]
        assert stream.recv_message() == b"c"
        assert stream.recv_messages(1) == [b"d"]
        assert stream.recv_messages(1 << 60) == [b"e"]
        for bad in (0, -1):
            with pytest.raises(ValueError, match=f"1 or more, not {bad}"):
                stream.recv_messages(bad)
        for bad in ("1", 1.0):
            with pytest.raises(TypeError):
                stream.recv_messages(max=bad)


# -- what is refused --------------------------------------------------------------

BAD = {
    "Lines": (Lines(limit=5), b"123456\n", fastsock.LimitOverrunError, 6),
    "LengthPrefix": (LengthPrefix(limit=5), b"\0\0\0\6tail", fastsock.LimitOverrunError, 8),
    "Varint": (Varint(limit=5), b"\6tail", fastsock.LimitOverrunError, 5),
    "Netstring": (Netstring(limit=5), b"6:tail", fastsock.LimitOverrunError, 1),
    "negative": (LengthPrefix("!i"), b"\x80\0\0\0tail", fastsock.FramingError, 0),
    "too long a varint": (Varint(), b"\xff" * 10 + b"tail", fastsock.FramingError, 9),
    "no colon": (Netstring(), b"5x3:tail", fastsock.FramingError, 1),
    "no comma": (Netstring(), b"2:abXtail", fastsock.FramingError, 4),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_comes_behind_the_good_ones_and_stays(connect, name):
    framing, bad, expected, detail = BAD[name]
    good = framing.encode(b"good") + framing.encode(b"") + framing.encode(b"too")
    position = 0
    with connect(framing=framing) as (stream, peer):
        for receive in RECEIVES.values():
            peer.send(good + bad)
            received = []
            while len(received) < 3:
                received += receive(stream)
            assert received == [b"good", b"", b"too"]
            position += len(good)
            for again in (receive, *RECEIVES.values()):
                with pytest.raises(expected) as caught:
                    again(stream)
                if expected is fastsock.FramingError:
                    assert caught.value.position == position + detail
                else:
                    assert caught.value.consumed == detail
                    assert str(caught.value).endswith("above the limit of 5")
            assert stream.pending() == len(bad)
            assert stream.readexactly(len(bad)) == bad
            position += len(bad)


def test_the_position_counts_all_that_was_taken(connect):
    framing = LengthPrefix("!i")
    large = framing.encode(PAYLOAD)
    with connect(framing=framing) as (stream, peer):
        for receive in (stream.recv_message, lambda: into_new(stream)):
            for arrived in (2, 30_000, len(large) - 1):
                stream.sock.settimeout(0)
                peer.send(large[:arrived])
                for _ in range(2):  # it goes to its place, back, and there again
                    with pytest.raises(WAITING):
                        receive()
                    assert stream.peek(2) == large[:2]
                stream.sock.settimeout(TIMEOUT_S)
                peer.send(large[arrived:])
                assert receive() == PAYLOAD
        peer.send(LONG)
        assert stream.readexactly(90_000) == LONG[:90_000]
        rest = b""
        while len(rest) < 10_000:
            target = bytearray(65536)  # is received into directly
            rest += target[:stream.readinto(target)]
        assert rest == LONG[90_000:]
        peer.send(b"line\n\xff\xff\xff\xff")
        assert stream.readline() == b"line\n"
        with pytest.raises(fastsock.FramingError) as caught:
            stream.recv_message()
        assert caught.value.position == 6 * len(large) + len(LONG) + 5


def test_streams_that_share_a_framing(connect):
    framing = Lines(b"\r\n")
    framing.feed(b"not of the streams")
    with connect(framing=framing) as (one, to_one), connect(0, framing=framing) as (two, to_two):
        to_two.send(b"second\r")
        with pytest.raises(WAITING):
            two.recv_message()
        to_one.send(b"1\r\n")
        assert one.recv_message() == b"1"
        to_two.send(b"\n")
        assert two.recv_message() == b"second"
        assert framing.feed(b"\r\n") == [b"not of the streams"]


# -- recv_message_into ------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 12, 65536, 99_996])
def test_into_memory_of_ones_own(connect, size):
    with connect(framing=LengthPrefix()) as (stream, peer), mmap.mmap(-1, 100_000) as mapped:
        payload = PAYLOAD[:size]
        targets = [bytearray(size), bytearray(100_000), memoryview(bytearray(100_004))[4:],
                   array.array("I", bytes(100_000)), mapped]
        for target in targets:
            peer.send(LengthPrefix().encode(payload))
            before = bytes(target)
            assert stream.recv_message_into(target) == size
            assert bytes(target)[:size] == payload and bytes(target)[size:] == before[size:]
        for bad in (b"read-only", memoryview(b"abc"), "text", None, memoryview(bytearray(9))[::2]):
            with pytest.raises(TypeError, match="recv_message_into.. argument must be read-write"):
                stream.recv_message_into(bad)


@framings
def test_a_message_that_does_not_fit_can_be_received_otherwise(connect, name):
    for size, receive in itertools.product((9, 99_000), RECEIVES.values()):
        framing, payload = FRAMINGS[name](size), PAYLOAD[:size]
        wire = framing.encode(payload)
        with connect(framing=framing) as (stream, peer):
            peer.send(wire[:-1])
            if not isinstance(framing, Lines):  # known before all of it is there
                with pytest.raises(ValueError, match=f"too small for a message of {size}"):
                    stream.recv_message_into(bytearray(size - 1))
            peer.send(wire[-1:])
            for room in (0, size - 1):
                with pytest.raises(ValueError, match=f"of {room} bytes is too small"):
                    stream.recv_message_into(bytearray(room))
            assert receive(stream) == [payload]


# -- one reader at a time ---------------------------------------------------------

READS = [
    lambda stream: stream.read(1), lambda stream: stream.read(), lambda stream: stream.peek(1),
    lambda stream: stream.readexactly(1), lambda stream: stream.readexactly(1 << 20),
    lambda stream: stream.readuntil(), lambda stream: stream.readline(), next,
    lambda stream: stream.readinto(bytearray(1)), lambda stream: stream.recv_message(),
    lambda stream: stream.recv_messages(), lambda stream: next(stream.messages()),
    lambda stream: stream.recv_message_into(bytearray(9))]


@needs_to_see_sleepers
@pytest.mark.parametrize("call, timeout", [("poll", TIMEOUT_S), ("recv", None)])
def test_a_second_reader_is_refused_and_a_writer_is_not(connect, call, timeout):
    if connect.kind == "tls" and timeout is None:
        pytest.skip("OpenSSL reads by another system call")
    with connect(timeout, framing=Lines()) as (stream, peer):
        peer.send(b"answ")
        worker = Worker(call, stream.recv_message)
        for read in READS:
            with pytest.raises(RuntimeError, match="one reader at a time"):
                read(stream)
        stream.send_message(b"question")
        assert peer.read(9) == b"question\n"
        peer.send(b"er\nmore")
        worker.join()
        assert (worker.result, worker.error) == (b"answer", None)
        assert stream.read(4) == b"more"


# -- memory -----------------------------------------------------------------------

MEMORY = """
import ctypes, gc, sys
import fastsock
from fastsock.framing import Lines

class Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]

mallinfo2 = ctypes.CDLL(None).mallinfo2
mallinfo2.restype = Mallinfo2

def in_use():
    gc.collect()
    found = mallinfo2()
    return found.uordblks + found.hblkhd

def use(stream_pair):
    peer, sock = stream_pair
    stream = fastsock.Stream(sock, framing=framing)
    for _ in range(2):
        peer.sendall(messages)
        count = 0
        while count < 500:
            count += len(stream.recv_messages())
    peer.sendall(bytes(int(sys.argv[1])))
    sock.setblocking(False)
    try:
        stream.recv_message()
    except BlockingIOError:
        return stream

framing = Lines()
messages = b"".join(b"%099d\\n" % number for number in range(500))
pairs = [fastsock.socketpair() for _ in range(1001)]
kept = [use(pairs.pop())] + [None] * 1000  # one before: what is made once is made
before = in_use()
for number, stream_pair in enumerate(pairs):
    kept[number + 1] = use(stream_pair)
print((in_use() - before) / len(pairs))
for peer, sock in pairs:
    peer.close(), sock.close()
"""


@pytest.mark.parametrize("rest", [0, 10, 511, 600, 5000])
def test_a_stream_that_idles_holds_what_it_has_and_little_more(python, rest):
    """Beyond its sockets: the object, and the part of a message that has arrived."""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("a free-threaded interpreter has no PYTHONMALLOC=malloc")
    result = python("-c", MEMORY, rest, env={"PYTHONMALLOC": "malloc"}, check=False)
    if "mallinfo2" in result.stderr:
        pytest.skip("this C library does not say what is in use")
    assert float(result.stdout) < 1024 + rest
