"""What a transport has beside writing: flow control, its limits, what is known of the
connection, another protocol, buffers of the protocol's. Protocols that raise are in
test_server_raising.py.

As in test_server_protocols.py, a test runs on asyncio's server, on uvloop's and on ours.
"""

import contextlib
import socket

import pytest

from fastsock._handler import HandlerTransport
from tests.conftest import TIMEOUT_S
from tests.protocol_servers import (
    MUCH, Buffering, Recording, read_all, read_exactly, slow_reader,
)
from tests.servers import pattern

BOTH = pytest.mark.parametrize("base", [Recording, Buffering])


# -- reading is paused ---------------------------------------------------------------

@BOTH
@pytest.mark.parametrize("by", ["connection_made", "data", "outside"])
def test_pause_reading(serve, base, by):
    if serve.kind == "uvloop" and by == "connection_made":
        pytest.skip("uvloop begins to read after it all the same")

    class Pausing(base):
        def connection_made(self, transport):
            super().connection_made(transport)
            if by == "connection_made":
                self.pause()

        def note_data(self, data):
            super().note_data(data)
            if by == "data" and len(self.received) == 1:
                self.pause()

        def pause(self):
            self.transport.pause_reading()
            self.transport.pause_reading()
            assert not self.transport.is_reading()

    server = serve(Pausing)
    client, protocol = server.accept()
    before = b""
    if by == "data":
        client.sendall(b"1")
        before = protocol.wait_for_bytes(1)
    elif by == "outside":
        server.call(protocol.pause)
    client.sendall(b"23")
    client.shutdown(socket.SHUT_WR)
    # Another connection is served meanwhile: the loop had every occasion to read.
    server.factory = base
    other, other_protocol = server.accept()
    other.sendall(b"x")
    other_protocol.wait_for_bytes(1)
    assert protocol.received == before and ("eof",) not in protocol.calls
    server.call(protocol.transport.write, b"writing goes on")
    assert read_exactly(client, 15) == b"writing goes on"
    for _ in range(2):
        server.call(protocol.transport.resume_reading)
    protocol.wait_for("lost")
    assert protocol.received == before + b"23"
    assert protocol.main_calls() == [("made",), ("data",), ("eof",), ("lost", None)]


def test_resume_reading_without_a_pause(serve):
    server = serve()
    client, protocol = server.accept()
    server.call(protocol.transport.resume_reading)
    assert server.call(protocol.transport.is_reading)
    client.sendall(b"x")
    protocol.wait_for_bytes(1)


def test_close_while_reading_is_paused(serve):
    server = serve()
    client, protocol = server.accept()
    server.call(protocol.transport.pause_reading)
    server.call(protocol.transport.close)
    assert read_all(client) == b""
    assert protocol.wait_for("lost") == ("lost", None)


# -- writing is paused ------------------------------------------------------------------

def test_the_protocol_is_told_to_pause_and_to_go_on(serve):
    server = serve()
    client, protocol = server.accept()
    for round_ in range(1, 4):
        server.call(protocol.transport.write, MUCH)
        server.call(protocol.transport.write, b"more")  # no second call for that
        assert server.call(protocol.transport.get_write_buffer_size) > 65536
        assert protocol.calls == [("made",)] + [("pause",), ("resume",)] * (
            round_ - 1) + [("pause",)]
        assert read_exactly(client, len(MUCH) + 4) == MUCH + b"more"
        with protocol.changed:
            assert protocol.changed.wait_for(
                lambda: protocol.calls.count(("resume",)) == round_, TIMEOUT_S)
    assert server.call(protocol.transport.get_write_buffer_size) == 0


