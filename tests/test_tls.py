"""TLS over our sockets: it works as over the stdlib's, and nothing goes in the clear.

Three concerns: ssl wraps sockets that it is given; ssl.SSLSocket derived from
fastsock.socket encrypts by every method, which a recording proxy proves; and a class
that overrides send and recv is not gone around.
"""

import io
import json
import select
import socket as stdlib_socket
import ssl
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.servers import PEERS, client_context, server_context

DATA = bytes(range(256)) * 8192
MARKER = b"PASSWORD-IN-CLEAR"
GREETING = b"PASSWORD-IN-CLEAR of the server\n"


class Background:
    """A call in a thread; result() waits for it, and raises what it raised."""

    def __init__(self, function, *arguments, **keywords):
        def run():
            try:
                self.value = function(*arguments, **keywords)
            except BaseException as error:
                self.error = error

        self.value = self.error = None
        self.thread = threading.Thread(target=run)
        self.thread.start()

    def result(self):
        self.thread.join(2 * TIMEOUT_S)
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.value


@pytest.fixture
def tls_pair(tcp_pair, certificates):
    """Two connected SSLSockets with timeouts: (client, server)."""
    client, server = tcp_pair
    accepting = Background(
        server_context(certificates).wrap_socket, server, server_side=True)
    secure = client_context(certificates).wrap_socket(client, server_hostname="localhost")
    with secure, accepting.result() as secure_server:
        yield secure, secure_server


def receive_exactly(sock, size):
    received = bytearray()
    while len(received) < size:
        piece = sock.recv(65536)
        assert piece, "the connection ended early"
        received += piece
    return bytes(received)


# -- (a) ssl wraps a socket that it is given -------------------------------------


def test_wrapping_takes_the_descriptor(tcp_pair, certificates):
    client, _ = tcp_pair
    fd = client.fileno()
    with client_context(certificates).wrap_socket(
            client, server_hostname="localhost", do_handshake_on_connect=False) as secure:
        assert secure.fileno() == fd
        assert client.fileno() == -1
        assert secure.gettimeout() == TIMEOUT_S


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_both_directions(tls_pair, timeout):
    for sender, receiver in (tls_pair, tls_pair[::-1]):
        sender.settimeout(timeout)
        receiver.settimeout(timeout)
        sending = Background(sender.sendall, DATA)
        assert receive_exactly(receiver, len(DATA)) == DATA
        sending.result()


def exchange(secure, data, piece_size=16384):
    """Send and receive in turn, in one thread: OpenSSL's objects are not made for two,
    and Python guards them only from 3.13 on."""
    pieces = [data[start:start + piece_size] for start in range(0, len(data), piece_size)]
    received = []
    for piece in pieces:
        secure.sendall(piece)
        received.append(receive_exactly(secure, len(piece)))
    return b"".join(received)


def test_both_directions_at_once(tls_pair):
    client, server = tls_pair
    running = [Background(exchange, client, DATA), Background(exchange, server, DATA[::-1])]
    assert [call.result() for call in running] == [DATA[::-1], DATA]


def wait_for(secure, action):
    """Repeat what a non-blocking SSLSocket asks to have repeated."""
    for _ in range(100_000):
        try:
            return action()
        except ssl.SSLWantReadError:
            ready = select.select([secure], [], [], TIMEOUT_S)
        except ssl.SSLWantWriteError:
            ready = select.select([], [secure], [], TIMEOUT_S)
        assert any(ready), "nothing came"
    raise AssertionError("never ready")


def test_non_blocking(tcp_pair, certificates):
    client, server = tcp_pair
    for sock in tcp_pair:
        sock.setblocking(False)
    with (client_context(certificates).wrap_socket(
              client, server_hostname="localhost", do_handshake_on_connect=False) as a,
          server_context(certificates).wrap_socket(
              server, server_side=True, do_handshake_on_connect=False) as b):
        with pytest.raises(ssl.SSLWantReadError):
            b.do_handshake()
        shaking = Background(wait_for, b, b.do_handshake)
        wait_for(a, a.do_handshake)
        shaking.result()
        with pytest.raises(ssl.SSLWantReadError):
            b.recv(1)

        def send():
            left = memoryview(DATA)
            while left:
                left = left[wait_for(a, lambda: a.send(left)):]

        sending, received = Background(send), bytearray()
        while len(received) < len(DATA):
            received += wait_for(b, lambda: b.recv(65536))
        sending.result()
        assert received == DATA


