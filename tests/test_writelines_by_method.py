"""writelines() of a Stream subclass with a write() of its own, which may fail once it has written."""

import contextlib
import socket as stdlib_socket

import pytest

import fastsock
from fastsock import Stream
from fastsock.framing import Lines
from tests.streams import Interrupted

PIECES = [b"one", b"two", b"three"]


class Failing(Stream):
    """Fails at its second call, after it has passed the piece on in one of these ways."""
    calls, way = 0, None

    def write(self, data, /):
        self.calls += 1
        count = self.way(super(), data)
        if self.calls == 2:
            raise Interrupted
        return count


WAYS = {
    "as it is": lambda base, data: base.write(data),
    "changed": lambda base, data: base.write(data.upper()),
    "in two": lambda base, data: base.write(data[:1]) + base.write(data[1:]),
    "as a message": lambda base, data: base.send_message(data),
}


@contextlib.contextmanager
def stream_of(cls, **keywords):
    a, b = stdlib_socket.socketpair()
    with fastsock.socket(fileno=a.detach()) as ours, b:
        b.settimeout(0)
        yield cls(ours, framing=Lines(), **keywords), b


@pytest.mark.parametrize("high_water", [1, 65536])
@pytest.mark.parametrize("way", ["as it is", "changed", "in two", "as a message"])
def test_what_was_passed_on_is_accepted(way, high_water):
    with stream_of(Failing, high_water=high_water) as (stream, peer):
        stream.way = WAYS[way]
        iterator = iter(PIECES)
        with pytest.raises(Interrupted) as caught:
            stream.writelines(iterator)
        assert caught.value.pieces_accepted == 2 and caught.value.pieces_returned == []
        sent = peer.recv(100) if caught.value.bytes_sent else b""
        assert len(sent) == caught.value.bytes_sent
        stream.writelines(iterator)
        stream.flush()
        assert (sent + peer.recv(100)).upper().replace(b"\n", b"") == b"ONETWOTHREE"


@pytest.mark.parametrize("error", [Interrupted, TypeError])
def test_what_was_not_passed_on_is_returned(error):
    class Refusing(Stream):
        def write(self, data, /):
            if data == b"two" and error is Interrupted:
                raise Interrupted
            return super().write(5 if data == b"two" else data)

    with stream_of(Refusing) as (stream, peer):
        with pytest.raises(error) as caught:
            stream.writelines(iter(PIECES))
        assert caught.value.pieces_accepted == 1 and caught.value.pieces_returned == [b"two"]
        stream.flush()
        assert peer.recv(100) == b"one"


def test_a_piece_that_was_kept_in_part_is_returned():
    class Halves(Stream):
        def write(self, data, /):
            super().write(data[:1])
            super().write(data[1:] if data != b"two" else None)

    with stream_of(Halves) as (stream, _):
        with pytest.raises(TypeError) as caught:
            stream.writelines(PIECES)
        assert caught.value.pieces_accepted == 1 and caught.value.pieces_returned == [b"two"]


def test_a_write_that_can_not_send_first_accepts_nothing():
    class Own(Stream):
        def write(self, data, /):
            return super().write(data)

    with stream_of(Own, high_water=10) as (stream, peer):
        stream.sock.settimeout(0)
        pieces, got = [b"%07d" % number for number in range(200_000)], bytearray()
        left = pieces
        while left:
            try:
                stream.writelines(left)
                break
            except BlockingIOError as error:
                left = left[error.pieces_accepted:]
                before = len(got)
                with contextlib.suppress(BlockingIOError):
                    while piece := peer.recv(1 << 20):
                        got += piece
                assert len(got) - before == error.bytes_sent
        stream.flush()
        got += peer.recv(1 << 20)
        assert got == b"".join(pieces)