def test_a_protocol_that_writes_when_told_to_go_on(serve):
    class Streaming(Recording):
        pieces = 40

        def connection_made(self, transport):
            super().connection_made(transport)
            self.is_paused = False
            transport.set_write_buffer_limits(100_000, 50_000)
            self.go_on()

        def go_on(self):
            while self.pieces and not self.is_paused:
                self.pieces -= 1
                self.transport.write(MUCH[:300_000])
            if not self.pieces:
                self.transport.close()

        def pause_writing(self):
            super().pause_writing()
            self.is_paused = True

        def resume_writing(self):
            super().resume_writing()
            self.is_paused = False
            self.go_on()

    server = serve(Streaming)
    client = server.connect()
    assert read_all(client) == MUCH[:300_000] * 40
    protocol = server.protocol()
    protocol.wait_for("lost")
    pauses = [call[0] for call in protocol.calls if call[0] in ("pause", "resume")]
    assert pauses == ["pause", "resume"] * (len(pauses) // 2)


LIMITS = [
    ({}, (16384, 65536)), ({"high": 100}, (25, 100)), ({"low": 100}, (100, 400)),
    ({"high": 0}, (0, 0)), ({"low": 0}, (0, 0)), ({"high": 5, "low": 5}, (5, 5)),
    ({"high": 5, "low": 0}, (0, 5)), ({"high": 3}, (0, 3)), ({"high": None, "low": 7}, (7, 28)),
    ({"high": True}, (0, 1)), ({"high": 1 << 40, "low": 1 << 39}, (1 << 39, 1 << 40))]


def test_set_write_buffer_limits(serve):
    server = serve()
    _, protocol = server.accept()
    transport = protocol.transport
    if serve.kind != "uvloop":  # whose default for `low` is 16
        assert server.call(transport.get_write_buffer_limits) == (16384, 65536)
    assert server.call(transport.get_write_buffer_size) == 0
    for arguments, expected in LIMITS:
        if serve.kind != "uvloop" or max(expected) < 1 << 30:  # its limits are of 32 bits
            assert server.call(lambda: transport.set_write_buffer_limits(**arguments)) is None
            assert server.call(transport.get_write_buffer_limits) == expected


@pytest.mark.parametrize("serve", ["asyncio", "epoll", "poll"], indirect=True)
def test_limits_that_are_floats(serve):
    server = serve()
    _, protocol = server.accept()
    transport = protocol.transport
    for limits in ((10.5, 2.5), (10.5, None), (float("inf"), 0), (1 << 80, 1 << 79)):
        server.call(transport.set_write_buffer_limits, *limits)
    server.call(transport.set_write_buffer_limits, 10.5, 2.5)
    low, high = server.call(transport.get_write_buffer_limits)
    assert (int(low), int(high)) == (2, 10)
    with pytest.raises(ValueError):
        server.call(transport.set_write_buffer_limits, float("nan"))


def test_limits_that_are_refused(serve):
    server = serve()
    _, protocol = server.accept()
    transport = protocol.transport
    server.call(transport.set_write_buffer_limits, 40)
    for arguments in ({"high": 1, "low": 2}, {"high": -1}, {"low": -1}, {"high": 5, "low": -5},
                      {"high": 0, "low": 1}):
        with pytest.raises(ValueError,
                           match=r"high \(-?\d+\) must be >= low \(-?\d+\) must be >= 0"):
            server.call(lambda: transport.set_write_buffer_limits(**arguments))
    with pytest.raises(TypeError):
        server.call(transport.set_write_buffer_limits, "high")
    assert server.call(transport.get_write_buffer_limits) == (10, 40)


def test_limits_of_nothing(serve):
    # asyncio's way to hear of every byte that waits, and of none.
    server = serve()
    client, protocol = server.accept()
    server.call(protocol.transport.set_write_buffer_limits, 0)
    server.call(protocol.transport.write, b"the kernel takes this")
    assert read_exactly(client, 21) and protocol.calls == [("made",)]
    server.call(protocol.transport.write, MUCH)
    protocol.wait_for("pause")
    assert read_exactly(client, len(MUCH)) == MUCH
    protocol.wait_for("resume")
    assert protocol.calls == [("made",), ("pause",), ("resume",)]


def test_small_answers_do_not_pause_a_protocol_with_small_limits(serve):
    class Answering(Recording):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.set_write_buffer_limits(0)

        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"one")
            self.transport.set_write_buffer_limits(0)
            self.transport.write(b"two")

    if serve.kind == "uvloop":
        pytest.skip("uvloop pauses until the turn of its loop ends")
    client, protocol = serve(Answering).accept()
    client.sendall(b"x")
    assert read_exactly(client, 6) == b"onetwo"
    assert protocol.calls == [("made",), ("data",)]


