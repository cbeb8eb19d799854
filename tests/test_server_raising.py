"""Protocols that raise: their own connection ends, the others go on, and it is logged.

What peers see is the same on asyncio's server and ours where asyncio ends the connection.
"""

import contextlib
import logging
import socket

import pytest

from tests.protocol_servers import MUCH, Buffering, Recording, read_all, read_exactly


class Weary(Exception):
    """What the protocols below raise."""


class Unusual(BaseException):
    """As asyncio.CancelledError, no Exception."""


RAISING = ["data_received", "eof_received", "connection_lost", "get_buffer", "buffer_updated"]
KINDS_OF_ERRORS = pytest.mark.parametrize("error", [Weary, Unusual], ids=lambda kind: kind.__name__)


def raising_in(name, error=Weary, base=None):
    """A protocol one of whose methods raises, once it has done its work."""
    base = base or (Buffering if "buffer" in name else Recording)

    def method(self, *arguments):
        getattr(base, name)(self, *arguments)
        if getattr(self, "is_good", False):
            return base.get_buffer(self, -1) if name == "get_buffer" else None
        raise error(f"in {name}")

    return type("Raising", (base,), {name: method})


def records_of_ours(caplog):
    return [record for record in caplog.records
            if record.name == "fastsock.server" and record.levelno >= logging.WARNING]


@KINDS_OF_ERRORS
@pytest.mark.parametrize("name", RAISING)
def test_a_protocol_that_raises_ends_its_own_connection(serve, caplog, name, error):
    if serve.kind == "uvloop" and (
            error is Unusual or name in ("connection_lost", "get_buffer")):
        pytest.skip("uvloop's ways of its own")
    caplog.set_level(logging.INFO)
    server = serve(raising_in(name, error))
    other, good = server.accept()
    good.is_good = True
    client, protocol = server.accept()
    client.sendall(b"x")
    if name in ("eof_received", "connection_lost"):
        client.shutdown(socket.SHUT_WR)
    with contextlib.suppress(ConnectionResetError):  # what was sent may be unread
        assert read_all(client) == b""
    reason = protocol.wait_for("lost")[1]
    assert reason is (None if name == "connection_lost" else error)
    other.sendall(b"still served")
    assert good.wait_for_bytes(12) == b"still served"
    server.call(good.transport.write, b"both ways")
    assert read_exactly(other, 9) == b"both ways"
    if serve.kind in ("epoll", "poll"):
        record, = records_of_ours(caplog)
        assert record.levelno == logging.ERROR and record.exc_info[0] is error
        assert name in record.getMessage()
    # The others of the loop's may log in their own ways.


@KINDS_OF_ERRORS
@pytest.mark.parametrize("name", ["connection_made", "factory"])
def test_what_else_ends_its_own_connection_here(serve_ours, caplog, name, error):
    # Without TLS asyncio logs the first and goes on with a protocol that may not know its
    # transport: docs/differences.md.
    def factory():
        if name == "factory":
            raise error("in factory")
        return raising_in(name, error)()

    server = serve_ours(factory)
    client = server.connect()
    assert read_all(client) == b""
    if name != "factory":
        assert server.protocol().wait_for("lost") == ("lost", error)
    server.factory = Recording
    other, good = server.accept()
    other.sendall(b"served")
    assert good.wait_for_bytes(6) == b"served"
    record, = records_of_ours(caplog)
    assert record.levelno == logging.ERROR and record.exc_info[0] is error


@KINDS_OF_ERRORS
@pytest.mark.parametrize("name", ["pause_writing", "resume_writing"])
def test_flow_control_that_raises_ends_nothing(serve, caplog, name, error):
    if serve.kind == "uvloop" and error is Unusual:
        pytest.skip("uvloop's ways of its own")
    server = serve(raising_in(name, error))
    client, protocol = server.accept()
    for _ in range(2):
        server.call(protocol.transport.write, MUCH)
        assert read_exactly(client, len(MUCH)) == MUCH
        protocol.wait_for("resume")
    client.sendall(b"still served")
    assert protocol.wait_for_bytes(12) == b"still served"
    assert ("lost", error) not in protocol.calls
    if serve.kind in ("epoll", "poll"):
        assert len(records_of_ours(caplog)) >= 2
        for record in records_of_ours(caplog):
            assert record.levelno == logging.ERROR and record.exc_info[0] is error
            assert name in record.getMessage()


def test_what_was_written_before_an_exception_is_sent(serve):
    if serve.kind == "uvloop":
        pytest.skip("uvloop drops what was written in the same turn")

    class Raising(Recording):
        def data_received(self, data):
            self.transport.write(b"sorry")
            raise Weary

    client, protocol = serve(Raising).accept()
    client.sendall(b"x")
    assert read_all(client) == b"sorry"
    assert protocol.wait_for("lost") == ("lost", Weary)


def test_what_was_written_before_abort_is_sent(serve):
    if serve.kind == "uvloop":
        pytest.skip("uvloop drops what was written in the same turn")

    class Aborting(Recording):
        def data_received(self, data):
            self.transport.write(b"sorry")
            self.transport.abort()

    client, protocol = serve(Aborting).accept()
    client.sendall(b"x")
    assert read_all(client) == b"sorry"
    assert protocol.wait_for("lost") == ("lost", None)


@pytest.mark.parametrize("where", ["factory", "connection_made", "data_received",
                                   "connection_lost"])
def test_the_log_names_what_raised(serve_ours, caplog, where):
    """And reports a connection as closed only where the exception closes it."""
    made = raising_in(where) if where != "factory" else None

    def factory():
        if made is None:
            raise Weary
        return made()

    server = serve_ours(factory)
    client = server.connect()
    if where == "data_received":
        client.sendall(b"x")
    if where == "connection_lost":
        client.shutdown(socket.SHUT_WR)
    assert read_all(client) == b""
    server.call(lambda: None)
    record, = records_of_ours(caplog)
    name = "the protocol factory" if where == "factory" else f"{where}()"
    assert record.getMessage().startswith(f"{name} of <ProtocolTransport ")
    assert record.getMessage().endswith(
        "> raised" if where == "connection_lost" else "> raised: the connection is closed")
