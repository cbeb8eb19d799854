"""relay(): bytes between two connected sockets, both ways, to both ends."""

import contextlib
import errno
import hashlib
import os
import random
import signal
import socket as stdlib_socket
import ssl
import struct
import threading
from collections import Counter

import pytest

import fastsock
from tests.conftest import FACILITIES, TIMEOUT_S
from tests.workers import Worker, needs_to_see_sleepers

pytestmark = needs_to_see_sleepers


def tcp_pair():
    with stdlib_socket.create_server(("127.0.0.1", 0)) as listener:
        near = stdlib_socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    return near, far


@pytest.fixture(params=["tcp", "unix", "tcp to unix"])
def path(request):
    """(client, a, b, server): what the client sends arrives at a, is relayed to b, and
    so comes to the server."""
    first, last = {"tcp": (tcp_pair, tcp_pair),
                   "unix": (stdlib_socket.socketpair, stdlib_socket.socketpair),
                   "tcp to unix": (tcp_pair, stdlib_socket.socketpair)}[request.param]
    with contextlib.ExitStack() as stack:
        client, a = map(stack.enter_context, first())
        b, server = map(stack.enter_context, last())
        for sock in (client, server):
            sock.settimeout(TIMEOUT_S)
        yield client, fastsock.adopt(a), fastsock.adopt(b), server


class Relaying(Worker):
    """relay() in a thread, which sleeps in poll(2) when this returns."""

    def __init__(self, a, b, **options):
        super().__init__("poll", lambda: fastsock.relay(a, b, **options))

    def outcome(self):
        self.join()
        if self.error is not None:
            raise self.error
        return self.result


def receive_all(sock):
    received = bytearray()
    while piece := sock.recv(1 << 16):
        received += piece
    return bytes(received)


def test_there_and_back(path):
    client, a, b, server = path
    relaying = Relaying(a, b)
    client.sendall(b"question")
    assert server.recv(100) == b"question"
    server.sendall(b"the answer")
    assert client.recv(100) == b"the answer"
    client.shutdown(stdlib_socket.SHUT_WR)
    assert server.recv(100) == b""
    server.sendall(b"more")  # half-closed: this direction goes on
    server.close()
    assert receive_all(client) == b"more"
    assert relaying.outcome() == (8, 14)


def test_much_in_both_directions_at_once(path):
    client, a, b, server = path
    there, back = (random.Random(seed).randbytes(24 << 20) for seed in (1, 2))
    relaying = Relaying(a, b)

    def send(sock, data):
        sock.sendall(data)
        sock.shutdown(stdlib_socket.SHUT_WR)

    found = {}
    threads = [threading.Thread(target=send, args=(client, there)),
               threading.Thread(target=send, args=(server, back)),
               threading.Thread(target=lambda: found.update(back=receive_all(client)))]
    for thread in threads:
        thread.start()
    found["there"] = receive_all(server)
    for thread in threads:
        thread.join()
    assert hashlib.sha256(found["there"]).digest() == hashlib.sha256(there).digest()
    assert hashlib.sha256(found["back"]).digest() == hashlib.sha256(back).digest()
    assert relaying.outcome() == (len(there), len(back))


def test_a_slow_reader_holds_the_sender_back(path):
    client, a, b, server = path
    relaying = Relaying(a, b)
    client.settimeout(0.5)
    sent = 0
    with pytest.raises(TimeoutError):  # until every buffer on the way is full
        while True:
            sent += client.send(b"x" * 65536)
    client.settimeout(TIMEOUT_S)
    client.shutdown(stdlib_socket.SHUT_WR)
    assert len(receive_all(server)) == sent
    server.close()
    assert relaying.outcome() == (sent, 0)


def test_one_piece_that_is_taken_in_many():
    client, a = stdlib_socket.socketpair()
    b, server = stdlib_socket.socketpair()
    with client, a, b, server:
        server.settimeout(TIMEOUT_S)
        b.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_SNDBUF, 4608)
        data = random.Random(1).randbytes(50_000)
        client.sendall(data)
        client.shutdown(stdlib_socket.SHUT_WR)
        relaying = Relaying(a, b)
        assert receive_all(server) == data
        server.close()
        assert relaying.outcome() == (50_000, 0)


def test_urgent_data_in_the_middle_of_much():
    """splice(2) stops at the urgent mark for ever; what is behind it arrives all the same."""
    client, a = tcp_pair()
    b, server = tcp_pair()
    data = b"x" * (8 << 20)
    with client, a, b, server:
        relaying = Relaying(a, b)

        def send():
            client.sendall(data)
            client.send(b"!", stdlib_socket.MSG_OOB)
            client.sendall(b"behind")
            client.shutdown(stdlib_socket.SHUT_WR)
        thread = threading.Thread(target=send)
        thread.start()
        received = receive_all(server)
        thread.join()
        server.close()
        assert relaying.outcome() == (len(data) + 6, 0)
    assert received == data + b"behind"


def test_sockets_get_their_mode_back(path):
    client, a, b, server = path
    b.settimeout(5)
    for sock in (client, server):
        sock.close()
    assert fastsock.relay(a, b) == (0, 0)
    assert a.getblocking() and a.gettimeout() is None
    assert b.gettimeout() == 5
    assert os.get_blocking(a.fileno()) and not os.get_blocking(b.fileno())


def test_stdlib_sockets_are_relayed_too():
    client, a = stdlib_socket.socketpair()
    b, server = stdlib_socket.socketpair()
    with client, a, b, server:
        relaying = Relaying(a, b)
        client.sendall(b"hello")
        assert server.recv(5) == b"hello"
        client.close()
        server.close()
        assert relaying.outcome() == (5, 0)