def test_limits_that_are_changed_while_much_waits(serve):
    if serve.kind == "uvloop":
        pytest.skip("uvloop heeds them with the next write")
    server = serve()
    client, protocol = server.accept()
    server.call(protocol.transport.set_write_buffer_limits, 1 << 30, 1 << 29)
    server.call(protocol.transport.write, MUCH)
    assert protocol.calls == [("made",)]
    server.call(protocol.transport.set_write_buffer_limits, 1000)
    assert protocol.calls == [("made",), ("pause",)]
    assert read_exactly(client, len(MUCH)) == MUCH
    protocol.wait_for("resume")


def test_the_size_of_what_waits(serve):
    server = serve()
    client, protocol = server.accept()

    def sizes():
        for data in (b"small", MUCH, b"x", bytearray(10)):
            protocol.transport.write(data)
            yield protocol.transport.get_write_buffer_size()

    first, much, more, most = server.call(lambda: list(sizes()))
    if serve.kind == "uvloop":  # which sends at the end of the turn
        assert first in (0, 5)
    else:
        assert first == 0
    assert 0 < much <= len(MUCH) + first and more == much + 1 and most == more + 10
    assert read_exactly(client, len(MUCH) + 16)[-11:] == b"x" + bytes(10)


# -- what is known of the connection ---------------------------------------------------------

def test_names(serve):
    server = serve()
    client, protocol = server.accept()
    info = protocol.transport.get_extra_info

    def look():
        return info("peername"), info("sockname"), info("nothing"), info("nothing", 5), \
            info("peername", default=5), info("sslcontext"), info("ssl_object", "none"), \
            info("peercert")

    assert server.call(look) == (
        client.getsockname(), client.getpeername(), None, 5, client.getsockname(), None, "none",
        None)


def test_names_at_the_end(serve):
    class Looking(Recording):
        def connection_lost(self, error):
            self.names = [self.transport.get_extra_info(name) for name in ("peername", "sockname")]
            super().connection_lost(error)

    server = serve(Looking)
    client, protocol = server.accept()
    expected = [client.getsockname(), client.getpeername()]
    client.close()
    protocol.wait_for("lost")
    assert protocol.names == expected
    assert server.call(protocol.transport.get_extra_info, "peername") == expected[0]


def test_options_of_the_socket(serve):
    server = serve()
    client, protocol = server.accept()

    def look():
        sock = protocol.transport.get_extra_info("socket")
        assert sock is not None and sock is protocol.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return (sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
                sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0,
                sock.family, sock.type, sock.getpeername(), sock.getsockname(),
                sock.gettimeout(), sock.fileno() >= 0)

    assert server.call(look) == (
        1, True, socket.AF_INET, socket.SOCK_STREAM, client.getsockname(), client.getpeername(),
        0, True)
    client.sendall(b"x")
    protocol.wait_for_bytes(1)


def test_the_socket_is_closed_with_the_connection(serve):
    server = serve()
    client, protocol = server.accept()
    sock = server.call(protocol.transport.get_extra_info, "socket")
    client.close()
    protocol.wait_for("lost")
    server.call(lambda: None)  # its fd is closed after connection_lost()
    server.call(lambda: None)
    assert sock.fileno() == -1


# -- another protocol ---------------------------------------------------------------------------

