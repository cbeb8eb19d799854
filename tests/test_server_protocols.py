"""What a protocol is told and what its peer sees: the calls, writing, the end.

Every test runs on asyncio's server, on uvloop's and on fastsock.Server by epoll(7) and
by poll(2), and says the same of all. Flow control and the rest of what a transport
has are in test_server_transports.py.
"""

import socket
import sys
import threading

import pytest

from tests.protocol_servers import MUCH, Buffering, Recording, read_all, read_exactly, reset
from tests.servers import pattern

BOTH = pytest.mark.parametrize("base", [Recording, Buffering])


def keeping_open(base):
    return type("KeepingOpen", (base,), {"keeps_open": True})


class Echo(Recording):
    """Sends all back, and waits for its peer to read."""

    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


# -- the calls ---------------------------------------------------------------------

@BOTH
@pytest.mark.parametrize("answer", [None, False])
def test_a_connection_from_beginning_to_end(serve, base, answer):
    server = serve(type("Answering", (base,), {"keeps_open": answer}))
    client, protocol = server.accept()
    client.sendall(b"question")
    assert protocol.wait_for_bytes(8) == b"question"
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b""  # the end of both directions
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), ("data",), ("eof",), ("lost", None)]


@BOTH
def test_a_connection_that_says_nothing(serve, base):
    client, protocol = serve(base).accept()
    client.close()
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), ("eof",), ("lost", None)]


@BOTH
@pytest.mark.parametrize("answer", [True, "yes"])
def test_a_protocol_that_keeps_the_connection_open(serve, base, answer):
    server = serve(type("Answering", (base,), {"keeps_open": answer}))
    client, protocol = server.accept()
    client.shutdown(socket.SHUT_WR)
    protocol.wait_for("eof")
    assert not server.call(protocol.transport.is_closing)
    server.call(protocol.transport.write, b"said after the peer's end")
    assert read_exactly(client, 25) == b"said after the peer's end"
    server.call(protocol.transport.close)
    assert read_all(client) == b""
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), ("eof",), ("lost", None)]


@BOTH
def test_a_connection_that_is_reset(serve, base):
    client, protocol = serve(base).accept()
    client.sendall(b"x")
    protocol.wait_for_bytes(1)
    reset(client)
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), ("data",), ("lost", ConnectionResetError)]


def test_a_connection_that_is_reset_while_much_waits(serve):
    server = serve()
    client, protocol = server.accept()
    server.call(protocol.transport.pause_reading)
    server.call(protocol.transport.write, MUCH)
    protocol.wait_for("pause")
    reset(client)
    error = protocol.wait_for("lost")[1]
    assert issubclass(error, (ConnectionResetError, BrokenPipeError))
    assert protocol.calls == [("made",), ("pause",), ("lost", error)]


def test_a_client_that_is_gone_before_it_was_accepted(serve):
    server = serve()
    blocked, go_on = threading.Event(), threading.Event()
    server.call_soon_threadsafe(lambda: (blocked.set(), go_on.wait(20)))
    blocked.wait(20)
    reset(server.connect())
    client = server.connect()
    client.sendall(b"x")
    go_on.set()
    # Whether the first is heard of at all is the system's business.
    protocol = server.protocol()
    if protocol.wait_for("data", "lost")[0] == "lost":
        protocol = server.protocol()
    protocol.wait_for_bytes(1)
    assert protocol.calls == [("made",), ("data",)]


def test_many_connections(serve):
    server = serve(Echo)
    clients = [server.connect() for _ in range(150)]
    for number, client in enumerate(clients):
        client.sendall(b"%d" % number)
    for number, client in enumerate(clients):
        assert read_exactly(client, len(b"%d" % number)) == b"%d" % number
    for client in clients:
        client.close()
    for _ in clients:
        protocol = server.protocol()
        protocol.wait_for("lost")
        assert protocol.calls == [("made",), ("data",), ("eof",), ("lost", None)]


