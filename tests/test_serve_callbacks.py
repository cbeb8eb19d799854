"""on_connect and on_disconnect of serve(): when they are called, with what, how often.

The order in which a connection's functions are called is asyncio's of a protocol's
connection_made(), data_received() and connection_lost(). What connection.send() does is in
test_serve_send.py, workers are in test_serve_processes.py.
"""

import socket
import ssl
import threading

import pytest

import fastsock
from fastsock._serve import BatchServer, HandlerServer
from fastsock.framing import LengthPrefix, Lines

from tests.conftest import TIMEOUT_S
from tests.servers import certificates, client_context, server_context  # noqa: F401
from tests.serving import (
    LOOPBACK, answering, ends, errors, receive, receive_all, unix_address,
)


class Recorder:
    """Functions for a server, and what was called, in order: a list for each connection."""

    def __init__(self, raising=None, batch=False):
        self.calls = {}
        self.raising = raising or {}
        self.batch = batch
        self.has_ended = threading.Semaphore(0)
        self.options = {"on_connect": self.on_connect, "on_disconnect": self.on_disconnect,
                        "batch": batch}

    def note(self, connection, *call):
        self.calls.setdefault(connection, []).append(call)
        if call[0] in self.raising:
            raise self.raising[call[0]]

    def on_connect(self, connection):
        assert fastsock.current_connection() is connection
        assert connection.get_extra_info("peername") is not None
        self.note(connection, "connect")

    def on_disconnect(self, connection, reason):
        try:
            assert fastsock.current_connection() is connection
            assert connection.is_closing()
            assert connection.get_extra_info("sockname") is not None
            self.note(connection, "disconnect", reason)
        finally:
            self.has_ended.release()

    def handler(self, given):
        if self.batch:
            for message in given:
                self.note("batch", message)
        else:
            self.note(fastsock.current_connection(), "message", given)
        return given

    def wait_for_end(self):
        assert self.has_ended.acquire(timeout=TIMEOUT_S)

    def answering(self, address=LOOPBACK, **options):
        return answering(self.handler, address, **{**self.options, **options})

    @property
    def one(self):
        (calls,) = self.calls.values()
        return calls


def told_at_once(served):
    """All that a connection is sent that the server ends by itself."""
    with served.connect() as client:
        return receive_all(client)


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))
    client.close()


# -- the order --------------------------------------------------------------------------


@pytest.mark.parametrize("use_poll", [False, True])
@pytest.mark.parametrize("framing", [None, LengthPrefix()], ids=["plain", "framed"])
def test_one_connection(framing, use_poll):
    recorder = Recorder()
    message = b"x" if framing is None else framing.encode(b"x")
    with recorder.answering(framing=framing, use_poll=use_poll) as served:
        assert served.ask(message) == message
        recorder.wait_for_end()
    assert recorder.one == [("connect",), ("message", b"x"), ("disconnect", None)]


def test_a_peer_that_says_nothing():
    """It is called when the connection stands, not with the first message."""
    recorder = Recorder()
    with recorder.answering() as served:
        with served.connect():
            served.turn()
            assert recorder.one == [("connect",)]
        recorder.wait_for_end()
    assert recorder.one == [("connect",), ("disconnect", None)]


def test_many_connections():
    recorder = Recorder()
    with recorder.answering(framing=Lines()) as served:
        for round_ in range(3):
            clients = [served.connect() for _ in range(20)]
            for number, client in enumerate(clients):
                client.sendall(b"%d\n" % number)
            for number, client in enumerate(clients):
                expected = b"%d\n" % number
                assert receive(client, len(expected)) == expected
                client.close()
            for _ in clients:
                recorder.wait_for_end()
    assert len(recorder.calls) == 60
    for calls in recorder.calls.values():
        assert [call[0] for call in calls] == ["connect", "message", "disconnect"]


def test_a_batch(tmp_path):
    recorder = Recorder(batch=True)
    with recorder.answering(unix_address(tmp_path), framing=Lines()) as served:
        with served.connect() as first, served.connect() as second:
            with served.held():
                first.sendall(b"a\n")
                second.sendall(b"b\n")
            assert receive(first, 2) == b"a\n" and receive(second, 2) == b"b\n"
        recorder.wait_for_end()
        recorder.wait_for_end()
    assert sorted(recorder.calls.pop("batch")) == [(b"a",), (b"b",)]
    assert list(recorder.calls.values()) == [[("connect",), ("disconnect", None)]] * 2


@pytest.mark.parametrize("batch", [False, True])
def test_the_last_message_comes_before_the_end(batch, tmp_path):
    """Message and end are found by one look of the loop."""
    order, has_ended = [], threading.Event()

    def handler(given):
        order.append("message")
        return [None] if batch else None

    def on_disconnect(connection, reason):
        order.append(reason)
        has_ended.set()

    with answering(handler, unix_address(tmp_path), framing=Lines(), batch=batch,
                   on_disconnect=on_disconnect) as served:
        with served.held(), served.connect() as client:
            client.sendall(b"x\n")
        assert has_ended.wait(TIMEOUT_S)
    assert order == ["message", None]