def test_makefile(tls_pair):
    client, server = tls_pair
    with client.makefile("rwb") as ours, server.makefile("rwb") as theirs:
        ours.write(b"question\n")
        ours.flush()
        assert theirs.readline() == b"question\n"
        theirs.write(b"answer\n")
        theirs.flush()
        assert ours.readline() == b"answer\n"


def test_recv_into(tls_pair):
    client, server = tls_pair
    client.sendall(b"0123456789")
    room = bytearray(b"." * 8)
    assert server.recv_into(room, 4) == 4
    assert server.recv_into(memoryview(room)[4:]) == 4
    assert room == b"01234567"
    assert server.recv(10) == b"89"


@pytest.mark.parametrize("offset, count", [(0, None), (1000, 300_000)])
def test_sendfile(tls_pair, tmp_path, offset, count):
    client, server = tls_pair
    (tmp_path / "file").write_bytes(DATA)
    expected = DATA[offset:] if count is None else DATA[offset:offset + count]
    receiving = Background(receive_exactly, server, len(expected))
    with open(tmp_path / "file", "rb") as file:
        assert client.sendfile(file, offset, count) == len(expected)
        assert file.tell() == offset + len(expected)
    assert receiving.result() == expected


def test_unwrap_leaves_a_plain_connection(tls_pair):
    client, server = tls_pair
    unwrapping = Background(server.unwrap)
    with client.unwrap() as a, unwrapping.result() as b:
        a.sendall(b"in the clear")
        assert b.recv(100) == b"in the clear"
        b.sendall(b"as well")
        assert a.recv(100) == b"as well"


def test_getpeercert(tls_pair):
    client, server = tls_pair
    names = client.getpeercert()["subjectAltName"]
    assert ("DNS", "localhost") in names
    assert ("IP Address", "127.0.0.1") in names
    assert server.getpeercert() is None
    assert client.version() == server.version()
    assert client.cipher() == server.cipher()


def test_alpn(tcp_pair, certificates):
    client, server = tcp_pair
    ours, theirs = client_context(certificates), server_context(certificates)
    ours.set_alpn_protocols(["h2", "http/1.1"])
    theirs.set_alpn_protocols(["http/1.1"])
    accepting = Background(theirs.wrap_socket, server, server_side=True)
    with (ours.wrap_socket(client, server_hostname="localhost") as a,
          accepting.result() as b):
        assert a.selected_alpn_protocol() == b.selected_alpn_protocol() == "http/1.1"


