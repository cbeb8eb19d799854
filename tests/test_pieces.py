"""What calls that are given several pieces refuse, and what their exceptions report."""

import array
import contextlib
import dataclasses
import mmap
import pathlib
import re
import signal
import socket as stdlib_socket

import pytest

import fastsock
from fastsock import Stream
from fastsock.framing import Lines
from tests.streams import Interrupted, connect, contexts, stream_pair

__all__ = ["connect", "contexts", "stream_pair"]

ROOT = pathlib.Path(__file__).parent.parent
STREAM_CALLS = ["writelines", "send_messages"]
SOCKET_CALLS = {"sendmsg_all": fastsock.SOCK_STREAM, "sendmmsg": fastsock.SOCK_DGRAM}
INSTEAD = {"writelines": "write(data)", "send_messages": "send_message(payload)",
           "sendmsg_all": "sendall(data)", "sendmmsg": "send(data)"}


@contextlib.contextmanager
def opened(call):
    """(the method, its peer)"""
    ours, theirs = fastsock.socketpair(type=SOCKET_CALLS.get(call, fastsock.SOCK_STREAM))
    with ours, theirs:
        theirs.settimeout(0)
        taker = ours if call in SOCKET_CALLS else Stream(ours, framing=Lines())
        yield getattr(taker, call), theirs
        if taker is not ours:
            taker.flush()


calls = pytest.mark.parametrize("call", INSTEAD)


@calls
@pytest.mark.parametrize("data", [
    b"abc", b"", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"abc").cast("c"), "abc", "",
    array.array("B", b"abc"), mmap.mmap(-1, 3)], ids=lambda data: type(data).__name__)
def test_data_in_place_of_an_iterable_of_data(call, data):
    """As bytes it would be numbers; as an mmap, one piece for each byte."""
    name = re.escape(repr(type(data).__name__))
    with opened(call) as (send, peer):
        with pytest.raises(TypeError, match=rf"^{call}\(\) takes an iterable of bytes-like "
                           rf"objects, not {name}: use {re.escape(INSTEAD[call])}, or \[") as caught:
            send(data)
        assert (caught.value.pieces_accepted, caught.value.bytes_sent) == (0, 0)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


@calls
def test_rows_of_an_array_are_pieces(call):
    numpy = pytest.importorskip("numpy")
    rows = numpy.frombuffer(b"abcdef", "B").reshape(2, 3)
    with opened(call) as (send, peer):
        send(rows)
        send.__self__.flush() if call in STREAM_CALLS else None
        got = peer.recv(100) + (peer.recv(100) if call == "sendmmsg" else b"")
        assert got.replace(b"\n", b"") == b"abcdef"


@calls
@pytest.mark.parametrize("iterable", [list, tuple, iter], ids=lambda kind: kind.__name__)
def test_a_piece_that_is_refused_is_returned(call, iterable):
    """sendmsg_all() takes all pieces before it sends one; the others none behind a bad one."""
    pieces = [b"a", b"bc", 5, b"d"]
    with opened(call) as (send, _):
        given = iterable(pieces)
        with pytest.raises(TypeError) as caught:
            send(given)
        accepted = 0 if call == "sendmsg_all" else 2
        assert caught.value.pieces_accepted == accepted
        assert caught.value.bytes_sent == (3 if call == "sendmmsg" else 0)
        assert caught.value.pieces_returned == (pieces if call == "sendmsg_all" else [5])
        if iterable is iter:
            assert [*given] == pieces[accepted + len(caught.value.pieces_returned):]