# -- what is written ------------------------------------------------------------------

BUFFERS = {
    "bytes": b"some bytes", "empty": b"", "bytearray": bytearray(b"some bytes"),
    "memoryview": memoryview(b"some bytes"), "part": memoryview(b"some bytes")[2:-2],
    "empty bytearray": bytearray(), "empty memoryview": memoryview(b""),
    "subclass": type("Bytes", (bytes,), {})(b"some bytes"), "much": pattern(1 << 20),
    "much in a bytearray": bytearray(pattern(1 << 20)),
}


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_write(serve, inside):
    """Inside of a callback and outside; what is written before and after stays around it."""
    def say(name):
        for piece in (b"(", BUFFERS[name], b"|", BUFFERS[name], b")"):
            assert protocol.transport.write(piece) is None

    class Saying(Recording):
        def data_received(self, received):
            say(received.decode())

    server = serve(Saying)
    client, protocol = server.accept()
    for name, data in BUFFERS.items():
        if inside:
            client.sendall(name.encode())
        else:
            server.call(say, name)
        expected = b"(%b|%b)" % (data, data)
        assert read_exactly(client, len(expected)) == expected, name
    client.close()
    protocol.wait_for("lost")
    for data in BUFFERS.values():
        if type(data) is bytearray:
            data.append(0)  # nobody holds it
            data.pop()


NO_BYTES = [None, "text", 5, [b"x"], (b"x",), object(), 1.5]


def test_write_refuses_what_are_no_bytes(serve):
    if serve.kind == "uvloop":
        pytest.skip("uvloop fails later")
    server = serve()
    client, protocol = server.accept()
    for data in NO_BYTES:
        with pytest.raises(TypeError):
            server.call(protocol.transport.write, data)
    server.call(protocol.transport.write, b"still there")
    assert read_exactly(client, 11) == b"still there"


@pytest.mark.parametrize("size", [10, 100_000, 16 << 20])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_what_is_changed_after_write_was_sent_as_it_was(serve, size, inside):
    if serve.kind == "uvloop" or serve.kind == "asyncio" and sys.version_info >= (3, 12):
        pytest.skip(f"{serve.kind} keeps the buffer itself")
    original = MUCH[:size]
    buffer = bytearray(original)

    def say(transport):
        transport.write(b"first")
        transport.write(buffer)
        transport.write(memoryview(buffer))
        buffer[:] = bytes(size)

    class Saying(Recording):
        def data_received(self, data):
            say(self.transport)

    server = serve(Saying)
    client, protocol = server.accept()
    if inside:
        client.sendall(b"say")
    else:
        server.call(say, protocol.transport)
    assert read_exactly(client, 5 + 2 * size) == b"first" + original * 2


PIECES = {
    "list": [b"a", b"bc", b"", b"def"], "tuple": (b"a", b"bc"), "none": [],
    "kinds": [b"a", bytearray(b"b"), memoryview(b"c")],
    "numbers": [memoryview(b"12345678").cast("I")],
    "many": [b"%d," % number for number in range(1000)],
    "much": [pattern(1 << 20), b"!", pattern(100_000)],
}


def loses_in_writelines(serve):
    """From 3.12 on asyncio counts items and not bytes there, and drops what is false."""
    return serve.kind == "asyncio" and sys.version_info >= (3, 12)


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("make", [lambda pieces: pieces, iter], ids=["itself", "iterator"])
def test_writelines(serve, inside, make):
    def say(name):
        protocol.transport.write(b"(")
        assert protocol.transport.writelines(make(PIECES[name])) is None
        protocol.transport.write(b")")

    class Saying(Recording):
        def data_received(self, received):
            say(received.decode())

    if make is iter and loses_in_writelines(serve):
        pytest.skip("asyncio takes any iterator for something to send, and fails if it is empty")
    server = serve(Saying)
    client, protocol = server.accept()
    for name, pieces in PIECES.items():
        if name == "numbers" and loses_in_writelines(serve):
            continue
        if inside:
            client.sendall(name.encode())
        else:
            server.call(say, name)
        expected = b"(" + b"".join(pieces) + b")"
        assert read_exactly(client, len(expected)) == expected, name


