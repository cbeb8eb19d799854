"""A server with TLS: what protocols and peers see, by the same tests on asyncio's server,
on uvloop's and on ours; and peers that fail in the handshake.
"""

import contextlib
import select
import socket
import ssl
import types

import pytest

from tests.conftest import TIMEOUT_S
from tests.protocol_servers import MUCH, Buffering, Recording, read_all, read_exactly, reset

trustme = pytest.importorskip("trustme")

BOTH = pytest.mark.parametrize("base", [Recording, Buffering])
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SOME = MUCH[:4 << 20]


@pytest.fixture(scope="module")
def authority():
    made = trustme.CA()
    certificates = {name: made.issue_cert(name) for name in ("localhost", "other.example")}
    return types.SimpleNamespace(
        ca=made, certificates=certificates, client=made.issue_cert("client@example.org"))


class Tls:
    """Contexts of one authority's, and clients on them."""

    def __init__(self, authority):
        self.authority = authority
        self.server = self.server_context("localhost")
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.ca.configure_trust(self.client)

    def server_context(self, name):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.certificates[name].configure_cert(context)
        return context

    def connect(self, server, name="localhost", **options):
        """A client of a Running, after its handshake."""
        return server.peers.enter_context(self.client.wrap_socket(
            server.connect(), server_hostname=name, suppress_ragged_eofs=False, **options))


@pytest.fixture
def tls(authority):
    return Tls(authority)


def echoing(base, **members):
    def note_data(self, data):
        base.note_data(self, data)
        self.transport.write(bytes(data))

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()

    return type("Echo", (base,), dict(note_data=note_data, pause_writing=pause_writing,
                                      resume_writing=resume_writing, **members))


Echo = echoing(Recording)


@BOTH
@pytest.mark.parametrize("version", VERSIONS)
def test_a_connection_from_beginning_to_end(serve, tls, base, version):
    tls.client.minimum_version = tls.client.maximum_version = VERSIONS[version]
    server = serve(echoing(base), ssl_context=tls.server)
    client = tls.connect(server)
    protocol = server.protocol()
    assert client.version() == f"TLSv{version}"
    for message in (b"question", b"x" * 20_000):
        client.sendall(message)
        assert read_exactly(client, len(message)) == message
    server.call(protocol.transport.close)
    assert client.recv(9) == b""  # close_notify: SSLEOFError would be raised without
    client.close()
    protocol.wait_for("lost")
    if serve.kind == "asyncio":  # which also says that the peer answered the end
        protocol.calls.remove(("eof",))
    assert protocol.calls == [("made",), ("data",), ("lost", None)]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_client_ends_it(serve, tls, version):
    tls.client.minimum_version = tls.client.maximum_version = VERSIONS[version]
    server = serve(Echo, ssl_context=tls.server)
    client = tls.connect(server)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    plain = client.unwrap()  # says close_notify, and waits for the server's
    assert plain.recv(9) == b""
    plain.close()
    protocol = server.protocol()
    protocol.wait_for("lost")
    assert protocol.calls == [("made",), ("data",), ("eof",), ("lost", None)]


@pytest.mark.parametrize("keeps_open", [False, True])
def test_the_client_ends_it_without_saying_so(serve, tls, keeps_open):
    server = serve(echoing(Recording, keeps_open=keeps_open), ssl_context=tls.server)
    client = tls.connect(server)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    client.close()
    protocol = server.protocol()
    protocol.wait_for("lost")
    if serve.kind != "uvloop":  # which calls the connection lost, and no more
        assert protocol.calls == [("made",), ("data",), ("eof",), ("lost", None)]


def test_the_client_resets(serve, tls):
    server = serve(Echo, ssl_context=tls.server)
    client = tls.connect(server)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    reset(client)
    protocol = server.protocol()
    assert protocol.wait_for("lost") == ("lost", ConnectionResetError)


def test_abort_is_no_clean_end(serve, tls):
    server = serve(Echo, ssl_context=tls.server)
    client = tls.connect(server)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"
    protocol = server.protocol()
    server.call(protocol.transport.abort)
    with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
        client.recv(9)
    assert protocol.wait_for("lost") == ("lost", None)


def test_what_is_written_before_close_arrives(serve, tls):
    class Saying(Recording):
        def data_received(self, data):
            self.transport.write(SOME)
            self.transport.writelines([b"la", bytearray(b"st"), memoryview(b"!")])
            self.transport.close()

    server = serve(Saying, ssl_context=tls.server)
    client = tls.connect(server)
    client.sendall(b"x")
    assert read_all(client) == SOME + b"last!"
    client.close()
    assert server.protocol().wait_for("lost") == ("lost", None)


def test_write(serve, tls):
    server = serve(ssl_context=tls.server)
    client = tls.connect(server)
    protocol = server.protocol()
    for data in (b"", bytearray(), memoryview(b""), bytearray(b"x" * 100_000),
                 memoryview(b"12345678").cast("I")):
        for piece in (b"(", data, b")"):
            server.call(protocol.transport.write, piece)
        expected = b"(%b)" % data
        assert read_exactly(client, len(expected)) == expected
    for wrong in ("text", None, 5):
        with pytest.raises(TypeError):
            server.call(protocol.transport.write, wrong)


