"""recv_exactly, sendmsg_all and accept_many of classes with methods of their own: these are
used, and what ends a call early says how far it came, as it does for system calls."""

import contextlib
import time

import pytest

import fastsock
from tests.conftest import TIMEOUT_S


class Plain(fastsock.socket):
    """Nothing of its own."""


class Bytewise(fastsock.socket):
    """Receives and sends by pieces of two bytes."""

    def recv(self, size, flags=0):
        return super().recv(min(size, 2), flags)

    def send(self, data, flags=0):
        return super().send(bytes(data)[:2], flags)


class BytewiseInto(fastsock.socket):
    def recv_into(self, buffer, nbytes=0, flags=0):
        return super().recv_into(memoryview(buffer)[:2], nbytes, flags)

    def sendall(self, data, flags=0):
        self.flags = flags
        return super().sendall(data, flags)


@contextlib.contextmanager
def connected(cls):
    a, b = fastsock.socketpair()
    with cls(fileno=a.detach()) as own, b:
        own.settimeout(TIMEOUT_S)
        b.settimeout(TIMEOUT_S)
        yield own, b


CLASSES = pytest.mark.parametrize("cls", [Plain, Bytewise, BytewiseInto])
OWN = pytest.mark.parametrize("cls", [Bytewise, BytewiseInto])
SIZES = pytest.mark.parametrize("size", [7, 9_000])


def exactly(sock, size):
    return sock.recv_exactly(size)


def exactly_into(sock, size):
    buffer = bytearray(size)
    assert sock.recv_exactly_into(buffer) == size
    return bytes(buffer)


WAYS = pytest.mark.parametrize("receive", [exactly, exactly_into])


@CLASSES
@SIZES
@WAYS
@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_all_comes(cls, size, receive, timeout):
    with connected(cls) as (own, peer):
        own.settimeout(timeout)
        data = bytes(range(256)) * 36
        peer.sendall(data[:size] + b"more")
        assert receive(own, size) == data[:size]
        assert peer.send(b"!") and receive(own, 5) == b"more!"


@CLASSES
@SIZES
@WAYS
def test_the_end_before_all_is_there(cls, size, receive):
    with connected(cls) as (own, peer):
        peer.sendall(b"begun")
        peer.shutdown(fastsock.SHUT_WR)
        with pytest.raises(fastsock.IncompleteReadError) as caught:
            receive(own, size)
        assert caught.value.partial == b"begun" and caught.value.expected == size


@CLASSES
@SIZES
@WAYS
@pytest.mark.parametrize("timeout, error", [(0, BlockingIOError), (0.01, TimeoutError)])
def test_nothing_received_is_lost(cls, size, receive, timeout, error):
    with connected(cls) as (own, peer):
        own.settimeout(timeout)
        peer.sendall(b"begun")
        with pytest.raises(error) as caught:
            receive(own, size)
        assert caught.value.partial == b"begun"


def test_the_timeout_bounds_the_whole_of_an_own_receive():
    """Also where each of its calls has what it asks for."""
    class Slow(fastsock.socket):
        def recv(self, size, flags=0):
            data = super().recv(1, flags)
            while time.monotonic() < self.until:
                pass
            return data

    with connected(Slow) as (own, peer):
        own.settimeout(0.01)
        own.until = time.monotonic() + 0.02
        peer.sendall(b"abc")
        with pytest.raises(TimeoutError) as caught:
            own.recv_exactly(3)
        assert caught.value.partial == b"a"
        assert own.recv_exactly(2) == b"bc"


@CLASSES
def test_sendmsg_all_goes_by_their_way(cls):
    with connected(cls) as (own, peer):
        own.sendmsg_all([b"abc", bytearray(b"defgh"), b""], fastsock.MSG_DONTWAIT)
        assert peer.recv_exactly(8) == b"abcdefgh"
        if cls is BytewiseInto:
            assert own.flags == fastsock.MSG_DONTWAIT
        own.sendmsg_all([b"ij"])
        assert peer.recv_exactly(2) == b"ij"


class Half(fastsock.socket):
    """Fails within the second buffer."""
    left = 5

    def send(self, data, flags=0):
        if not self.left:
            raise InterruptedError("no more")
        count = super().send(data[:self.left], flags)
        self.left -= count
        return count


class HalfCounting(fastsock.socket):
    """Fails in the second buffer, and says how much of it went."""

    def sendall(self, data, flags=0):
        if data == b"defgh":
            super().sendall(data[:2])
            error = InterruptedError("no more")
            error.bytes_sent = 2
            raise error
        super().sendall(data)


@pytest.mark.parametrize("cls", [Half, HalfCounting])
def test_what_went_out_before_an_own_send_failed(cls):
    """Also the part of a buffer, by its own sends or as its own exception reports it."""
    with connected(cls) as (own, peer):
        with pytest.raises(InterruptedError) as caught:
            own.sendmsg_all([b"abc", b"defgh", b"ij"])
        assert caught.value.pieces_accepted == 1
        assert caught.value.bytes_sent == 5
        assert [bytes(piece) for piece in caught.value.pieces_returned] == [b"fgh", b"ij"]
        assert peer.recv_exactly(5) == b"abcde"
        peer.settimeout(0)
        with pytest.raises(BlockingIOError):
            peer.recv(1)


@pytest.mark.parametrize("has_own", [False, True])
def test_accept_many_of_a_subclass(has_own):
    """A class with an accept() of its own accepts by it, one at a time."""
    calls = []

    class Own(fastsock.socket):
        def accept(self):
            calls.append(self)
            return super().accept()

    with (Own if has_own else Plain)() as listener, fastsock.socket() as one, \
            fastsock.socket() as other:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(TIMEOUT_S)
        for client in one, other:
            client.connect(listener.getsockname())
        accepted = listener.accept_many()
        assert calls == [listener] * has_own
        assert [address for _, address in accepted] == [
            client.getsockname() for client in (one, other)][:len(accepted)]
        assert len(accepted) == 2 - has_own
        for sock, _ in accepted:
            assert type(sock) is fastsock.socket
            sock.close()
