"""TLS of a server, turn by turn: data that comes with the end of the handshake, what was
decrypted when reading was paused, and protocols that end their TLS themselves.

The client is an SSLObject in memory where what it sends is to arrive at once.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import socket
import ssl

import pytest

import fastsock
from fastsock.framing import Lines
from tests.conftest import FACILITIES, TIMEOUT_S
from tests.protocol_servers import MUCH, Buffering, Recording, read_all
from tests.serving import answering, ends, errors, receive, unix_address
from tests.test_serve_endings import shut_down_behind
from tests.workers import Worker, needs_to_see_sleepers

trustme = pytest.importorskip("trustme")

BOTH = pytest.mark.parametrize("base", [Recording, Buffering])
SOME = MUCH[:5000]


@pytest.fixture(scope="module")
def contexts():
    """(the server's, a client's)"""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


@pytest.fixture
def server_context(contexts):
    return contexts[0]


class Memory:
    """A client whose records are sent when it is told to."""

    def __init__(self, plain, context):
        self.plain = plain
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def shake_hands(self):
        """Up to what is to be said last, which is not sent yet."""
        while True:
            try:
                return self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.send()
                self.incoming.write(self.plain.recv(65536))

    def say_goodbye(self):
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()

    def send(self):
        self.plain.sendall(self.outgoing.read())


@pytest.fixture
def memory(contexts):
    """memory(server): a Memory that is a client of a Running."""
    return lambda server: Memory(server.connect(), contexts[1])


@pytest.fixture
def secure(contexts):
    """secure(plain): a client's TLS on a connected socket, after its handshake."""
    with contextlib.ExitStack() as stack:
        yield lambda plain: stack.enter_context(
            contexts[1].wrap_socket(plain, server_hostname="localhost"))


# -- with the handshake's last words ----------------------------------------------------------

@BOTH
def test_reading_is_paused_before_data_that_came_with_the_handshake(
        serve, server_context, memory, base):
    class Pausing(base):
        def connection_made(self, transport):
            transport.pause_reading()
            super().connection_made(transport)

    server = serve(Pausing, ssl_context=server_context)
    client = memory(server)
    client.shake_hands()
    client.tls.write(SOME)
    client.send()
    protocol = server.protocol()
    server.call(lambda: None)
    assert protocol.received == b""
    server.call(protocol.transport.resume_reading)
    assert protocol.wait_for_bytes(len(SOME)) == SOME
    client.tls.write(b"more")
    client.send()
    assert protocol.wait_for_bytes(len(SOME) + 4) == SOME + b"more"


@BOTH
def test_a_connection_that_is_closed_as_data_came_with_the_handshake(
        serve_ours, server_context, memory, base):
    # asyncio still hands the data over.
    class Closing(base):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.close()

    server = serve_ours(Closing, ssl_context=server_context)
    client = memory(server)
    client.shake_hands()
    client.tls.write(SOME)
    client.send()
    protocol = server.protocol()
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), ("lost", None)]


# -- what was decrypted when reading was paused -----------------------------------------------

class Slow(Buffering):
    """Takes a thousand bytes, and pauses as long as it is told to."""

    size = 1000
    pauses = True

    def buffer_updated(self, count):
        if self.pauses:
            self.transport.pause_reading()
        super().buffer_updated(count)


@pytest.fixture
def slow(serve_ours, server_context, memory):
    """(the server, the client, the protocol), which has taken a part of SOME."""
    server = serve_ours(Slow, ssl_context=server_context)
    client = memory(server)
    client.shake_hands()
    client.send()
    protocol = server.protocol()
    client.tls.write(SOME)
    client.send()
    assert protocol.wait_for_bytes(1) == SOME[:1000]
    return server, client, protocol


def test_reading_that_is_resumed_and_paused_at_once(slow):
    server, client, protocol = slow
    transport = protocol.transport

    def resume(*methods):
        for method in (transport.resume_reading, *methods):
            method()

    server.call(resume, transport.pause_reading)
    server.call(lambda: None)
    assert protocol.received == SOME[:1000]
    protocol.pauses = False
    # Asked for twice, and there only once.
    server.call(resume, transport.pause_reading, transport.resume_reading)
    assert protocol.wait_for_bytes(len(SOME)) == SOME
    client.tls.write(b"more")
    client.send()
    assert protocol.wait_for_bytes(len(SOME) + 4) == SOME + b"more"


def test_reading_that_is_resumed_before_the_end(slow):
    server, client, protocol = slow

    def end():
        protocol.transport.resume_reading()
        protocol.transport.close()

    server.call(end)
    assert protocol.wait_for("lost") == ("lost", None)
    assert protocol.received == SOME[:1000]


def test_an_end_that_came_with_data_comes_behind_it(slow):
    server, client, protocol = slow
    client.tls.write(b"last")
    client.say_goodbye()
    client.send()  # is not read yet
    protocol.pauses = False
    server.call(protocol.transport.resume_reading)
    protocol.wait_for("lost")
    assert protocol.received == SOME + b"last"
    assert protocol.main_calls() == [("made",), ("data",), ("eof",), ("lost", None)]


