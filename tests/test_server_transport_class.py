"""What asyncio's documentation says of a transport as an object: its class and public names,
what is known of it during and after connection_lost(), what is written after the end.

A test runs on asyncio's server and on ours; uvloop has ways of its own for all of these.
"""

import asyncio
import contextlib
import copy
import functools
import logging
import pickle
import socket
import ssl
import subprocess
import sys
import weakref

import pytest

import fastsock
from tests.protocol_servers import Recording, read_all, read_exactly, running
from tests.serving import answering

#: asyncio's methods, and what is ours: docs/servers.md.
OURS = {"send_file"}


@pytest.fixture(params=["asyncio", "epoll", "poll"])
def serve(request):
    with contextlib.ExitStack() as stack:
        def serve(factory=Recording, **options):
            return stack.enter_context(running(request.param, factory, **options))

        serve.kind = request.param
        yield serve


def public(transport):
    return {name for name in dir(transport) if not name.startswith("_")}


def test_a_transport_is_one_of_asyncios(serve):
    server = serve()
    _, protocol = server.accept()
    transport = protocol.transport
    for cls in (asyncio.Transport, asyncio.ReadTransport, asyncio.WriteTransport,
                asyncio.BaseTransport):
        assert isinstance(transport, cls) and issubclass(transport.__class__, cls)
    assert not isinstance(transport, asyncio.DatagramTransport)

    @functools.singledispatch
    def kind(value):
        return "another"

    kind.register(asyncio.Transport, lambda value: "a transport")
    assert kind(transport) == "a transport"


def test_the_public_names_of_a_transport(serve_ours):
    _, protocol = serve_ours().accept()
    assert public(protocol.transport) == public(asyncio.Transport()) | OURS
    for name in public(asyncio.Transport()) | OURS:
        assert callable(getattr(protocol.transport, name))


def test_the_public_names_of_a_handlers_connection():
    seen = []
    with answering(lambda message: seen.append(fastsock.current_connection()) or b"y") as served:
        served.ask(b"x")
    names = public(seen[0])
    assert public(asyncio.Transport()) - names == {"get_protocol", "set_protocol"}
    assert not {"finish", "unwatch", "resume", "read_unread", "end_handshake"} & names


def test_the_class_that_a_transport_says(serve_ours):
    _, protocol = serve_ours().accept()
    transport = protocol.transport
    said = transport.__class__
    assert said is transport.__class__ is not type(transport)
    assert (said.__name__, said.__module__, said.__doc__) == (
        type(transport).__name__, type(transport).__module__, type(transport).__doc__)
    assert said.get_write_buffer_size(transport) == 0  # its methods are those of the object
    with pytest.raises(TypeError, match="connections are made by a Server"):
        said()
    with pytest.raises((AttributeError, TypeError)):
        transport.__class__ = object
    for make in (copy.copy, copy.deepcopy, *(functools.partial(pickle.dumps, protocol=number)
                                             for number in range(pickle.HIGHEST_PROTOCOL + 1))):
        with pytest.raises(TypeError, match="cannot pickle 'ProtocolTransport' object"):
            make(transport)
    assert weakref.ref(transport)() is transport


def test_asyncio_is_not_imported_for_that():
    program = ("import sys, fastsock\n"
               "class Protocol:\n"
               "    def connection_made(self, transport):\n"
               "        assert transport.__class__ is type(transport)\n"
               "        assert not isinstance(transport, dict)\n"
               "        assert 'asyncio' not in sys.modules\n"
               "        transport.write(b'fine')\n"
               "        transport.close()\n"
               "    def connection_lost(self, error):\n"
               "        server.shutdown()\n"
               "with fastsock.Server(Protocol, ('127.0.0.1', 0)) as server:\n"
               "    with fastsock.create_connection(server.addresses[0]) as client:\n"
               "        server.serve_forever()\n"
               "        print(client.recv(9))\n")
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                           timeout=60)
    assert shown.stdout == "b'fine'\n", shown.stderr


# -- what is known at the end ------------------------------------------------------------------

def test_the_protocol_of_a_connection_that_is_lost(serve):
    class Looking(Recording):
        def connection_lost(self, error):
            self.found = self.transport.get_protocol()
            super().connection_lost(error)

    client, protocol = serve(Looking).accept()
    client.close()
    protocol.wait_for("lost")
    assert protocol.found is protocol