def test_write_eof_is_refused(serve, tls):
    server = serve(ssl_context=tls.server)
    client = tls.connect(server)
    protocol = server.protocol()
    assert server.call(protocol.transport.can_write_eof) is False
    with pytest.raises(NotImplementedError):
        server.call(protocol.transport.write_eof)
    server.call(protocol.transport.write, b"still there")
    assert read_exactly(client, 11) == b"still there"


@BOTH
def test_much_both_ways_at_once(serve, tls, base):
    server = serve(echoing(base, size=65536), ssl_context=tls.server)
    client = tls.connect(server)
    client.setblocking(False)  # one thread: a TLS connection is not for two
    left, received = memoryview(SOME), bytearray()
    while len(received) < len(SOME):
        select.select([client], [client] if left else [], [], TIMEOUT_S)
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            left = left[client.send(left[:65536]):] if left else left
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            received += client.recv(65536)
            while client.pending():
                received += client.recv(65536)
    assert received == SOME


class Pausable:
    """A protocol that pauses reading with each call, and knows that it did."""

    goes_on = True

    def pause(self):
        assert self.goes_on, "called while reading is paused"
        self.goes_on = False
        self.transport.pause_reading()

    def resume(self):
        self.goes_on = True
        self.transport.resume_reading()


@pytest.mark.parametrize("version", VERSIONS)
def test_pause_reading(serve, tls, version):
    # Also what was decrypted already waits: each call pauses, and there is no other one
    # before reading was resumed.
    tls.client.minimum_version = tls.client.maximum_version = VERSIONS[version]

    class Pausing(Pausable, Recording):
        def data_received(self, data):
            self.pause()
            super().data_received(data)

    server = serve(Pausing, ssl_context=tls.server)
    client = tls.connect(server)
    protocol = server.protocol()
    for _ in range(8):
        client.sendall(b"x" * 5000)  # records of their own
    received = 0
    while received < 40_000:
        received = len(protocol.wait_for_bytes(received + 1))
        server.call(protocol.resume)
    assert protocol.calls == [("made",), ("data",)]


@pytest.mark.parametrize("size", [1000, 65536])
@pytest.mark.parametrize("ends", [True, False])
def test_pause_reading_with_a_small_buffer(serve, tls, size, ends):
    if ends and serve.kind in ("asyncio", "uvloop"):
        pytest.skip("they end without handing over what waits")

    class Pausing(Pausable, Buffering):
        def __init__(self):
            super().__init__()
            self.buffer = bytearray(size)

        def buffer_updated(self, count):
            self.pause()
            super().buffer_updated(count)

    server = serve(Pausing, ssl_context=tls.server)
    client = tls.connect(server)
    protocol = server.protocol()
    for _ in range(8):
        client.sendall(MUCH[:5000])
    if ends:
        client.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.unwrap()  # says close_notify, which is with the data then
    received = 0
    while received < 40_000:
        received = len(protocol.wait_for_bytes(received + 1))
        server.call(protocol.resume)
    assert protocol.received == MUCH[:5000] * 8
    if ends:
        assert protocol.wait_for("lost") == ("lost", None)
        assert protocol.main_calls() == [("made",), ("data",), ("eof",), ("lost", None)]


# -- what is negotiated ----------------------------------------------------------------------