def test_wrong_name_is_refused(tcp_pair, certificates):
    client, server = tcp_pair
    accepting = Background(
        server_context(certificates).wrap_socket, server, server_side=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        client_context(certificates).wrap_socket(client, server_hostname="example.org")
    with pytest.raises(ssl.SSLError) as refused:
        with accepting.result() as secure:  # TLS 1.3: done before the client looks
            secure.recv(1)
    assert "ALERT" in refused.value.reason


def test_handshake_timeout(tcp_pair, certificates):
    client, _ = tcp_pair  # of which the other end says nothing
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client_context(certificates).wrap_socket(client, server_hostname="localhost")


def test_recv_timeout(tls_pair):
    client, server = tls_pair
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(1)
    server.sendall(b"late")
    client.settimeout(TIMEOUT_S)
    assert client.recv(10) == b"late"


@pytest.mark.parametrize("suppress", [True, False])
def test_end_without_goodbye(tcp_pair, certificates, suppress):
    client, server = tcp_pair
    accepting = Background(
        server_context(certificates).wrap_socket, server, server_side=True)
    with client_context(certificates).wrap_socket(
            client, server_hostname="localhost", suppress_ragged_eofs=suppress) as a:
        with accepting.result() as b:
            b.sendall(b"half")
        assert a.recv(100) == b"half"
        if suppress:
            assert a.recv(100) == b""
        else:
            with pytest.raises(ssl.SSLEOFError):
                a.recv(100)


def test_end_in_the_handshake(tcp_pair, certificates):
    client, server = tcp_pair
    shaking = Background(
        client_context(certificates).wrap_socket, client, server_hostname="localhost")
    assert server.recv(5)[0] == 22  # a handshake record: the client has begun
    server.shutdown(stdlib_socket.SHUT_WR)
    with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
        shaking.result()


def test_listener_that_is_wrapped(socket, listener, certificates):
    address = listener.getsockname()
    with server_context(certificates).wrap_socket(listener, server_side=True) as secure:
        accepting = Background(secure.accept)
        with client_context(certificates).wrap_socket(
                socket.socket(), server_hostname="localhost") as client:
            client.settimeout(TIMEOUT_S)
            client.connect(address)
            server, peer = accepting.result()
            with server:
                assert isinstance(server, ssl.SSLSocket)
                assert peer == client.getsockname()
                server.sendall(b"hello")
                assert client.recv(10) == b"hello"


def test_datagram_sockets_are_refused(socket, certificates):
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        with pytest.raises(NotImplementedError):
            client_context(certificates).wrap_socket(sock, server_hostname="localhost")


# -- (b) SSLSocket derived from fastsock.socket: never in the clear ---------------


class TlsServer:
    """Greets each connection over TLS; keeps what each sent, decrypted."""

    def __init__(self, context):
        self.context = context
        self.received = []
        self.listener = stdlib_socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            connection, _ = self.listener.accept()
            connection.settimeout(TIMEOUT_S)
            with connection:
                if not connection.recv(1, stdlib_socket.MSG_PEEK):
                    return  # stop() says so
                with self.context.wrap_socket(connection, server_side=True) as secure:
                    self.received.append(self.talk(secure))

    def talk(self, secure):
        received = bytearray()
        secure.sendall(GREETING)
        while piece := secure.recv(65536):
            received += piece
        return bytes(received)

    def stop(self):
        stdlib_socket.create_connection(self.address).close()
        self.thread.join(TIMEOUT_S)
        self.listener.close()


class RecordingProxy:
    """Passes connections on, one after the other, and keeps all bytes of both ways."""

    def __init__(self, target):
        self.target = target
        self.wire = bytearray()
        self.listener = stdlib_socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            with client:
                if not client.recv(1, stdlib_socket.MSG_PEEK):
                    return
                heard = {}
                with stdlib_socket.create_connection(self.target) as server:
                    self.pass_on(client, server, heard)
                self.wire += b"".join(heard.values())

    def pass_on(self, client, server, heard):
        other_end = {client: server, server: client}
        heard.update({client: bytearray(), server: bytearray()})
        open_ends = [client, server]
        for end in open_ends:  # or small records wait for an ACK
            end.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        while open_ends:
            readable, _, _ = select.select(open_ends, [], [], TIMEOUT_S)
            if not readable:
                break
            for end in readable:
                data = end.recv(65536)
                heard[end] += data
                if data:
                    other_end[end].sendall(data)
                else:
                    open_ends.remove(end)
                    other_end[end].shutdown(stdlib_socket.SHUT_WR)

    def stop(self):
        stdlib_socket.create_connection(self.address).close()
        self.thread.join(TIMEOUT_S)
        self.listener.close()


REPLACED = """
import runpy, sys, fastsock
sys.modules["socket"] = fastsock
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def use_every_method(python, certificates, how):
    """What tests/peers/tls_methods.py says, what the server got, and the wire."""
    server = TlsServer(server_context(certificates))
    proxy = RecordingProxy(server.address)
    implementation = "stdlib" if how == "stdlib" else "fastsock"
    script = [PEERS / "tls_methods.py", proxy.address[1], certificates.authority,
              implementation]
    try:
        if how == "replaced":
            shown = python(*script, code=REPLACED)
        else:
            shown = python(*(["-m", "fastsock", "run"] if how == "run" else []), *script)
    finally:
        proxy.stop()
        server.stop()
    return json.loads(shown.stdout), server.received, bytes(proxy.wire)


def test_the_proxy_sees_what_is_in_the_clear():
    with stdlib_socket.create_server(("127.0.0.1", 0)) as target:
        proxy = RecordingProxy(target.getsockname())
        try:
            with stdlib_socket.create_connection(proxy.address, TIMEOUT_S) as client:
                client.sendall(MARKER)
                with target.accept()[0] as server:
                    assert server.recv(100) == MARKER
                assert client.recv(1) == b""
        finally:
            proxy.stop()
    assert proxy.wire == MARKER


@pytest.mark.parametrize("how", ["run", "replaced"])
def test_no_method_sends_in_the_clear(python, certificates, how):
    expected, expected_received, _ = use_every_method(python, certificates, "stdlib")
    found, received, wire = use_every_method(python, certificates, how)
    assert dict(found) == dict(expected)
    assert received == expected_received
    assert sum(MARKER in data for data in received) >= 15  # what works has arrived
    assert len(wire) > sum(map(len, received))
    assert MARKER not in wire


# -- (c) a class of its own send and recv ----------------------------------------


def xor(data):
    return bytes(byte ^ 0x55 for byte in data)


def xor_class(base):
    class Xor(base):
        """A cipher of a sort: what is sent differs from what is given."""

        def send(self, data, flags=0):
            return super().send(xor(data), flags)

        def sendall(self, data, flags=0):
            return super().sendall(xor(data), flags)

        def recv(self, size, flags=0):
            return xor(super().recv(size, flags))

        def recv_into(self, buffer, nbytes=0, flags=0):
            count = super().recv_into(buffer, nbytes, flags)
            view = memoryview(buffer).cast("B")
            view[:count] = xor(view[:count])
            return count

    return Xor


@pytest.fixture
def xor_pair(socket):
    """(a socket that encrypts, the plain other end)"""
    a, b = socket.socketpair()
    with xor_class(socket.socket)(fileno=a.detach()) as encrypting, b:
        encrypting.settimeout(TIMEOUT_S)
        b.settimeout(TIMEOUT_S)
        yield encrypting, b


def test_makefile_uses_the_override(xor_pair):
    encrypting, plain = xor_pair
    with encrypting.makefile("rwb") as file:
        file.write(MARKER)
        file.flush()
        assert plain.recv(100) == xor(MARKER)
        plain.sendall(xor(b"answer\n"))
        assert file.readline() == b"answer\n"


@pytest.mark.parametrize("overridden", [
    ("send",), ("send", "sendall"), ("send", "recv"), ("send", "sendall", "recv", "recv_into")])
def test_sendfile_uses_the_override(tmp_path, overridden):
    """Of fastsock only: the stdlib's sendfile goes around an override."""
    (tmp_path / "file").write_bytes(MARKER * 1000)
    a, b = fastsock.socketpair()

    class Some(xor_class(fastsock.socket)):
        pass

    for name in {"send", "sendall", "recv", "recv_into"} - set(overridden):
        setattr(Some, name, getattr(fastsock.socket, name))
    with Some(fileno=a.detach()) as sock, b, open(tmp_path / "file", "rb") as file:
        b.settimeout(TIMEOUT_S)
        assert sock.sendfile(file) == len(MARKER) * 1000
        assert file.tell() == len(MARKER) * 1000
        assert receive_exactly(b, len(MARKER) * 1000) == xor(MARKER * 1000)


def test_sendfile_of_another_file_uses_the_override():
    a, b = fastsock.socketpair()
    with xor_class(fastsock.socket)(fileno=a.detach()) as sock, b:
        assert sock.sendfile(io.BytesIO(MARKER)) == len(MARKER)
        assert b.recv(100) == xor(MARKER)