def test_only_one_of_them():
    recorder = Recorder()
    with recorder.answering(on_connect=None) as served:
        served.ask(b"x")
        recorder.wait_for_end()
    assert recorder.one == [("message", b"x"), ("disconnect", None)]
    recorder = Recorder()
    with recorder.answering(on_disconnect=None) as served:
        served.ask(b"x")
    assert recorder.one == [("connect",), ("message", b"x")]


def test_max_connections():
    """One that waits to be accepted has no connection yet; the end of another comes first."""
    recorder = Recorder()
    with recorder.answering(max_connections=1) as served:
        first = served.connect()
        first.sendall(b"1")
        assert receive(first, 1) == b"1"
        with served.connect() as second:
            second.sendall(b"2")
            served.turn()
            assert len(recorder.calls) == 1
            first.close()
            assert receive(second, 1) == b"2"
            before, _ = recorder.calls.values()
            assert before[-1] == ("disconnect", None)
        recorder.wait_for_end()


# -- reasons ----------------------------------------------------------------------------


def reason_of(recorder):
    return recorder.one[-1][1]


def test_the_reason_is_a_reset():
    recorder = Recorder()
    with recorder.answering() as served:
        client = served.connect()
        client.sendall(b"x")
        served.turn()
        reset(client)
        recorder.wait_for_end()
    assert isinstance(reason_of(recorder), ConnectionResetError)


def test_the_reason_is_the_idle_timeout():
    recorder = Recorder()
    with recorder.answering(idle_timeout=0.05) as served, served.connect() as client:
        assert ends(client)
        recorder.wait_for_end()
    assert isinstance(reason_of(recorder), TimeoutError)


@pytest.mark.parametrize("batch", [False, True])
def test_the_reason_is_the_handlers_exception(batch, log):
    error = LookupError("the handler's")
    recorder = Recorder(raising={"message": error, b"x": error}, batch=batch)
    with recorder.answering() as served:
        assert served.ask(b"x") == b""
        recorder.wait_for_end()
    recorder.calls.pop("batch", None)
    assert reason_of(recorder) is error
    assert errors(log) == [LookupError]


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("framing, garbage, kind", [
    (Lines(limit=10), bytes(100), fastsock.LimitOverrunError),
    (fastsock.framing.Netstring(), b"x", fastsock.FramingError)])
def test_the_reason_is_what_is_no_message(framing, garbage, kind, batch, log):
    recorder = Recorder(batch=batch)
    with recorder.answering(framing=framing) as served:
        assert served.ask(garbage) == b""
        recorder.wait_for_end()
    assert type(reason_of(recorder)) is kind
    assert errors(log) == []


@pytest.mark.parametrize("end", ["close", "abort"])
def test_no_reason_where_the_server_ends_it(end):
    recorder = Recorder()

    def on_connect(connection):
        recorder.on_connect(connection)
        getattr(connection, end)()

    with recorder.answering(on_connect=on_connect) as served:
        assert told_at_once(served) == b""
        recorder.wait_for_end()
    assert recorder.one == [("connect",), ("disconnect", None)]


# -- exceptions -------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
def test_an_on_connect_that_raises(batch, log):
    error = LookupError("on_connect's")
    recorder = Recorder(raising={"connect": error}, batch=batch)
    with recorder.answering() as served:
        assert told_at_once(served) == b""
        recorder.wait_for_end()
        recorder.raising.clear()
        assert served.ask(b"y") == b"y"  # and it harms no other
        recorder.wait_for_end()
    assert next(iter(recorder.calls.values())) == [("connect",), ("disconnect", error)]
    assert errors(log) == [LookupError]
    assert "on_connect() of <HandlerTransport" in log.text


def test_what_was_sent_before_on_connect_raised():
    def on_connect(connection):
        connection.send(b"busy")
        raise ConnectionRefusedError

    with answering(bytes, framing=Lines(), on_connect=on_connect) as served:
        assert told_at_once(served) == b"busy\n"


@pytest.mark.parametrize("result", [b"hello", "hello", 1, False, [b"hello"]])
def test_an_on_connect_that_returns_something(result, log):
    """It may be meant for a greeting, which would not be sent."""
    with answering(bytes, on_connect=lambda connection: result) as served:
        assert told_at_once(served) == b""
    assert errors(log) == [TypeError]
    assert (f"on_connect() returns None, not {type(result).__name__!r}: "
            "connection.send() sends a greeting") in log.text


