"""What is known of a class's own sendall() that fails, over streams and by sendmsg_all()."""

import contextlib
import socket as stdlib_socket

import pytest

import fastsock
from fastsock import Stream
from tests.servers import pattern

DATA = pattern(3_000_000)
CHUNK = 10_000


class Chunked(fastsock.socket):
    """Several calls of another: the `bytes_sent` of the last one is not its own."""

    def sendall(self, data, flags=0):
        view = memoryview(data)
        for start in range(0, len(view), CHUNK):
            super().sendall(view[start:start + CHUNK], flags)


class Counting(fastsock.socket):
    """The same; it counts itself."""

    def sendall(self, data, flags=0):
        view, sent = memoryview(data), 0
        try:
            for start in range(0, len(view), CHUNK):
                super().sendall(view[start:start + CHUNK], flags)
                sent += min(CHUNK, len(view) - start)
        except OSError as error:
            error.bytes_sent += sent
            error.bytes_given = len(view)
            raise


class Own(Counting):
    """The same, by an exception of its own."""

    def sendall(self, data, flags=0):
        try:
            super().sendall(data, flags)
        except OSError as error:
            own = BlockingIOError("full")
            own.bytes_sent = error.bytes_sent
            raise own from error


class Wrapped(fastsock.socket):
    """Sends more than it is given."""

    def sendall(self, data, flags=0):
        super().sendall(b"<" + bytes(data) + b">", flags)


class Once(fastsock.socket):
    """Sends something else of the same size."""

    def sendall(self, data, flags=0):
        super().sendall(bytes(data), flags)


def by_stream(sock, drain):
    stream = Stream(sock)
    stream.write(DATA)
    while True:
        try:
            stream.flush()
            return True
        except BlockingIOError as error:
            is_known = error.bytes_sent is not None
            drain()
        except OSError as error:
            assert "not known" in str(error) and not is_known
            return False


def by_sendmsg_all(sock, drain):
    left = [DATA[:100], DATA[100:]]
    while True:
        try:
            sock.sendmsg_all(left)
            return True
        except BlockingIOError as error:
            if error.bytes_sent is None:
                return False
            left = error.pieces_returned
            drain()


@pytest.mark.parametrize("send", [by_stream, by_sendmsg_all])
@pytest.mark.parametrize("cls, is_known", [
    (Chunked, False), (Wrapped, False), (Counting, True), (Own, True), (Once, True)])
def test_nothing_is_sent_twice(cls, is_known, send):
    a, b = stdlib_socket.socketpair()
    got = bytearray()

    def drain():
        with contextlib.suppress(BlockingIOError):
            while piece := b.recv(1 << 20):
                got.extend(piece)

    with cls(fileno=a.detach()) as sock, b:
        sock.settimeout(0)
        b.settimeout(0)
        assert send(sock, drain) is is_known
        drain()
        if is_known:
            assert got == DATA
        elif cls is Chunked:
            assert DATA.startswith(got)


@pytest.mark.parametrize("given", ["3", None, 3.0, 4])
def test_a_size_that_does_not_fit(given):
    class Wrong(fastsock.socket):
        def sendall(self, data, flags=0):
            error = OSError("full")
            error.bytes_sent, error.bytes_given = 1, given
            raise error

    a, b = stdlib_socket.socketpair()
    with Wrong(fileno=a.detach()) as sock, b:
        with pytest.raises(OSError, match="full") as caught:
            sock.sendmsg_all([b"abc"])
        assert caught.value.bytes_sent is None


def test_a_socket_reports_what_it_was_given():
    a, b = fastsock.socketpair()
    with a, b:
        a.settimeout(0)
        with pytest.raises(BlockingIOError) as caught:
            a.sendall(DATA)
        assert caught.value.bytes_given == len(DATA) > caught.value.bytes_sent > 0