@pytest.mark.parametrize("asked", [True, False])
def test_what_is_known_after_the_end(serve, asked):
    server = serve()
    client, protocol = server.accept()
    info = protocol.transport.get_extra_info
    peer, own = client.getsockname(), client.getpeername()
    if asked:
        before = server.call(lambda: (info("socket"), info("sockname")))
    client.close()
    protocol.wait_for("lost")
    server.call(lambda: None)  # its fd is closed after connection_lost()
    server.call(lambda: None)
    sock = server.call(info, "socket", "none")
    assert sock.fileno() == -1 and sock is server.call(info, "socket")
    assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
    with pytest.raises(OSError):
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
    assert server.call(info, "peername") == peer
    if asked:
        assert before == (sock, own)
    if asked or serve.kind == "asyncio":
        assert server.call(info, "sockname") == own
    else:
        assert server.call(info, "sockname", "none") is None  # docs/differences.md
    assert server.call(info, "nothing", 5) == 5
    transport = protocol.transport
    assert server.call(lambda: (
        transport.is_closing(), transport.is_reading(), transport.get_write_buffer_size(),
        transport.get_write_buffer_limits())) == (True, False, 0, (16384, 65536))


# -- what is written after the end ------------------------------------------------------------

def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records
            if record.levelno == logging.WARNING]


@pytest.mark.parametrize("end", ["close", "abort", "peer"])
def test_writing_after_the_end(serve, caplog, end):
    caplog.set_level(logging.WARNING)
    server = serve()
    client, protocol = server.accept()
    transport = protocol.transport
    if end == "peer":
        client.close()
        protocol.wait_for("lost")
    else:
        server.call(getattr(transport, end))

    def write(count):
        for _ in range(count):
            transport.write(b"x")
            transport.write(b"")  # counts as none

    server.call(write, 4)
    assert warnings_of(caplog) == []
    with pytest.raises(TypeError):
        server.call(transport.write, "text")
    server.call(write, 2)
    assert warnings_of(caplog) == ["socket.send() raised exception."] * 2
    if end != "peer":
        assert read_all(client) == b""


def test_writing_after_write_eof_and_the_end(serve):
    server = serve()
    client, protocol = server.accept()
    server.call(protocol.transport.write_eof)
    server.call(protocol.transport.close)
    for data in (b"x", b""):
        with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
            server.call(protocol.transport.write, data)
    assert read_all(client) == b""


# -- arguments ------------------------------------------------------------------------------

def test_names_of_arguments(serve):
    server = serve()
    client, protocol = server.accept()
    transport = protocol.transport
    server.call(lambda: transport.writelines(list_of_data=[b"a", b"b"]))
    server.call(lambda: transport.set_protocol(protocol=protocol))
    server.call(lambda: transport.set_write_buffer_limits(low=5, high=9))
    assert server.call(lambda: transport.get_extra_info(name="nothing", default=3)) == 3
    assert read_exactly(client, 2) == b"ab"
    if serve.kind != "asyncio":
        with pytest.raises(TypeError):  # docs/differences.md
            server.call(lambda: transport.write(data=b"x"))


def test_true_from_eof_received_under_tls(serve, caplog):
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    caplog.set_level(logging.WARNING)
    server = serve(type("Keeping", (Recording,), {"keeps_open": True}), ssl_context=context)
    with trusting.wrap_socket(server.connect(), server_hostname="localhost") as client:
        protocol = server.protocol()
        assert server.call(protocol.transport.can_write_eof) is False
        with pytest.raises(NotImplementedError):
            server.call(protocol.transport.write_eof)
        info = protocol.transport.get_extra_info
        assert server.call(lambda: (info("compression", 5), info("peercert", 5))) == (None, None)
        client.unwrap().close()
    assert protocol.wait_for("lost") == ("lost", None)
    assert protocol.main_calls() == [("made",), ("eof",), ("lost", None)]
    assert warnings_of(caplog) == [
        "returning true from eof_received() has no effect when using ssl"]

    for _ in range(7):
        server.call(protocol.transport.write, b"x")
    if serve.kind != "asyncio":
        assert "SSL connection is closed" in warnings_of(caplog)