@calls
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Interrupted, OSError, TypeError])
def test_an_iterable_that_raises(call, error):
    def pieces():
        yield b"a"
        yield b"bc"
        raise error("on purpose")

    with opened(call) as (send, _):
        with pytest.raises(error, match="on purpose") as caught:
            send(pieces())
        accepted = 0 if call in SOCKET_CALLS else 2
        assert caught.value.pieces_accepted == accepted and caught.value.bytes_sent == 0
        assert caught.value.pieces_returned == [b"a", b"bc"][accepted:]


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Its class refuses new attributes."""
    text: str


class Slotted(Exception):
    __slots__ = ()


class Guarded(Exception):
    """Has no place for one of them."""
    pieces_accepted = property(lambda self: "mine")


@calls
@pytest.mark.parametrize("error, expected", [(Frozen("a"), 2), (Slotted(), 2), (Guarded(), "mine")],
                         ids=["frozen", "slotted", "guarded"])
def test_exceptions_of_every_kind_carry_it(call, error, expected):
    def pieces():
        yield b"a"
        yield b"bc"
        raise error

    with opened(call) as (send, _):
        with pytest.raises(type(error)) as caught:
            send(pieces())
        if call in STREAM_CALLS or expected == "mine":
            assert caught.value.pieces_accepted == expected
        else:
            assert caught.value.pieces_accepted == 0
        assert caught.value.bytes_sent == 0


def test_one_exception_again_reports_the_last_call(stream_pair):
    stream, _ = stream_pair
    error = Interrupted()

    def pieces(count):
        yield from [b"x"] * count
        raise error

    for count in 5, 0, 3:
        with pytest.raises(Interrupted):
            stream.writelines(pieces(count))
        assert error.pieces_accepted == count


@pytest.mark.parametrize("call", ["write", "writelines", "send_message", "send_messages"])
def test_calls_that_can_not_begin(call):
    ours, theirs = fastsock.socketpair()
    with ours, theirs:
        stream = Stream(ours, framing=Lines())
        stream.close()
        pieces = [b"x"] if call.endswith("s") else b"x"
        with pytest.raises(ValueError, match="closed stream") as caught:
            getattr(stream, call)(pieces)
        assert (caught.value.pieces_accepted, caught.value.bytes_sent) == (0, 0)


def test_a_flush_that_can_not_begin():
    ours, theirs = fastsock.socketpair()
    with ours, theirs:
        stream = Stream(ours)
        stream.close()
        with pytest.raises(ValueError, match="closed stream") as caught:
            stream.flush()
        assert caught.value.bytes_sent == 0


@pytest.mark.parametrize("iterable", [list, tuple, iter], ids=lambda kind: kind.__name__)
def test_sendmsg_all_on_a_socket_that_is_no_stream(iterable):
    """The documented continuation, with what is returned, loses nothing."""
    ours, theirs = fastsock.socketpair(type=fastsock.SOCK_DGRAM)
    with ours, theirs:
        with pytest.raises(ValueError, match="needs a SOCK_STREAM socket") as caught:
            ours.sendmsg_all(iterable([b"a", b"b"]))
        assert (caught.value.pieces_accepted, caught.value.bytes_sent) == (0, 0)
        assert caught.value.pieces_returned == [b"a", b"b"]


def test_one_piece(stream_pair):
    stream, peer = stream_pair
    stream.sock.settimeout(0)
    stream.write(large := bytes(10_000_000))
    for call, accepted in (stream.write, 0), (stream.send_message, 1), (stream.send_message, 1):
        with pytest.raises(BlockingIOError) as caught:
            call(b"abc")
        assert caught.value.pieces_accepted == accepted
    for call in stream.write, stream.send_message:
        with pytest.raises(TypeError) as caught:
            call(5)
        assert (caught.value.pieces_accepted, caught.value.bytes_sent) == (0, 0)
    got = b""
    while len(got) < len(large) + 8:
        got += peer.drain()
        with contextlib.suppress(BlockingIOError):
            stream.flush()
    assert got == large + b"abc\n" * 2


def test_a_generator_may_write_to_the_stream_that_takes_its_lines(stream_pair):
    stream, peer = stream_pair

    def lines():
        yield b"a"
        stream.write(b"between")
        yield b"b"

    stream.writelines(lines())
    stream.flush()
    assert peer.read(9) == b"abetweenb"


def test_writelines_of_a_class_with_a_write_of_its_own():
    class Own(Stream):
        def write(self, data, /):
            return super().write(data.upper())

    ours, theirs = fastsock.socketpair()
    with ours, theirs:
        stream = Own(ours)
        stream.writelines([b"a", b"b"])
        with pytest.raises(AttributeError) as caught:
            stream.writelines(iter([b"c", 5]))
        assert caught.value.pieces_accepted == 1 and caught.value.pieces_returned == [5]
        stream.flush()
        assert theirs.recv(10) == b"ABC"


# -- signal handlers inside a class's own method -------------------------------------

class Interruptible(fastsock.socket):
    """Its send() is interrupted after it has sent."""

    def send(self, data, flags=0):
        count = super().send(data, flags)
        signal.raise_signal(signal.SIGUSR1)
        return count


@pytest.fixture
def raising_signal():
    def handle(*_):
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handle)
    yield
    signal.signal(signal.SIGUSR1, before)


@contextlib.contextmanager
def interruptible():
    a, b = stdlib_socket.socketpair()
    with Interruptible(fileno=a.detach()) as ours, b:
        b.settimeout(0)
        yield ours, b


def test_a_stream_sends_nothing_twice_after_an_interrupted_method(raising_signal):
    """How much the method has sent is not known: nothing more is sent."""
    with interruptible() as (ours, theirs):
        stream = Stream(ours, framing=Lines())
        with pytest.raises(Interrupted) as caught:
            stream.send_message(b"once")
        assert caught.value.pieces_accepted == 1
        for call in stream.flush, lambda: stream.send_message(b"more"), stream.close:
            with pytest.raises(OSError, match="was interrupted before"):
                call()
        assert theirs.recv(100) == b"once\n" and theirs.recv(100) == b""


def test_leaving_the_block_does_not_hide_the_interruption(raising_signal):
    with interruptible() as (ours, theirs):
        with pytest.raises(Interrupted), Stream(ours, framing=Lines()) as stream:
            stream.send_message(b"once")
        assert stream.closed and ours.fileno() == -1
        Stream.__new__(Stream).__exit__()  # one that was never made has nothing to close
        assert theirs.recv(100) == b"once\n"


def test_sendmsg_all_through_an_interrupted_method(raising_signal):
    with interruptible() as (ours, _):
        with pytest.raises(Interrupted) as caught:
            ours.sendmsg_all([b"a", b"b"])
        assert caught.value.pieces_accepted == 0 and caught.value.bytes_sent is None
        assert caught.value.pieces_returned == [b"a", b"b"]


class Silent(fastsock.socket):
    """Its sendall() does not report how much it sent."""

    def sendall(self, data, flags=0):
        super().sendall(data[:1])
        raise OSError("full")


class Nonsense(fastsock.socket):
    def send(self, data, flags=0):
        return 0


def test_sendmsg_all_through_a_sendall_that_reports_nothing():
    a, b = stdlib_socket.socketpair()
    with Silent(fileno=a.detach()) as ours, b:
        with pytest.raises(OSError, match="full") as caught:
            ours.sendmsg_all([b"abc"])
        assert caught.value.pieces_accepted == 0 and caught.value.bytes_sent is None


def test_sendmsg_all_through_a_send_that_returns_nonsense():
    a, b = stdlib_socket.socketpair()
    with Nonsense(fileno=a.detach()) as ours, b:
        with pytest.raises(ValueError, match="of 3 bytes returned 0") as caught:
            ours.sendmsg_all([b"abc"])
        assert caught.value.bytes_sent == 0


def test_sendmsg_all_through_tls(python, certificates):
    """ssl.SSLSocket has it where install() came before ssl was imported."""
    python(code="""
import fastsock
fastsock.install()
import socket, ssl
from tests.servers import Certificates, client_context, server_context
a, b = socket.socketpair()
ours = client_context(CERTIFICATES).wrap_socket(a, server_hostname="localhost",
                                                do_handshake_on_connect=False)
theirs = server_context(CERTIFICATES).wrap_socket(b, server_side=True,
                                                  do_handshake_on_connect=False)
for sock in ours, theirs:
    sock.setblocking(False)
left = [ours, theirs]
while left:
    for sock in left[:]:
        try:
            sock.do_handshake()
            left.remove(sock)
        except ssl.SSLWantReadError:
            pass
pieces, got = [bytes([number]) * 40_000 for number in range(50)], bytearray()
def take():
    try:
        while True:
            got.extend(theirs.recv(1 << 20))
    except ssl.SSLWantReadError:
        pass
left, interruptions = pieces, 0
while True:
    try:
        ours.sendmsg_all(left)
        break
    except ssl.SSLWantWriteError as error:
        interruptions += 1
        assert error.pieces_accepted < len(left)
        left = error.pieces_returned
        take()
take()
assert interruptions and got == b"".join(pieces)
""".replace("CERTIFICATES", repr(certificates)), env={"PYTHONPATH": str(ROOT)})
