"""A connection that changes its protocol: by set_protocol(), with and without TLS, from and to
both kinds, in every callback; and by a method of the protocol that is replaced.

A test runs on asyncio's server, on uvloop's and on ours.
"""

import asyncio
import ssl

import pytest

from tests.protocol_servers import Buffering, Recorder, Recording, read_exactly

KINDS = {"plain": Recording, "buffered": Buffering}
ALL = pytest.mark.parametrize("first, second", [
    (first, second) for first in KINDS for second in KINDS])


@pytest.fixture(scope="module")
def contexts():
    """Of a server and of a client that trusts it."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


@pytest.fixture(params=["tcp", "tls"])
def accept(request, serve, contexts):
    """accept(protocol_class): a client, and its protocol."""
    def accept(factory):
        if request.param == "tcp":
            return (server := serve(factory)).accept() + (server,)
        server = serve(factory, ssl_context=contexts[0])
        client = server.peers.enter_context(contexts[1].wrap_socket(
            server.connect(), server_hostname="localhost"))
        return client, server.protocol(), server

    accept.kind = serve.kind
    accept.has_tls = request.param == "tls"
    return accept


def switching(first, second, place, size=4096):
    """A class that hands its connection over; `next` is to whom."""
    class Switching(KINDS[first]):
        next = None

        def switch(self):
            if self.next is None:
                self.next = KINDS[second]()
                self.next.connection_made(self.transport)
                self.transport.set_protocol(self.next)

        def connection_made(self, transport):
            super().connection_made(transport)
            if place == "connection_made":
                self.switch()

        def note_data(self, data):
            super().note_data(data)
            if place == "data":
                self.switch()

        if first == "buffered":
            def __init__(self):
                super().__init__()
                self.buffer = bytearray(size)

            def get_buffer(self, sizehint):
                if place == "get_buffer":
                    self.switch()
                return super().get_buffer(sizehint)

    return Switching


@ALL
@pytest.mark.parametrize("place", ["connection_made", "data", "call_soon"])
@pytest.mark.parametrize("much", [False, True], ids=["little", "much"])
def test_set_protocol(accept, first, second, place, much):
    """The data behind the switch goes to the second, and none is lost or seen twice."""
    client, protocol, server = accept(switching(first, second, place, size=10))
    data = bytes(range(256)) * (100 if much else 1)
    if place == "call_soon":
        client.sendall(data[:5])
        protocol.wait_for_bytes(5)
        server.call(protocol.switch)
        client.sendall(data[5:])
    else:
        client.sendall(data)
    while protocol.next is None:
        protocol.wait_for("data")
    behind = protocol.next
    taken = bytes(protocol.received)
    if place == "connection_made":
        assert taken == b""
    elif first == "buffered" and place == "data":
        assert taken == data[:10]  # its buffer's size: all else is left over
    assert taken + behind.wait_for_bytes(len(data) - len(taken)) == data
    server.call(protocol.transport.write, b"still open")
    assert read_exactly(client, 10) == b"still open"
    client.close()
    behind.wait_for("lost")
    assert ("lost", None) not in protocol.calls and ("eof",) not in protocol.calls
    assert server.call(lambda: protocol.received == taken)


@ALL
def test_set_protocol_in_eof_received(accept, first, second):
    class Switching(KINDS[first]):
        def eof_received(self):
            super().eof_received()
            self.next = KINDS[second]()
            self.next.connection_made(self.transport)
            self.transport.set_protocol(self.next)

    client, protocol, _ = accept(Switching)
    client.sendall(b"x")
    protocol.wait_for_bytes(1)
    if isinstance(client, ssl.SSLSocket):
        client.unwrap().close()
    else:
        client.close()
    protocol.wait_for("eof")
    assert protocol.next.wait_for("lost") == ("lost", None)
    assert protocol.next.calls == [("made",), ("lost", None)]
    assert protocol.calls == [("made",), ("data",), ("eof",)]


@ALL
def test_set_protocol_while_reading_is_paused(accept, first, second):
    """What was decrypted meanwhile is for the one that is there when reading is resumed."""
    if accept.kind in ("asyncio", "uvloop") and first == "buffered":
        pytest.skip("their TLS fills the buffer again while reading is paused")

    class Pausing(KINDS[first]):
        def note_data(self, data):
            super().note_data(data)
            self.transport.pause_reading()

    client, protocol, server = accept(Pausing)
    client.sendall(b"before")
    protocol.wait_for("data")
    before = server.call(lambda: bytes(protocol.received))
    client.sendall(b" and after")
    second = KINDS[second]()

    def switch():
        second.connection_made(protocol.transport)
        protocol.transport.set_protocol(second)
        protocol.transport.resume_reading()

    server.call(switch)
    rest = b"before and after"[len(before):]
    assert second.wait_for_bytes(len(rest)) == rest


def test_back_and_forth(accept):
    """Each byte to another one, of the other kind."""
    taken = bytearray()

    class Plain(Recording):
        def data_received(self, data):
            super().data_received(data)
            taken.extend(data)
            self.transport.set_protocol(self.other)

    class Filled(Buffering):
        size = 1

        def buffer_updated(self, count):
            super().buffer_updated(count)
            taken.extend(self.buffer[:count])
            self.transport.set_protocol(self.other)

    class First(Filled):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.other = Plain()
            self.other.other = self
            self.other.connection_made(transport)

    client, protocol, server = accept(First)
    for number in range(50):
        client.sendall(b"%03d" % number)
    expected = b"".join(b"%03d" % number for number in range(50))
    while server.call(lambda: len(taken)) < len(expected):
        pass
    assert taken == expected
    assert server.call(protocol.transport.get_protocol) in (protocol, protocol.other)


# -- which kind a protocol is ---------------------------------------------------------------

class Delegating(asyncio.Protocol):
    """With every attribute: a Protocol for asyncio, which looks at the class."""

    def __init__(self):
        self.target = Recording()

    def data_received(self, data):
        self.target.data_received(data)

    def connection_made(self, transport):
        self.transport = transport
        self.target.connection_made(transport)

    def __getattr__(self, name):
        return getattr(self.target, name)

    def get_buffer(self, sizehint):
        raise AssertionError("it is no BufferedProtocol")

    def buffer_updated(self, count):
        raise AssertionError("it is no BufferedProtocol")


def test_a_protocol_that_has_the_methods_of_both(accept):
    client, protocol, _ = accept(Delegating)
    client.sendall(b"x")
    assert protocol.wait_for_bytes(1) == b"x"


def test_a_buffered_protocol_that_has_the_methods_of_both(accept):
    class Both(Buffering):
        def data_received(self, data):
            raise AssertionError("it is a BufferedProtocol")

    client, protocol, _ = accept(Both)
    client.sendall(b"x")
    assert protocol.wait_for_bytes(1) == b"x"


# -- state functions ---------------------------------------------------------------------------

class States(Recording):
    """Replaces its own data_received()."""

    tells_transport = True

    def data_received(self, data):
        self.data_received = self.second
        if self.tells_transport:
            self.transport.set_protocol(self)
        self.note_data(b"first:" + data)

    def second(self, data):
        self.note_data(b"second:" + data)


def test_a_data_received_that_is_replaced(accept):
    client, protocol, _ = accept(States)
    client.sendall(b"x")
    protocol.wait_for_bytes(7)
    client.sendall(b"y")
    assert protocol.wait_for_bytes(15) == b"first:xsecond:y"


def test_a_data_received_that_is_replaced_in_silence(accept):
    """A difference from asyncio that uvloop has, too: docs/differences.md."""
    client, protocol, _ = accept(type("Silent", (States,), {"tells_transport": False}))
    client.sendall(b"x")
    protocol.wait_for_bytes(7)
    client.sendall(b"y")
    if accept.kind == "asyncio" or accept.kind == "uvloop" and accept.has_tls:
        assert protocol.wait_for_bytes(15) == b"first:xsecond:y"
    else:
        assert protocol.wait_for_bytes(14) == b"first:xfirst:y"


def test_a_buffer_updated_that_is_replaced(serve):
    if serve.kind == "uvloop":
        pytest.skip("uvloop looks it up once")

    class States(Buffering):
        def buffer_updated(self, count):
            self.buffer_updated = self.second
            super().buffer_updated(count)

        def second(self, count):
            self.note_data(b"second:" + self.buffer[:count])

    client, protocol = serve(States).accept()
    client.sendall(b"x")
    protocol.wait_for_bytes(1)
    client.sendall(b"y")
    assert protocol.wait_for_bytes(9) == b"xsecond:y"


@pytest.mark.parametrize("serve", ["asyncio", "epoll", "poll"], indirect=True)
def test_a_class_of_no_kind_with_the_methods_of_both(serve):
    """It is a Protocol, as for asyncio, which looks for BufferedProtocol's base."""
    class Both(Recorder):
        def data_received(self, data):
            self.note_data(data)

        def get_buffer(self, sizehint):
            raise AssertionError("get_buffer() was called")

        def buffer_updated(self, count):
            raise AssertionError("buffer_updated() was called")

    server = serve(Both)
    client, protocol = server.accept()
    client.sendall(b"hello")
    assert protocol.wait_for_bytes(5) == b"hello"
