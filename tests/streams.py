"""The kinds of sockets that a Stream goes over, for the tests of streams.

`connect` runs a test on each of them; the other end is a socket of the stdlib's.
"""

import contextlib
import signal
import socket as stdlib_socket
import ssl
import struct
import types

import pytest

import fastsock
from fastsock import framing
from tests.conftest import TIMEOUT_S
from tests.servers import client_context, pattern, server_context

hypothesis = pytest.importorskip("hypothesis")
st = hypothesis.strategies

FLIP = bytes(byte ^ 0x55 for byte in range(256))
WAITING = (BlockingIOError, TimeoutError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
LONG = pattern(100_000)
MUCH = LONG * 80  # more than the kernel keeps for any kind

#: Kinds that a Stream uses by system calls, and not by methods of their class.
DIRECT = ("unix", "tcp", "stdlib")

#: How a call that waits is ended: at once, or by a timeout.
SHORT_WAITS = [0, 0.001]


class Flipping(fastsock.socket):
    """What goes over the wire is not what it was given: nothing may go around it."""

    def recv(self, size, flags=0):
        return super().recv(size, flags).translate(FLIP)

    def send(self, data, flags=0):
        return super().send(bytes(data).translate(FLIP), flags)


class FlippingInto(fastsock.socket):
    def recv_into(self, buffer, nbytes=0, flags=0):
        count = super().recv_into(buffer, nbytes, flags)
        buffer[:count] = bytes(buffer[:count]).translate(FLIP)
        return count

    def sendall(self, data, flags=0):
        return super().sendall(bytes(data).translate(FLIP), flags)


class Peer:
    """The other end, a socket of the stdlib's."""

    def __init__(self, sock, table=None):
        self.sock, self.table = sock, table
        self.close = sock.close
        sock.settimeout(TIMEOUT_S)

    def send(self, data):
        """All of it at once, which must fit into the kernel's buffers."""
        left = memoryview(bytes(data).translate(self.table))
        self.sock.settimeout(0)
        while left:
            left = left[self.sock.send(left):]
        self.sock.settimeout(TIMEOUT_S)

    def read(self, size):
        """Exactly so many bytes."""
        received = bytearray()
        while len(received) < size:
            piece = self.sock.recv(size - len(received))
            assert piece, "the connection ended early"
            received += piece
        return bytes(received).translate(self.table)

    def drain(self):
        """What is there now."""
        received = bytearray()
        self.sock.settimeout(0)
        with contextlib.suppress(WAITING):
            while piece := self.sock.recv(1 << 20):
                received += piece
        self.sock.settimeout(TIMEOUT_S)
        return bytes(received).translate(self.table)

    def end(self):
        self.sock.shutdown(stdlib_socket.SHUT_WR)


def unix(make, table=None):
    """A kind over an AF_UNIX pair; with `room`, its end takes few bytes to send."""
    def connected(request, room):
        ours, theirs = stdlib_socket.socketpair()
        if room:
            ours.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, room)
        return make(ours), Peer(theirs, table)
    return connected


def tcp(request, room):
    with stdlib_socket.create_server(("127.0.0.1", 0)) as listener:
        ours = fastsock.create_connection(listener.getsockname())
        theirs = listener.accept()[0]
    theirs.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
    return ours, Peer(theirs)


@pytest.fixture(scope="session")
def contexts(certificates):
    return client_context(certificates), server_context(certificates)


def tls(request, room):
    client, server = request.getfixturevalue("contexts")
    a, b = stdlib_socket.socketpair()
    ours = client.wrap_socket(fastsock.socket(fileno=a.detach()), server_hostname="localhost",
                              do_handshake_on_connect=False)
    theirs = server.wrap_socket(b, server_side=True, do_handshake_on_connect=False)
    left = [ours, theirs]
    for sock in left:
        sock.setblocking(False)
    while left:
        for sock in left[:]:
            with contextlib.suppress(ssl.SSLWantReadError):
                sock.do_handshake()
                left.remove(sock)
    if room:
        ours.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, room)
    return ours, Peer(theirs)


def duck(sock):
    return types.SimpleNamespace(**{name: getattr(sock, name) for name in (
        "recv", "send", "gettimeout", "settimeout", "close", "fileno")})


KINDS = {
    "unix": unix(lambda sock: fastsock.socket(fileno=sock.detach())),
    "tcp": tcp,
    "stdlib": unix(lambda sock: sock),
    "tls": tls,
    "own recv and send": unix(lambda sock: Flipping(fileno=sock.detach()), FLIP),
    "own recv_into and sendall": unix(lambda sock: FlippingInto(fileno=sock.detach()), FLIP),
    "duck": unix(duck),
}


@pytest.fixture(params=KINDS)
def connect(request):
    """For `with`: a Stream over a new socket of each kind, and its peer."""
    @contextlib.contextmanager
    def connected(timeout=TIMEOUT_S, room=None, **keywords):
        sock, peer = KINDS[request.param](request, room)
        sock.settimeout(timeout)
        with contextlib.closing(sock), contextlib.closing(peer):
            yield fastsock.Stream(sock, **keywords), peer

    connected.kind = request.param
    return connected


@pytest.fixture
def stream_pair():
    """A Stream over fastsock's socket, with Lines, and its peer."""
    sock, peer = KINDS["unix"](None, None)
    sock.settimeout(TIMEOUT_S)
    with sock, peer.sock:
        yield fastsock.Stream(sock, framing=framing.Lines()), peer


def examples(count):
    return hypothesis.settings(
        max_examples=count, deadline=None, database=None,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])


def reset(peer):
    """Close it; TCP says so by a reset, and not by an end."""
    peer.sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER,
                         struct.pack("ii", 1, 0))
    peer.close()


class Interrupted(Exception):
    """What a signal handler raises."""


@contextlib.contextmanager
def interruption(error=None):
    """Signals at an interval; the handler raises, once."""
    errors = [error or Interrupted()]

    def handle(_, frame):
        # Not on the way in: on a busy machine the first signal may come so soon.
        if errors and frame.f_code.co_filename not in (__file__, contextlib.__file__):
            raise errors.pop()

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with pytest.raises(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def flush_all(stream, peer, size, read=b""):
    """Flush as often as it takes while the peer reads `size` bytes; all that it has read."""
    stream.sock.settimeout(0)
    for _ in range(5000):
        try:
            stream.flush()
            # Only what goes over TCP may still be on its way.
            read += peer.read(size - len(read)) if peer.sock.family == fastsock.AF_INET else b""
            return read + peer.drain()
        except WAITING:
            read += peer.drain()
            assert len(read) <= size, "some of it was sent twice"
    raise AssertionError("it goes on for ever")
