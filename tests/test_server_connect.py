"""Server.connect(): outgoing connections on a server's loop, to asyncio's servers and to sockets
of the stdlib's; how they fail; and what becomes of them when the server ends.
"""

import asyncio
import concurrent.futures
import errno
import os
import socket
import ssl
import threading
import types

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, open_fds
from tests.protocol_servers import (
    MUCH, Buffering, Ours, Recording, Reference, read_all, read_exactly,
)


class Echo(Recording):
    def data_received(self, data):
        super().data_received(data)
        self.transport.write(data)


def connect(server, *arguments, factory=Recording, **options):
    """What connect() of a Running's server leads to; made in its thread."""
    return server.call(lambda: server.server.connect(factory, *arguments, **options))


def settled(server, *arguments, **options):
    return connect(server, *arguments, **options).result(TIMEOUT_S)


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6, socket.AF_UNIX],
                ids=["IPv4", "IPv6", "AF_UNIX"])
def listener(request, tmp_path):
    """A listening socket of the stdlib's."""
    with socket.socket(request.param) as made:
        try:
            made.bind({socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}.get(
                request.param, str(tmp_path / "listener")))
        except OSError:
            pytest.skip("no such address here")
        made.listen()
        made.settimeout(TIMEOUT_S)
        yield made


@pytest.mark.parametrize("where", ["inside", "outside", "before"])
@pytest.mark.parametrize("factory", [Recording, Buffering])
def test_an_outgoing_connection(serve_ours, listener, factory, where):
    address = listener.getsockname()
    if where == "before":
        server = Ours(Recording, **serve_ours.options)
        future = server.server.connect(factory, address)
        server.__enter__()
    else:
        server = serve_ours()
        future = (server.server.connect(factory, address) if where == "outside"
                  else connect(server, address, factory=factory))
    peer, _ = listener.accept()
    with peer:
        transport, protocol = future.result(TIMEOUT_S)
        assert protocol.transport is transport and protocol.calls == [("made",)]
        assert isinstance(protocol, factory) and isinstance(transport, asyncio.Transport)
        peer.sendall(b"hello")
        assert protocol.wait_for_bytes(5) == b"hello"
        server.call(transport.write, MUCH)
        peer.settimeout(TIMEOUT_S)
        assert read_exactly(peer, len(MUCH)) == MUCH
        info = transport.get_extra_info
        assert server.call(lambda: (info("peername"), info("sockname"))) == (
            address, peer.getpeername())
        sock = server.call(info, "socket")
        assert sock.family == listener.family and sock.gettimeout() == 0
        if listener.family != socket.AF_UNIX:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert server.server.connection_count == 1
    protocol.wait_for("lost")
    server.call(lambda: None)
    assert server.server.connection_count == 0
    if where == "before":
        server.__exit__(None, None, None)


def test_an_asyncio_server(serve_ours):
    with Reference(Echo, asyncio.SelectorEventLoop) as peer:
        server = serve_ours()
        transport, protocol = settled(server, peer.address)
        server.call(transport.write, b"to asyncio and back")
        assert protocol.wait_for_bytes(19) == b"to asyncio and back"
        server.call(transport.close)
        assert protocol.wait_for("lost") == ("lost", None)


def test_the_callbacks_of_the_future(serve_ours):
    """They run in the server's thread, behind connection_made()."""
    server = serve_ours(Echo)
    seen = []
    done = threading.Event()

    def opened(future):
        transport, protocol = future.result()
        seen.append((threading.get_ident(), protocol.calls[:1]))
        transport.write(b"x")
        done.set()

    def begin():
        future = server.server.connect(Recording, server.address)
        assert not future.done()  # nothing is called before connect() has returned
        future.add_done_callback(opened)
        return future

    _, protocol = server.call(begin).result(TIMEOUT_S)
    assert done.wait(TIMEOUT_S)
    assert seen == [(server.thread.ident, [("made",)])]
    assert protocol.wait_for_bytes(1) == b"x"