def test_an_on_disconnect_that_raises(log):
    recorder = Recorder(raising={"disconnect": LookupError()})
    with recorder.answering(max_connections=1) as served:
        for _ in range(3):  # the connection counts no more, and nothing is left open
            assert served.ask(b"x") == b"x"
            recorder.wait_for_end()
        served.turn()
        assert served.server.connection_count == 0
    assert errors(log) == [LookupError] * 3
    assert all(record.getMessage().startswith("on_disconnect() of ")
               and record.getMessage().endswith(" raised")  # it had ended already
               for record in log.records if record.exc_info)
    assert all(len(calls) == 3 for calls in recorder.calls.values())


def test_an_on_disconnect_that_returns_something(log):
    members = {}
    with answering(bytes, on_connect=lambda connection: members.update({connection: 1}),
                   on_disconnect=lambda connection, reason: members.pop(connection)) as served:
        assert served.ask(b"x") == b"x"
        served.turn()
    assert members == {} and errors(log) == []


@pytest.mark.parametrize("what", ["connect", "disconnect"])
@pytest.mark.parametrize("batch", [False, True])
def test_what_leaves_the_loop(what, batch):
    """As out of a handler: serve_forever() may be called again, and each call is made once."""
    recorder = Recorder(raising={what: SystemExit("asked to")}, batch=batch)
    with recorder.answering(framing=Lines()) as served:
        with served.connect() as client:
            client.sendall(b"x\n")
            assert receive(client, 2) == b"x\n"
        recorder.wait_for_end()
        recorder.raising.clear()
        assert served.ask(b"y\n") == b"y\n"
        recorder.wait_for_end()
        served.turn()
        assert served.server.connection_count == 0
    assert str(served.raised) == "asked to"
    recorder.calls.pop("batch", None)
    for calls in recorder.calls.values():
        assert [call for call in calls if call[0] != "message"] == [
            ("connect",), ("disconnect", None)]


def test_messages_of_a_batch_that_was_left(tmp_path):
    """SystemExit leaves the loop between a message and its batch's turn, and the connection is
    gone by then: the message is handled before the end is reported, or never."""
    order, members, has_ended = [], [], threading.Event()

    def on_connect(connection):
        members.append(connection)
        if len(members) == 2:
            members[0].abort()
            raise SystemExit

    def handler(lines):
        order.extend(lines)
        return lines

    def on_disconnect(connection, reason):
        if connection is members[0]:
            order.append("disconnect")
            has_ended.set()

    with answering(handler, unix_address(tmp_path), batch=True, framing=Lines(),
                   on_connect=on_connect, on_disconnect=on_disconnect) as served:
        with served.connect() as first:
            served.turn()
            with served.held():  # one look finds the message, and then the new connection
                first.sendall(b"x\n")
                second = served.connect()
            with second:
                assert has_ended.wait(TIMEOUT_S)
                second.sendall(b"y\n")
                assert receive(second, 2) == b"y\n"
    members.clear()
    order.remove(b"y")
    assert order in ([b"x", "disconnect"], ["disconnect"])


# -- the end of the server ----------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("grace", [0, 1000])
def test_shutdown(grace, batch, tmp_path):
    recorder = Recorder(batch=batch)
    with recorder.answering(unix_address(tmp_path), framing=Lines()) as served:
        with served.connect() as client:
            client.sendall(b"x\n")
            assert receive(client, 2) == b"x\n"
            served.server.shutdown(grace=grace)
            served.thread.join(TIMEOUT_S)
            assert not served.thread.is_alive()
            assert ends(client)
    recorder.calls.pop("batch", None)
    (calls,) = recorder.calls.values()
    assert (calls[0], calls[-1]) == (("connect",), ("disconnect", None))
    assert len(calls) == 2 + (not batch)


@pytest.mark.parametrize("kind", [HandlerServer, BatchServer])
def test_close_of_a_server_that_does_not_run(kind, tmp_path):
    """An exception had left serve_forever(): close() makes the calls, in its own thread."""
    recorder = Recorder(raising={"connect": KeyboardInterrupt()})
    del recorder.options["batch"]
    server = kind(recorder.handler, unix_address(tmp_path), **recorder.options)
    with server, socket.socket(socket.AF_UNIX) as client:
        client.connect(unix_address(tmp_path))
        with pytest.raises(KeyboardInterrupt):
            server.serve_forever()
        assert recorder.one == [("connect",)]
        server.close()
        assert recorder.one == [("connect",), ("disconnect", None)]
        server.close()
    assert recorder.one == [("connect",), ("disconnect", None)]


def test_a_server_that_is_closed_in_on_disconnect():
    recorder = Recorder()

    def on_disconnect(connection, reason):
        recorder.on_disconnect(connection, reason)
        served.server.close()

    with recorder.answering(on_disconnect=on_disconnect) as served:
        with served.connect() as other:
            assert served.ask(b"x") == b"x"
            served.thread.join(TIMEOUT_S)
            assert not served.thread.is_alive()
            assert ends(other)
    assert [calls[-1] for calls in recorder.calls.values()] == [("disconnect", None)] * 2