@pytest.mark.parametrize("offered, expected", [
    (["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (None, None)], ids=str)
def test_alpn(serve, tls, offered, expected):
    tls.server.set_alpn_protocols(["h2", "http/1.1"])
    if offered:
        tls.client.set_alpn_protocols(offered)
    server = serve(ssl_context=tls.server)
    client = tls.connect(server)
    transport = server.protocol().transport
    assert client.selected_alpn_protocol() == expected
    assert server.call(lambda: transport.get_extra_info(
        "ssl_object").selected_alpn_protocol()) == expected


def test_sni(serve, tls):
    other, names = tls.server_context("other.example"), []

    def choose(ssl_object, name, context):
        names.append(name)
        if name == "other.example":
            ssl_object.context = other

    tls.server.sni_callback = choose
    server = serve(Echo, ssl_context=tls.server)
    for name in ("localhost", "other.example"):
        client = tls.connect(server, name)
        assert ("DNS", name) in client.getpeercert()["subjectAltName"]
        client.sendall(b"x")
        assert read_exactly(client, 1) == b"x"
    assert names == ["localhost", "other.example"]


@pytest.mark.parametrize("shows", [True, False])
def test_client_certificates(serve, tls, authority, shows):
    tls.server.verify_mode = ssl.CERT_OPTIONAL
    authority.ca.configure_trust(tls.server)
    if shows:
        authority.client.configure_cert(tls.client)
    server = serve(ssl_context=tls.server)
    tls.connect(server)
    transport = server.protocol().transport
    certificate = server.call(transport.get_extra_info, "peercert", "none")
    if shows:
        assert ("email", "client@example.org") in certificate["subjectAltName"]
    else:
        assert certificate in (None, {}, "none")


def test_a_client_certificate_that_is_missing(serve, tls, authority):
    tls.server.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(tls.server)
    server = serve(ssl_context=tls.server)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        tls.connect(server).recv(9)  # with TLS 1.3 only reading tells
    if serve.kind in ("epoll", "poll"):
        assert server.made.empty()


def test_what_is_known_of_the_connection(serve, tls):
    server = serve(ssl_context=tls.server)
    client = tls.connect(server)
    transport = server.protocol().transport

    def look():
        info = transport.get_extra_info
        assert info("sslcontext") is tls.server and info("nothing", 5) == 5
        assert info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        return (info("peername"), info("sockname"), info("cipher"), info("compression"),
                info("ssl_object").version())

    assert server.call(look) == (client.getsockname(), client.getpeername(), client.cipher(),
                                 None, client.version())


# -- handshakes that fail ---------------------------------------------------------------------

def is_served(server, tls):
    client = tls.connect(server)
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 100,
                                  bytes(range(256)) * 40, b"\x16\x03\x01\xff\xff" + bytes(70_000)],
                         ids=["http", "zeros", "garbage", "long record"])
def test_what_is_no_handshake(serve, tls, said):
    server = serve(Echo, ssl_context=tls.server)
    client = server.connect()
    with contextlib.suppress(ConnectionError):
        client.sendall(said)
        while client.recv(4096):  # an alert, at most, and the end
            pass
    is_served(server, tls)
    assert len(server.all) == 1 or serve.kind in ("asyncio", "uvloop")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_vanishes_in_the_handshake(serve, tls, how):
    server = serve(Echo, ssl_context=tls.server)
    for size in (0, 1, 5, 100, 10_000):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        hello = tls.client.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with pytest.raises(ssl.SSLWantReadError):
            hello.do_handshake()
        client = server.connect()
        client.sendall(outgoing.read()[:size])
        if how == "reset":
            reset(client)
        else:
            client.close()
    is_served(server, tls)


def test_a_handshake_byte_by_byte(serve, tls):
    server = serve(Echo, ssl_context=tls.server)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = tls.client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    client = server.connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def go_on(function, *arguments):
        while True:
            try:
                result = function(*arguments)
            except ssl.SSLWantReadError:
                result = None
            for byte in outgoing.read():
                client.sendall(bytes([byte]))
            if result is not None or function == hello.do_handshake and hello.version():
                return result
            incoming.write(client.recv(65536))

    go_on(hello.do_handshake)
    assert go_on(hello.write, b"x") == 1 and go_on(hello.read, 9) == b"x"


def test_a_client_that_does_not_trust_the_server(serve, tls):
    server = serve(Echo, ssl_context=tls.server)
    suspicious = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLCertVerificationError):
        suspicious.wrap_socket(server.connect(), server_hostname="localhost")
    is_served(server, tls)


def test_a_version_that_is_not_spoken(serve, tls):
    tls.server.minimum_version = ssl.TLSVersion.TLSv1_3
    server = serve(Echo, ssl_context=tls.server)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError) as caught:
        old.wrap_socket(server.connect(), server_hostname="localhost")
    if serve.kind in ("epoll", "poll"):  # the others do not say why
        assert "alert protocol version" in str(caught.value).lower()
    is_served(server, tls)


def test_handshake_timeout(serve, tls):
    server = serve(Echo, ssl_context=tls.server, ssl_handshake_timeout=0.1)
    silent = server.connect()
    assert read_all(silent) == b""
    is_served(server, tls)


def test_a_handshake_in_time_is_not_ended_later(serve, tls):
    server = serve(Echo, ssl_context=tls.server, ssl_handshake_timeout=0.2)
    client = tls.connect(server)
    assert read_all(server.connect()) == b""  # by now the time of both is over
    client.sendall(b"x")
    assert read_exactly(client, 1) == b"x"


def test_connections_that_failed_are_counted_no_more(serve_ours, tls):
    server = serve_ours(Echo, ssl_context=tls.server, max_connections=1)
    for _ in range(3):
        client = server.connect()
        client.sendall(b"garbage, and much more than a header of it")
        with contextlib.suppress(ConnectionResetError):
            while client.recv(4096):
                pass
    is_served(server, tls)


def test_idle_connections_end(serve_ours, tls):
    server = serve_ours(Echo, ssl_context=tls.server, idle_timeout=0.1)
    tls.connect(server)
    assert server.protocol().wait_for("lost") == ("lost", TimeoutError)
    assert read_all(server.connect()) == b""  # in the handshake, too


def test_a_context_of_a_client(serve_ours, tls, caplog):
    server = serve_ours(Echo, ssl_context=tls.client)
    assert read_all(server.connect()) == b""
    assert "TLS" in caplog.text