def test_an_end_that_came_with_data_of_which_some_waits(serve_ours, server_context, memory):
    server = serve_ours(Slow, ssl_context=server_context)
    client = memory(server)
    client.shake_hands()
    client.tls.write(SOME)
    client.say_goodbye()
    client.send()  # all in one receive
    protocol = server.protocol()
    assert protocol.wait_for_bytes(1) == SOME[:1000]
    protocol.pauses = False
    server.call(protocol.transport.resume_reading)
    protocol.wait_for("lost")
    assert protocol.received == SOME
    assert protocol.main_calls() == [("made",), ("data",), ("eof",), ("lost", None)]


class Weary(Exception):
    pass


def raising(*_):
    raise Weary


@pytest.mark.parametrize("member, error", [
    ({"get_buffer": raising}, Weary), ({"buffer_updated": raising}, Weary),
    ({"get_buffer": lambda self, size: bytearray()}, RuntimeError),
    ({"get_buffer": lambda self, size: b"read only"}, TypeError)],
    ids=["get_buffer", "buffer_updated", "empty", "read only"])
def test_a_buffered_protocol_that_fails(serve_ours, server_context, secure, caplog, member, error):
    server = serve_ours(type("Failing", (Buffering,), member), ssl_context=server_context)
    client = secure(server.connect())
    protocol = server.protocol()
    client.sendall(b"x")
    assert read_all(client) == b""
    assert issubclass(protocol.wait_for("lost")[1], (error, BufferError))
    assert "get_buffer() or buffer_updated()" in caplog.text
    server.factory = Buffering
    client = secure(server.connect())
    client.sendall(b"served")
    assert server.protocol().wait_for_bytes(6) == b"served"


# -- TLS that was ended here -------------------------------------------------------------------

def end_tls(transport):
    """As a protocol may that goes on without TLS: say close_notify, and no more."""
    with contextlib.suppress(ssl.SSLWantReadError):
        transport.get_extra_info("ssl_object").unwrap()


def test_a_protocol_that_ended_its_tls_hears_of_the_peers_end(serve_ours, server_context, memory):
    class Ending(Recording):
        def data_received(self, data):
            super().data_received(data)
            end_tls(self.transport)

    server = serve_ours(Ending, ssl_context=server_context)
    client = memory(server)
    client.shake_hands()
    client.tls.write(b"x")
    client.send()
    protocol = server.protocol()
    protocol.wait_for("data")
    server.call(lambda: None)
    client.say_goodbye()
    client.send()
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), ("data",), ("eof",), ("lost", None)]


def handler(line):
    if line == b"end":
        end_tls(fastsock.current_connection())
        return b"can't be said"
    if line == b"end and raise":
        end_tls(fastsock.current_connection())
        raise Weary
    return line


@pytest.fixture
def served(tmp_path, server_context):
    with answering(handler, unix_address(tmp_path), framing=Lines(limit=100),
                   ssl_context=server_context) as served:
        yield served


def until_it_ends(client):
    with contextlib.suppress(ssl.SSLError):
        assert ends(client)


@pytest.mark.parametrize("said, error", [
    (b"answer\nend and raise\n", Weary),            # the answer before can't be said
    (b"answer\nend\n" + bytes(200), ssl.SSLError),  # nor what is in front of what is no message
    (b"answer\nend\n", ssl.SSLError)],
    ids=["raises", "refused", "answers"])
@pytest.mark.parametrize("shuts_down", [False, True])
def test_answers_behind_the_end_of_tls(served, secure, caplog, said, error, shuts_down):
    caplog.set_level(logging.ERROR, "fastsock.server")
    client = secure(served.connect())
    with served.connect() as plain:
        other = secure(plain)
        other.sendall(b"served\n")
        assert receive(other, 7) == b"served\n"
        if shuts_down:
            served.turn()
            shut_down_behind(served, lambda: client.sendall(said))
            served.thread.join(TIMEOUT_S)  # a TLS socket is not for two threads at once
            assert not served.thread.is_alive()
        else:
            client.sendall(said)
        # In a thread: OpenSSL's queue of errors is one for each, and what this end leaves there
        # (an EPIPE, by OpenSSL 3.6) would be taken for the other connection's.
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(until_it_ends, client).result(TIMEOUT_S)
        if not shuts_down:
            other.sendall(b"still served\n")
            assert receive(other, 13) == b"still served\n"
    assert [issubclass(found, error) for found in errors(caplog)] == [True]


@needs_to_see_sleepers
@pytest.mark.parametrize("use_poll", [False, True])
def test_an_end_that_leaves_the_loop_is_met_once(contexts, use_poll):
    """The connection stays, and its peer's end is there for good: nobody is to ask again."""
    made = []

    class Leaving(asyncio.Protocol):
        def connection_made(self, transport):
            made.append(transport)

        def eof_received(self):
            raise SystemExit

    with fastsock.Server(Leaving, ("127.0.0.1", 0), use_poll=use_poll,
                         ssl_context=contexts[0]) as server:
        call = "poll" if use_poll or not FACILITIES["epoll"] else "epoll_wait"
        first = Worker(call, server.serve_forever)
        with socket.create_connection(server.addresses[0], timeout=TIMEOUT_S) as plain:
            client = Memory(plain, contexts[1])
            client.shake_hands()
            client.send()
            plain.shutdown(socket.SHUT_WR)
            first.join()
            assert type(first.error) is SystemExit
            second = Worker(call, server.serve_forever)  # returns when it sleeps
            try:
                server.call_soon_threadsafe(made[0].close)
                client.incoming.write(read_all(plain))
                assert client.tls.read(1) == b""  # close_notify
            finally:
                server.shutdown()
                second.join()