def test_writelines_refuses_what_are_no_bytes(serve):
    if serve.kind == "uvloop":
        pytest.skip("uvloop fails later")
    if loses_in_writelines(serve):
        pytest.skip("asyncio drops what is false")
    server = serve()
    client, protocol = server.accept()
    for wrong in NO_BYTES:
        with pytest.raises(TypeError):
            server.call(protocol.transport.writelines, [wrong])
    with pytest.raises(TypeError):
        server.call(protocol.transport.writelines, 5)
    server.call(protocol.transport.write, b"still there")
    assert read_exactly(client, 11) == b"still there"


def test_writelines_sends_nothing_of_what_it_refuses(serve):
    if serve.kind == "uvloop":
        pytest.skip("uvloop sends what came before")
    if loses_in_writelines(serve):
        pytest.skip("asyncio keeps what came before")
    server = serve()
    client, protocol = server.accept()
    with pytest.raises(TypeError):
        server.call(protocol.transport.writelines, [b"before", "text", b"after"])
    server.call(protocol.transport.write, b"next")
    server.call(protocol.transport.close)
    assert read_all(client) == b"next"


def test_writing_in_each_callback(serve):
    class Talkative(Recording):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"made ")

        def data_received(self, data):
            super().data_received(data)
            self.transport.write(b"data ")

        def eof_received(self):
            self.transport.write(b"eof")
            return super().eof_received()

        def connection_lost(self, error):
            self.transport.write(b"nobody hears this")
            assert self.transport.is_closing()
            super().connection_lost(error)

    client, protocol = serve(Talkative).accept()
    assert read_exactly(client, 5) == b"made "
    client.sendall(b"x")
    assert read_exactly(client, 5) == b"data "
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"eof"
    assert protocol.wait_for("lost") == ("lost", None)


# -- the end of writing ----------------------------------------------------------------

@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize("size", [4, 8 << 20])
def test_write_eof(serve, inside, size):
    def say(transport):
        assert transport.can_write_eof() is True
        transport.write(MUCH[:size])
        transport.write_eof()
        transport.write_eof()
        assert not transport.is_closing()
        for write in (lambda: transport.write(b"x"), lambda: transport.writelines([b"x"]),
                      lambda: transport.write(b"")):
            with pytest.raises(RuntimeError, match="after write_eof"):
                write()

    class Saying(Recording):
        def data_received(self, data):
            super().data_received(data)
            if data.startswith(b"say"):
                say(self.transport)

    server = serve(Saying)
    client, protocol = server.accept()
    if inside:
        client.sendall(b"say")
    else:
        server.call(say, protocol.transport)
    assert read_all(client) == MUCH[:size]
    client.sendall(b"heard, after the server's end")  # it reads on
    protocol.wait_for_bytes(29)
    client.close()
    protocol.wait_for("lost")
    assert protocol.main_calls() == [("made",), ("data",), ("eof",), ("lost", None)]


def test_half_closed_both_ways(serve):
    # Each direction ends by itself: first the client's, with much on its way back.
    server = serve(keeping_open(Recording))
    client, protocol = server.accept()
    client.sendall(b"question")
    client.shutdown(socket.SHUT_WR)
    protocol.wait_for("eof")
    server.call(protocol.transport.write, MUCH)
    server.call(protocol.transport.write_eof)
    assert read_all(client) == MUCH
    server.call(protocol.transport.close)
    protocol.wait_for("lost")
    assert protocol.received == b"question"
    assert protocol.main_calls() == [("made",), ("data",), ("eof",), ("lost", None)]


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
def test_close_sends_what_waits(serve, inside):
    def say(transport):
        transport.write(MUCH)
        transport.write(b"last")
        transport.close()
        assert transport.is_closing() and not transport.is_reading()
        transport.close()

    class Saying(Recording):
        def data_received(self, data):
            super().data_received(data)
            say(self.transport)

    server = serve(Saying)
    client, protocol = server.accept()
    if inside:
        client.sendall(b"x")
    else:
        server.call(say, protocol.transport)
    protocol.wait_for("pause")
    assert read_all(client) == MUCH + b"last"
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), *[("data",)] * inside, ("pause",), ("resume",),
                              ("lost", None)]