def test_a_proxy(serve_ours):
    """An outgoing connection for each accepted one, as programs use it."""
    with Reference(Echo, asyncio.SelectorEventLoop) as target:
        class Back(Recording):
            def data_received(self, data):
                self.front.transport.write(data)

        class Front(Recording):
            def connection_made(self, transport):
                super().connection_made(transport)
                transport.pause_reading()
                server.server.connect(Back, target.address).add_done_callback(self.connected)

            def connected(self, future):
                self.back, protocol = future.result()
                protocol.front = self
                self.transport.resume_reading()

            def data_received(self, data):
                self.back.write(data)

        server = serve_ours(Front)
        clients = [server.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            client.sendall(b"%03d" % number)
        for number, client in enumerate(clients):
            assert read_exactly(client, 3) == b"%03d" % number
        assert server.server.connection_count == 40


def test_max_connections_is_for_accepted_ones(serve_ours):
    server = serve_ours(Echo, max_connections=1)
    made = [settled(server, server.address, factory=Recording) for _ in range(3)]
    transport, protocol = made[0]
    server.call(transport.write, b"x")
    assert protocol.wait_for_bytes(1) == b"x"
    assert server.server.connection_count == 4  # three, and the one that was accepted


# -- addresses ---------------------------------------------------------------------------------

def test_a_name_is_looked_up_in_a_thread_of_its_own(serve_ours, monkeypatch):
    server = serve_ours(Echo)
    seen = []
    original = socket.getaddrinfo

    def getaddrinfo(host, port, *arguments, flags=0, **options):
        if not flags & socket.AI_NUMERICHOST:
            seen.append(threading.get_ident())
            return [*original("127.0.0.1", 1, type=socket.SOCK_STREAM),  # refused
                    *original("127.0.0.1", port, type=socket.SOCK_STREAM)]
        return original(host, port, *arguments, flags=flags, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    transport, protocol = settled(server, ("some.example", server.address[1]))
    assert seen and not {server.thread.ident, threading.get_ident()} & set(seen)
    settled(server, server.address)
    assert len(seen) == 1  # a numeric host needs none
    server.call(transport.write, b"x")
    assert protocol.wait_for_bytes(1) == b"x"


def test_a_name_that_is_none(serve_ours, monkeypatch):
    def fails(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    server = serve_ours()
    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(socket.gaierror):
        settled(server, ("no.such.example", 80))
    assert server.server.connection_count == 0


def test_all_of_an_ipv6_address(serve_ours, monkeypatch):
    """Its flow label and its scope reach connect(2)."""
    from fastsock._outgoing import targets_of
    scope = socket.if_nametoindex("lo") if hasattr(socket, "if_nametoindex") else 1
    assert targets_of(("fe80::1", 80, 7, scope)) == [
        (socket.AF_INET6, ("fe80::1", 80, 7, scope))]
    (_, found), = targets_of(("fe80::1%lo", 80))
    assert found[3] == scope
    assert targets_of(("127.0.0.1", 80)) == [(socket.AF_INET, ("127.0.0.1", 80))]
    assert targets_of(("localhost", 80)) is None


# -- failures -----------------------------------------------------------------------------------

def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def asyncios_exception(address):
    async def main():
        loop = asyncio.get_running_loop()
        if isinstance(address, str):
            await loop.create_unix_connection(asyncio.Protocol, address)
        else:
            await loop.create_connection(asyncio.Protocol, *address)

    with pytest.raises(OSError) as caught:
        asyncio.run(main())
    return caught.value


@pytest.mark.parametrize("kind", ["refused", "no path", "path of a file"])
def test_what_cannot_be_connected_to(serve_ours, tmp_path, kind):
    server = serve_ours()
    (tmp_path / "file").write_bytes(b"")
    address = {"refused": ("127.0.0.1", free_port()), "no path": str(tmp_path / "nothing"),
               "path of a file": str(tmp_path / "file")}[kind]
    made = []
    with pytest.raises(OSError) as caught:
        settled(server, address, factory=lambda: made.append(1))
    expected = asyncios_exception(address)
    assert type(caught.value) is type(expected) and caught.value.errno == expected.errno
    if kind == "refused":
        assert str(caught.value) == str(expected)
    assert not made and server.server.connection_count == 0


def test_several_addresses_that_refuse(serve_ours, monkeypatch):
    server = serve_ours()
    original = socket.getaddrinfo
    ports = free_port(), free_port()

    def getaddrinfo(host, port, *arguments, flags=0, **options):
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "a name")
        return [found for port in ports
                for found in original("127.0.0.1", port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(OSError, match="Multiple exceptions: .*Connect call failed.*, .*") as caught:
        settled(server, ("some.example", 80))
    assert all(str(port) in str(caught.value) for port in ports)


def test_a_unix_backlog_that_is_full(serve_ours, tmp_path):
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        listener.settimeout(TIMEOUT_S)
        taken = []
        while True:
            sock = socket.socket(socket.AF_UNIX)
            taken.append(sock)
            sock.setblocking(False)
            if sock.connect_ex(path) == errno.EAGAIN:
                break
        server = serve_ours()
        future = connect(server, path)
        assert server.call(future.done) is False
        accepted = [listener.accept()[0] for _ in taken]  # the last is the waiting one
        future.result(TIMEOUT_S)
        for sock in (*taken, *accepted):
            sock.close()


@pytest.mark.parametrize("how", ["time", "cancel", "server"])
def test_an_attempt_that_is_ended(serve_ours, tmp_path, how):
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(path)
        listener.listen(0)
        first.connect(path)
        server = serve_ours()
        before = open_fds()
        future = connect(server, path, connect_timeout=0.1 if how == "time" else 60)
        if how == "time":
            with pytest.raises(TimeoutError, match=r"connecting took longer than 0\.1 s"):
                future.result(TIMEOUT_S)
        elif how == "cancel":
            assert server.server.connection_count == 1
            assert future.cancel()
            server.call(lambda: None)
        else:
            server.end()
            with pytest.raises(ConnectionAbortedError, match="the server was closed"):
                future.result(TIMEOUT_S)
            return
        assert server.server.connection_count == 0
        assert open_fds() == before


def test_what_raises_in_the_beginning(serve_ours, caplog):
    class Weary(Exception):
        pass

    class Raising(Recording):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise Weary

    def factory():
        raise Weary

    server = serve_ours(Echo)
    for raising in (Raising, factory):
        with pytest.raises(Weary):
            settled(server, server.address, factory=raising)
    assert len(caplog.records) == 2


def test_arguments_that_are_refused(serve_ours):
    server = serve_ours()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for error, arguments, options in [
            (TypeError, (5,), {}), (TypeError, (("127.0.0.1",),), {}),
            (OverflowError, (("127.0.0.1", 65536),), {}), (TypeError, (("::1", 1, 2, 3, 4),), {}),
            (TypeError, (("127.0.0.1", 1), "context"), {}),
            (ValueError, (("127.0.0.1", 1), None, "name"), {}),
            (ValueError, ("path", context), {}), (ValueError, ((None, 1), context), {}),
            (ValueError, (("127.0.0.1", 1),), {"connect_timeout": 0})]:
        with pytest.raises(error):
            connect(server, *arguments, **options)
    with pytest.raises(TypeError, match="protocol_factory must be callable"):
        connect(server, ("127.0.0.1", 1), factory=None)
    assert server.server.connection_count == 0


def test_a_server_that_is_closed():
    server = fastsock.Server(Recording, ("127.0.0.1", 0))
    server.close()
    with pytest.raises(RuntimeError, match="this server is closed"):
        server.connect(Recording, ("127.0.0.1", 1))


@pytest.mark.parametrize("kind", ["TCP", "AF_UNIX"])
def test_a_server_that_is_closed_before_it_ran(tmp_path, kind):
    with socket.socket(socket.AF_INET if kind == "TCP" else socket.AF_UNIX) as listener:
        listener.bind(("127.0.0.1", 0) if kind == "TCP" else str(tmp_path / "path"))
        listener.listen()
        server = fastsock.Server(Recording, ("127.0.0.1", 0))
        before = open_fds()
        future = server.connect(Recording, listener.getsockname())
        server.close()
        with pytest.raises(ConnectionAbortedError, match="the server was closed"):
            future.result(0)
        assert server.connection_count == 0
        assert len(open_fds()) < len(before)


@pytest.mark.parametrize("kind", ["TCP", "AF_UNIX"])
def test_a_protocol_that_connects_again_at_the_end_of_the_server(serve_ours, tmp_path, kind):
    futures, lost = [], threading.Event()

    class Again(Recording):
        def connection_lost(self, error):
            super().connection_lost(error)
            futures.append(server.server.connect(Again, listener.getsockname()))
            lost.set()

    with socket.socket(socket.AF_INET if kind == "TCP" else socket.AF_UNIX) as listener:
        listener.bind(("127.0.0.1", 0) if kind == "TCP" else str(tmp_path / "path"))
        listener.listen()
        server = serve_ours()
        settled(server, listener.getsockname(), factory=Again)
        server.server.close()
        assert lost.wait(TIMEOUT_S)
        with pytest.raises(ConnectionAbortedError, match="the server was closed"):
            futures[0].result(0)
        assert len(futures) == 1
        assert server.server.connection_count == 0


def test_a_server_that_another_thread_closes_meanwhile():
    server = fastsock.Server(Recording, ("127.0.0.1", 0))

    class Closing:
        def __fspath__(self):  # connect() looks whether the server is closed before this
            closer = threading.Thread(target=server.close)
            closer.start()
            closer.join(TIMEOUT_S)
            return "/nowhere/at/all"

    os.PathLike.register(Closing)
    with pytest.raises(RuntimeError, match="this server is closed"):  # nothing was scheduled
        server.connect(Recording, Closing())


def test_shutdown_with_grace_waits_for_outgoing_connections(serve_ours, listener):
    server = serve_ours()
    future = connect(server, listener.getsockname())
    peer, _ = listener.accept()
    with peer:
        _, protocol = future.result(TIMEOUT_S)
        server.server.shutdown(grace=TIMEOUT_S)
        peer.settimeout(TIMEOUT_S)
        peer.sendall(b"still heard")
        assert protocol.wait_for_bytes(11) == b"still heard"
    protocol.wait_for("lost")
    server.thread.join(TIMEOUT_S)
    assert not server.thread.is_alive()


def test_the_end_of_the_server(serve_ours, listener):
    server = serve_ours()
    future = connect(server, listener.getsockname())
    peer, _ = listener.accept()
    with peer:
        _, protocol = future.result(TIMEOUT_S)
        server.server.shutdown()
        peer.settimeout(TIMEOUT_S)
        assert read_all(peer) == b""
        assert protocol.wait_for("lost") == ("lost", None)


# -- TLS ------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def tls():
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return types.SimpleNamespace(server=server, client=client)


@pytest.mark.parametrize("kind", ["asyncio", "epoll"])
@pytest.mark.parametrize("name", ["localhost", None])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls(serve_ours, tls, kind, name, version):
    tls.client.minimum_version = tls.client.maximum_version = version
    peer = (Reference(Echo, asyncio.SelectorEventLoop, ssl_context=tls.server)
            if kind == "asyncio" else Ours(Echo, ssl_context=tls.server))
    with peer:
        server = serve_ours()
        transport, protocol = settled(server, peer.address, tls.client, name)
        server.call(transport.write, MUCH[:1 << 20])
        assert protocol.wait_for_bytes(1 << 20) == MUCH[:1 << 20]
        certificate = server.call(transport.get_extra_info, "peercert")
        assert ("DNS", "localhost") in certificate["subjectAltName"]
        server.call(transport.close)
        assert protocol.wait_for("lost") == ("lost", None)


def test_tls_with_the_wrong_name(serve_ours, tls):
    with Ours(Echo, ssl_context=tls.server) as peer:
        server = serve_ours()
        made = []
        with pytest.raises(ssl.SSLCertVerificationError, match="other.example"):
            settled(server, peer.address, tls.client, "other.example",
                    factory=lambda: made.append(1))
        server.call(lambda: None)
        assert not made and server.server.connection_count == 0


def test_tls_with_a_peer_that_speaks_none(serve_ours, tls):
    server = serve_ours()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        for ending in ("garbage", "end"):
            future = connect(server, listener.getsockname(), tls.client, "localhost")
            peer, _ = listener.accept()
            with peer:
                if ending == "garbage":
                    peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                peer.shutdown(socket.SHUT_WR)
                with pytest.raises(ssl.SSLError if ending == "garbage" else ConnectionResetError):
                    future.result(TIMEOUT_S)


@pytest.mark.parametrize("how", ["time", "cancel", "server"])
def test_a_handshake_that_is_ended(serve_ours, tls, how):
    server = serve_ours(ssl_handshake_timeout=0.1 if how == "time" else 60)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        future = connect(server, listener.getsockname(), tls.client, "localhost")
        listener.settimeout(TIMEOUT_S)
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(TIMEOUT_S)
            assert peer.recv(1) == b"\x16"  # the beginning of a ClientHello
            if how == "cancel":
                assert future.cancel()
            elif how == "server":
                server.end()
            error = {"time": TimeoutError, "cancel": concurrent.futures.CancelledError,
                     "server": ConnectionAbortedError}[how]
            with pytest.raises(error):
                future.result(TIMEOUT_S)
            read_all(peer)
            if how != "server":
                server.call(lambda: None)
                assert server.server.connection_count == 0


def test_a_name_of_the_wrong_form(serve_ours, tls):
    server = serve_ours(Echo)
    with pytest.raises(ValueError):
        settled(server, server.address, tls.client, ".example")


# -- what is known afterwards ---------------------------------------------------------------------

@pytest.mark.parametrize("ending", ["close", "abort", "peer"])
def test_the_peers_name_after_the_end(serve_ours, listener, ending):
    """As in asyncio, also if it was not asked for before."""
    server = serve_ours()
    future = connect(server, listener.getsockname())
    peer, _ = listener.accept()
    with peer:
        transport, protocol = future.result(TIMEOUT_S)
        if ending != "peer":
            server.call(getattr(transport, ending))
    protocol.wait_for("lost")
    server.call(lambda: None)
    assert server.call(transport.get_extra_info, "peername") == listener.getsockname()


def test_a_long_name_of_an_accepted_peer_after_the_end(tmp_path):
    own = str(tmp_path / "client-with-a-path-of-some-length")
    with Ours(Recording, str(tmp_path / "server")) as server, \
            socket.socket(socket.AF_UNIX) as client:
        client.bind(own)
        client.connect(server.address)
        protocol = server.protocol()
        client.close()
        protocol.wait_for("lost")
        server.call(lambda: None)
        assert server.call(protocol.transport.get_extra_info, "peername") == own