def test_idle_timeout(path):
    client, a, b, server = path
    client.sendall(b"abc")
    with pytest.raises(TimeoutError, match="0.1 s") as caught:
        fastsock.relay(a, b, idle_timeout=0.1)
    assert caught.value.bytes_relayed == (3, 0)
    assert server.recv(10) == b"abc"


def test_a_reset_is_said():
    client, a = tcp_pair()
    b, server = tcp_pair()
    with client, a, b, server:
        relaying = Relaying(a, b)
        client.sendall(b"abc")
        assert server.recv(3) == b"abc"
        client.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
        client.close()
        with pytest.raises(ConnectionResetError) as caught:
            relaying.outcome()
        assert caught.value.bytes_relayed == (3, 0)


def test_another_thread_closes_a_socket(path):
    client, a, b, server = path
    relaying = Relaying(a, b)
    fd = a.fileno()
    duplicate = stdlib_socket.socket(fileno=a.detach())  # the number stays in use
    with duplicate:
        assert duplicate.fileno() == fd
        server.sendall(b"x")  # wakes it: the fd is not the socket's any more
        with pytest.raises(OSError) as caught:
            relaying.outcome()
    assert caught.value.errno == errno.EBADF


def test_a_signal_handler_runs_and_may_end_it():
    client, a = fastsock.socketpair()
    b, server = fastsock.socketpair()
    calls = []

    def handler(number, frame):
        calls.append(number)
        if len(calls) == 2:
            raise ZeroDivisionError

    previous = signal.signal(signal.SIGALRM, handler)
    try:
        with client, a, b, server:
            client.sendall(b"abcd")
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            with pytest.raises(ZeroDivisionError) as caught:
                fastsock.relay(a, b)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert caught.value.bytes_relayed == (4, 0)
            assert server.recv(10) == b"abcd"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_bad_idle_timeouts(path, seconds):
    _, a, b, _ = path
    with pytest.raises(ValueError, match="idle_timeout must be above 0"):
        fastsock.relay(a, b, idle_timeout=seconds)


@pytest.mark.parametrize("seconds", ["3", [], 1j])
def test_idle_timeouts_that_are_no_number(path, seconds):
    _, a, b, _ = path
    with pytest.raises(TypeError) as caught:
        fastsock.relay(a, b, idle_timeout=seconds)
    assert str(caught.value) == (
        f"idle_timeout must be a number of seconds above 0, or None, not {seconds!r}")


def test_what_can_not_be_relayed(path):
    _, a, b, _ = path
    with pytest.raises(TypeError, match="relay\\(\\) takes sockets, not 'int'"):
        fastsock.relay(a, 3)
    with pytest.raises(ValueError, match="not one twice"):
        fastsock.relay(a, a)
    with fastsock.socket(type=stdlib_socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(ValueError, match="SOCK_STREAM"):
            fastsock.relay(a, datagrams)
    closed = fastsock.socket()
    closed.close()
    with pytest.raises(OSError) as caught:
        fastsock.relay(a, closed)
    assert caught.value.errno == errno.EBADF
    with fastsock.socket() as alone:
        with pytest.raises(OSError) as caught:
            fastsock.relay(a, alone)
        assert caught.value.errno == errno.ENOTCONN


def test_tls_is_refused():
    a, b = stdlib_socket.socketpair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with a, b, context.wrap_socket(a, do_handshake_on_connect=False) as wrapped:
        with pytest.raises(TypeError, match="SSLSocket"):
            fastsock.relay(wrapped, b)


TRAFFIC = """import threading
a, b = socket.socketpair()
c, d = socket.socketpair()
def send():
    for _ in range({count}):
        a.sendall(bytes({size}))
    a.close()
def receive():
    while d.recv(1 << 20):
        pass
    d.close()
threads = [threading.Thread(target=each) for each in (send, receive)]
for thread in threads: thread.start()"""


@pytest.mark.parametrize("count, size, is_spliced", [(64, 1 << 20, True), (100, 1000, False)])
def test_pages_are_moved_where_much_is(calls_of, count, size, is_spliced):
    """Bulk goes over to splice(2); a few messages don't open a pipe for it."""
    calls = Counter(calls_of(TRAFFIC.format(count=count, size=size),
                             f"assert socket.relay(b, c) == ({count * size}, 0)"))
    if is_spliced and FACILITIES["splice"]:
        assert calls["splice"] > 10 and calls["pipe2"] == 1
    else:
        assert calls["splice"] == calls["pipe2"] == 0


def test_a_direction_without_events_costs_no_call(calls_of):
    """A question and its answer: each is received, sent, and waited for once."""
    traffic = """import threading
a, b = socket.socketpair()
c, d = socket.socketpair()
def answer():
    while data := d.recv(100):
        d.sendall(data)
    d.close()
def ask():
    for _ in range(100):
        a.sendall(b"x")
        a.recv(100)
    a.close()
threads = [threading.Thread(target=each) for each in (answer, ask)]
for thread in threads: thread.start()"""
    calls = Counter(calls_of(traffic, "assert socket.relay(b, c) == (100, 100)"))
    # 200 messages: the relay's calls, and those of the two threads, which began a little
    # before the counting.
    assert 2 * 200 - 1 <= calls["sendto"] <= 2 * 200
    assert 2 * 200 - 1 <= calls["recvfrom"] <= 2 * 200 + 30