# -- TLS ----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [False, True])
def test_tls(certificates, batch):  # noqa: F811
    """The connection stands after the handshake."""
    recorder = Recorder(batch=batch)

    def on_connect(connection):
        assert connection.get_extra_info("cipher") is not None
        recorder.on_connect(connection)
        connection.send(b"hello")

    with recorder.answering(framing=Lines(), on_connect=on_connect,
                            ssl_context=server_context(certificates)) as served:
        with client_context(certificates).wrap_socket(
                served.connect(), server_hostname="localhost") as client:
            assert receive(client, 6) == b"hello\n"
            client.sendall(b"x\n")
            assert receive(client, 2) == b"x\n"
        recorder.wait_for_end()
    recorder.calls.pop("batch", None)
    assert recorder.one[0] == ("connect",)
    assert recorder.one[-1][0] == "disconnect"


def test_a_handshake_that_fails(certificates):  # noqa: F811
    """The connection never stood: neither is called."""
    recorder = Recorder()
    with recorder.answering(ssl_context=server_context(certificates)) as served:
        with served.connect() as client:
            client.sendall(b"this is no TLS")
            receive_all(client)
        with served.connect() as client, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(client, server_hostname="localhost")
        with served.connect():
            pass
        served.turn()
    # TLS 1.3: the server has finished its part when the peer refuses the certificate.
    assert all(calls[-1][0] == "disconnect" for calls in recorder.calls.values())
    assert len(recorder.calls) <= 1


# -- arguments ----------------------------------------------------------------------------


async def coroutine_function(*arguments):
    pass


@pytest.mark.parametrize("name", ["on_connect", "on_disconnect"])
@pytest.mark.parametrize("kind", [HandlerServer, BatchServer])
def test_what_is_refused(kind, name):
    with pytest.raises(TypeError, match=f"^{name} must be callable, not 'int'$"):
        kind(bytes, LOOPBACK, **{name: 5})
    with pytest.raises(TypeError, match=f"^{name} must be a plain function, not the coroutine"):
        kind(bytes, LOOPBACK, **{name: coroutine_function})
    for serve in fastsock.serve, fastsock.serve_batches:
        with pytest.raises(TypeError, match=f"^{name} must be callable"):
            serve(bytes, LOOPBACK, on_ready=pytest.fail, **{name: 5})


# -- pausing ------------------------------------------------------------------------------

class Pausing:
    """Functions for a server whose connection pauses reading; what happened, in order."""

    def __init__(self, pause_in):
        self.pause_in = pause_in
        self.events = []
        self.is_paused = threading.Event()

    def pause(self, name):
        self.events.append(name)
        if name == self.pause_in:
            self.connection = fastsock.current_connection()
            self.connection.pause_reading()
            self.is_paused.set()

    def on_connect(self, connection):
        self.pause("connect")

    def handler(self, message):
        self.pause(message)
        return message.upper()

    def resume(self):
        self.events.append("resume")
        self.connection.resume_reading()


@pytest.mark.parametrize("framing", [Lines(), None], ids=["lines", "whatever arrives"])
def test_what_comes_with_the_handshake_waits_while_reading_is_paused(certificates,  # noqa: F811
                                                                     framing):
    pausing = Pausing("connect")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context(certificates).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with answering(pausing.handler, framing=framing, on_connect=pausing.on_connect,
                   ssl_context=server_context(certificates)) as served, \
            served.connect() as client:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(outgoing.read())
                incoming.write(client.recv(65536))
        tls.write(b"question\n")
        client.sendall(outgoing.read())  # with the end of the handshake
        assert pausing.is_paused.wait(TIMEOUT_S)
        served.server.call_soon_threadsafe(pausing.resume)
        while True:
            try:
                assert tls.read(100) == b"QUESTION\n"
                break
            except ssl.SSLWantReadError:
                incoming.write(client.recv(65536))
    message = b"question\n" if framing is None else b"question"
    assert pausing.events == ["connect", "resume", message]


def test_messages_that_have_arrived_wait_while_reading_is_paused():
    pausing = Pausing(b"one")
    with answering(pausing.handler, framing=Lines()) as served, served.connect() as client:
        client.sendall(b"one\ntwo\n")
        client.shutdown(socket.SHUT_WR)  # nor does the end overtake them
        assert receive(client, 4) == b"ONE\n"
        assert pausing.is_paused.wait(TIMEOUT_S)
        served.server.call_soon_threadsafe(pausing.resume)
        assert receive_all(client) == b"TWO\n"
    assert pausing.events == [b"one", "resume", b"two"]