@pytest.mark.parametrize("end", ["close", "abort"])
def test_after_the_end_nothing_happens(serve, end):
    def end_it(transport):
        getattr(transport, end)()
        transport.write(b"not sent")
        if serve.kind != "asyncio" or not (3, 12) <= sys.version_info < (3, 14):
            transport.writelines([b"not", b"sent"])  # asyncio's was broken there
        transport.write_eof()
        transport.pause_reading()
        transport.resume_reading()
        transport.close()
        transport.abort()
        assert transport.is_closing()

    server = serve()
    client, protocol = server.accept()
    server.call(end_it, protocol.transport)
    assert read_all(client) == b""
    protocol.wait_for("lost")
    if serve.kind != "uvloop":  # which refuses to be used then
        server.call(end_it, protocol.transport)
    assert protocol.calls == [("made",), ("lost", None)]


def test_abort_drops_what_waits(serve):
    server = serve()
    client, protocol = server.accept()
    server.call(protocol.transport.write, MUCH)
    protocol.wait_for("pause")
    server.call(protocol.transport.abort)
    received = read_all(client)
    assert len(received) < len(MUCH) and MUCH.startswith(received)
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), ("pause",), ("lost", None)]


def test_abort_ends_a_close_that_waits(serve):
    server = serve()
    client, protocol = server.accept()
    server.call(protocol.transport.write, MUCH)
    server.call(protocol.transport.close)
    assert protocol.calls == [("made",), ("pause",)]
    server.call(protocol.transport.abort)
    assert len(read_all(client)) < len(MUCH)
    assert protocol.wait_for("lost") == ("lost", None)


@pytest.mark.parametrize("callback", ["connection_made", "data_received", "eof_received"])
def test_close_in_each_callback(serve, callback):
    def closing(self, *arguments):
        result = getattr(Recording, callback)(self, *arguments)
        self.transport.write(b"bye")
        self.transport.close()
        return result

    server = serve(type("Closing", (Recording,), {callback: closing}))
    client = server.connect()
    if callback != "connection_made":
        client.sendall(b"x")
    if callback == "eof_received":
        client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b"bye"
    protocol = server.protocol()
    protocol.wait_for("lost")
    assert protocol.calls[-1] == ("lost", None) and len(protocol.calls) <= 4


# -- much ---------------------------------------------------------------------------------

def test_many_small_messages_one_after_another(serve):
    class Numbering(Recording):
        def data_received(self, data):
            for _ in range(data.count(b"\n")):
                self.transport.write(b"%d\n" % self.count)
                self.count += 1

        count = 0

    client, _ = serve(Numbering).accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(5000):
        client.sendall(b"\n")
    expected = b"".join(b"%d\n" % number for number in range(5000))
    assert read_exactly(client, len(expected)) == expected


@pytest.mark.parametrize("read_size", [7000, 1 << 20])
def test_much_both_ways_at_once(serve, read_size):
    client, protocol = serve(Echo).accept()
    sending = threading.Thread(
        target=lambda: (client.sendall(MUCH), client.shutdown(socket.SHUT_WR)))
    sending.start()
    assert read_all(client, read_size) == MUCH
    sending.join()
    assert protocol.wait_for("lost") == ("lost", None)


@BOTH
def test_much_to_the_server(serve, base):
    client, protocol = serve(base).accept()
    client.sendall(MUCH)
    client.close()
    assert protocol.wait_for("lost") == ("lost", None)
    assert protocol.received == MUCH