@pytest.mark.parametrize("first", [Recording, Buffering])
@pytest.mark.parametrize("second", [Recording, Buffering])
def test_set_protocol(serve, first, second):
    class Handing(first):
        def note_data(self, data):
            super().note_data(data)
            self.next = second()
            self.next.connection_made(self.transport)
            assert self.transport.get_protocol() is self
            self.transport.set_protocol(self.next)
            assert self.transport.get_protocol() is self.next
            self.transport.write(b"go on")

    client, protocol = serve(Handing).accept()
    client.sendall(b"one")
    assert read_exactly(client, 5) == b"go on"
    client.sendall(b"two")
    client.close()
    assert protocol.next.wait_for("lost") == ("lost", None)
    assert protocol.calls == [("made",), ("data",)] and protocol.received == b"one"
    assert protocol.next.received == b"two"
    assert protocol.next.calls == [("made",), ("data",), ("eof",), ("lost", None)]


# -- buffers of the protocol's ------------------------------------------------------------------

BUFFERS = {
    "one byte": lambda count: bytearray(1), "seven": lambda count: bytearray(7),
    "growing": lambda count: bytearray(1 + count * 3 % 5000),
    "memoryview": lambda count: memoryview(bytearray(1000)),
    "part": lambda count: memoryview(bytearray(1000))[10:20 + count],
    "large": lambda count: bytearray(1 << 20),
}


@pytest.mark.parametrize("name", BUFFERS)
def test_buffers_that_change(serve, name):
    class Changing(Buffering):
        count = 0

        def get_buffer(self, sizehint):
            assert type(sizehint) is int
            self.count += 1
            self.buffer = BUFFERS[name](self.count)
            return self.buffer

    data = pattern(9973)
    client, protocol = serve(Changing).accept()
    client.sendall(data)
    client.close()
    assert protocol.wait_for("lost") == ("lost", None)
    assert protocol.received == data


@pytest.mark.parametrize("buffer", [bytearray(), memoryview(b""), b"read-only", None, "text", 5],
                         ids=["empty", "empty view", "bytes", "None", "text", "number"])
def test_get_buffer_that_returns_none(serve, buffer):
    class Wrong(Buffering):
        def get_buffer(self, sizehint):
            return buffer

    client, protocol = serve(Wrong).accept()
    client.sendall(b"x")
    with contextlib.suppress(ConnectionResetError):  # what was sent may be unread
        assert read_all(client) == b""
    error = protocol.wait_for("lost")[1]
    assert issubclass(error, Exception)
    assert protocol.calls == [("made",), ("lost", error)]


@pytest.mark.parametrize("end", ["close", "abort"])
def test_the_end_in_get_buffer(serve, end):
    if serve.kind == "uvloop":
        pytest.skip("uvloop crashes when it is aborted there")

    class Ending(Buffering):
        def get_buffer(self, sizehint):
            getattr(self.transport, end)()
            return super().get_buffer(sizehint)

    client, protocol = serve(Ending).accept()
    client.sendall(b"x")
    assert read_all(client) == b""
    assert protocol.wait_for("lost") == ("lost", None)


# -- ours only -------------------------------------------------------------------------------------

def test_write_high_water(serve_ours):
    server = serve_ours(write_high_water=1000)
    _, protocol = server.accept()
    assert server.call(protocol.transport.get_write_buffer_limits) == (250, 1000)


def test_the_transport_says_how_it_is(serve_ours):
    server = serve_ours()
    client, protocol = server.accept()
    assert " open>" in server.call(repr, protocol.transport)
    client.close()
    protocol.wait_for("lost")
    server.call(lambda: None)
    assert " ended>" in server.call(repr, protocol.transport)
    for cls in (type(protocol.transport), HandlerTransport):
        for make in (cls, lambda: cls.__new__(cls), lambda: cls.__new__(cls, object())):
            with pytest.raises(TypeError, match="connections are made by a Server"):
                make()


def test_a_slow_peer_is_served_to_the_end(serve_ours):
    server = serve_ours()
    with socket.socket() as client:
        slow_reader(client)
        client.settimeout(TIMEOUT_S)
        client.connect(server.address)
        protocol = server.protocol()
        server.call(protocol.transport.write, MUCH[:1 << 20])
        server.call(protocol.transport.close)
        assert read_all(client, 1000) == MUCH[:1 << 20]
