"""Relay, the proxy on the loop, and `python -m fastsock serve`."""

import contextlib
import hashlib
import http.client
import os
import pathlib
import random
import re
import signal
import socket as stdlib_socket
import subprocess
import sys
import threading

import pytest

import fastsock
from fastsock import _relay_front
from fastsock.commands import http_files
from tests.conftest import TIMEOUT_S, no_fd_free
from tests.network import has_ipv6


@contextlib.contextmanager
def serving(server):
    """A server that runs in a thread while it is needed."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


class Target:
    """Where a relay leads: a listener whose connections are the test's."""

    def __init__(self, family=stdlib_socket.AF_INET, address=("127.0.0.1", 0)):
        self.listener = stdlib_socket.socket(family)
        self.listener.bind(address)
        self.listener.listen()
        self.listener.settimeout(TIMEOUT_S)
        self.address = self.listener.getsockname()

    def accept(self):
        connection, _ = self.listener.accept()
        connection.settimeout(TIMEOUT_S)
        return connection


@pytest.fixture
def target():
    made = Target()
    with made.listener:
        yield made


@pytest.fixture(params=[False, True], ids=["epoll", "poll"])
def use_poll(request):
    return request.param


def connect(server):
    return stdlib_socket.create_connection(server.addresses[0], timeout=TIMEOUT_S)


def receive_all(sock):
    received = bytearray()
    while piece := sock.recv(1 << 16):
        received += piece
    return bytes(received)


def test_there_and_back_and_both_ends(target, use_poll):
    with serving(fastsock.Relay(("127.0.0.1", 0), target.address, use_poll=use_poll)) as relay:
        with connect(relay) as client, target.accept() as behind:
            client.sendall(b"question")
            assert behind.recv(100) == b"question"
            client.shutdown(stdlib_socket.SHUT_WR)
            assert behind.recv(100) == b""
            behind.sendall(b"answer")
            behind.close()
            assert receive_all(client) == b"answer"
    assert relay.bytes_relayed == (8, 6)
    assert relay.connection_count == 0


def test_much_in_both_directions_at_once(target, use_poll):
    there, back = (random.Random(seed).randbytes(16 << 20) for seed in (1, 2))

    def send(sock, data):
        sock.sendall(data)
        sock.shutdown(stdlib_socket.SHUT_WR)

    with serving(fastsock.Relay(("127.0.0.1", 0), target.address, use_poll=use_poll)) as relay:
        with connect(relay) as client, target.accept() as behind:
            found = []
            threads = [threading.Thread(target=send, args=(client, there)),
                       threading.Thread(target=send, args=(behind, back)),
                       threading.Thread(target=lambda: found.append(receive_all(client)))]
            for thread in threads:
                thread.start()
            arrived = receive_all(behind)
            for thread in threads:
                thread.join()
    assert hashlib.sha256(arrived).digest() == hashlib.sha256(there).digest()
    assert hashlib.sha256(found[0]).digest() == hashlib.sha256(back).digest()


def test_many_connections(target):
    with serving(fastsock.Relay(("127.0.0.1", 0), target.address)) as relay:
        with contextlib.ExitStack() as stack:
            pairs = []
            for number in range(100):
                client = stack.enter_context(connect(relay))
                pairs.append((client, stack.enter_context(target.accept())))
            for number, (client, _) in enumerate(pairs):
                client.sendall(b"%d" % number)
            for number, (client, behind) in enumerate(pairs):
                assert behind.recv(100) == b"%d" % number
                behind.sendall(b"-%d" % number)
                assert client.recv(100) == b"-%d" % number


def test_nobody_listens_there(caplog):
    with Target().listener as listener:
        address = listener.getsockname()
    with serving(fastsock.Relay(("127.0.0.1", 0), address)) as relay:
        with pytest.raises(ConnectionResetError), connect(relay) as client:
            client.recv(1)
    assert f"can't connect to {address!r}: Connection refused" in caplog.text


@pytest.mark.parametrize("family, host", [
    (stdlib_socket.AF_INET, "127.0.0.2"),   # where nobody listens
    (99, "127.0.0.1")],                     # as IPv6 where there is none
    ids=["address", "family"])
def test_the_next_address_is_tried(target, monkeypatch, tmp_path, family, host):
    port = target.address[1]
    both = [(kind, stdlib_socket.SOCK_STREAM, 6, "", (where, port))
            for kind, where in ((family, host), (stdlib_socket.AF_INET, "127.0.0.1"))]
    with monkeypatch.context() as patch:
        patch.setattr(stdlib_socket, "getaddrinfo", lambda *arguments, **keywords: both)
        relay = fastsock.Relay(tmp_path / "front", ("two.example", port))
    with serving(relay), stdlib_socket.socket(stdlib_socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(relay.addresses[0])
        with target.accept() as behind:
            behind.sendall(b"hello")
            assert client.recv(5) == b"hello"


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("rest", [(), (7,), (7, 3)], ids=str)
def test_complete_addresses_of_ipv6(rest, monkeypatch):
    # What is connected to is what the caller named: a scope id chooses the interface.
    tried = []

    class Recording(fastsock.socket):
        def connect_ex(self, address):
            tried.append(address)
            return super().connect_ex(("::1", address[1]))

    monkeypatch.setattr(_relay_front, "socket", Recording)
    with Target(stdlib_socket.AF_INET6, ("::1", 0)).listener as listener:
        port = listener.getsockname()[1]
        with serving(fastsock.Relay(("127.0.0.1", 0), ("fe80::1", port, *rest))) as relay:
            with connect(relay), listener.accept()[0]:
                pass
    assert tried == [("fe80::1", port, *(*rest, 0, 0)[:2])]


def test_unix_sockets_on_both_sides(tmp_path):
    made = Target(stdlib_socket.AF_UNIX, str(tmp_path / "behind"))
    # A path as text, as bytes would be, or as what pathlib has.
    with made.listener, serving(
            fastsock.Relay(tmp_path / "front", tmp_path / "behind")) as relay:
        with stdlib_socket.socket(stdlib_socket.AF_UNIX) as client:
            client.settimeout(TIMEOUT_S)
            client.connect(relay.addresses[0])
            with made.accept() as behind:
                client.sendall(b"hello")
                assert behind.recv(5) == b"hello"


def test_a_connection_that_never_began_closes_nothing():
    from fastsock import _relay_front
    before = os.fstat(0)
    _relay_front.Front()
    _relay_front.Rear()
    assert os.path.samestat(os.fstat(0), before)


def test_a_target_that_is_no_address(tmp_path, caplog):
    with serving(fastsock.Relay(("127.0.0.1", 0), "/" + "x" * 200)) as relay:
        for _ in range(2):  # the relay goes on
            with pytest.raises(ConnectionResetError), connect(relay) as client:
                client.recv(1)
    assert f"can't connect to {'/' + 'x' * 200!r}: AF_UNIX path too long" in caplog.text


def test_an_idle_connection_is_ended(target):
    with serving(fastsock.Relay(("127.0.0.1", 0), target.address, idle_timeout=0.2)) as relay:
        with connect(relay) as client, target.accept() as behind:
            for sock in client, behind:  # neither peer said that it is through
                with pytest.raises(ConnectionResetError):
                    sock.recv(1)


def test_max_connections(target):
    with serving(fastsock.Relay(("127.0.0.1", 0), target.address, max_connections=1)) as relay:
        with connect(relay) as first, target.accept() as behind:
            with connect(relay) as second:
                second.sendall(b"second")
                first.sendall(b"first")
                assert behind.recv(100) == b"first"
                first.close()
                behind.close()
                with target.accept() as behind_second:
                    assert behind_second.recv(100) == b"second"


@pytest.mark.parametrize("arguments, options, error, text", [
    ((("127.0.0.1", 0), 8000), {}, TypeError, "8000"),
    ((("127.0.0.1", 0), ("127.0.0.1", 1)), {"connect_timeout": 0}, ValueError, "not 0"),
    ((("127.0.0.1", 0), ("127.0.0.1", 1)), {"ssl_context": None}, TypeError, "ssl_context"),
    ((("127.0.0.1", 0), ("127.0.0.1", 1)), {"make_protocol": None}, TypeError, "make_protocol"),
    ((("127.0.0.1", 0), ("127.0.0.1", 1)), {"max_connections": -3}, ValueError, "-3"),
])
def test_bad_arguments(arguments, options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        fastsock.Relay(*arguments, **options)


# The command line.

@contextlib.contextmanager
def command(*arguments, status=0, log=None):
    """A server of `python -m fastsock serve`: (process, port or path).

    What it prints to standard error must be nothing, or is appended to `log`.
    """
    if arguments[0] == "http" and log is None:
        arguments = (*arguments, "--quiet")
    root = pathlib.Path(fastsock.__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "error", "-m", "fastsock", "serve", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root)})
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on "), process.communicate()
        place = line.removeprefix("listening on ").rstrip()
        yield process, place if "/" in place else int(place.rsplit(":", 1)[1])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors if log is None else "") == (status, "")
    if log is not None:
        log += errors.splitlines()


@pytest.mark.parametrize("workers", [1, 2])
def test_serve_echo(workers):
    with command("echo", "--listen", "127.0.0.1:0", "--workers", workers) as (_, port):
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            client.sendall(b"hello")
            assert client.recv(5) == b"hello"


def test_serve_echo_at_a_path(tmp_path):
    path = str(tmp_path / "s")
    with command("echo", "--listen", path) as (_, place), \
            stdlib_socket.socket(stdlib_socket.AF_UNIX) as client:
        assert place == path
        client.settimeout(TIMEOUT_S)
        client.connect(path)
        client.sendall(b"hello")
        assert client.recv(5) == b"hello"
    assert not os.path.exists(path)


def test_ctrl_c():
    # As a shell says it of a program that SIGINT ended.
    with command("echo", "--listen", "127.0.0.1:0", status=130) as (process, port):
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            process.send_signal(signal.SIGINT)
            process.wait(TIMEOUT_S)
            assert client.recv(1) == b""


def test_serve_http(tmp_path):
    (tmp_path / "small.txt").write_bytes(b"small\n")
    large = random.Random(3).randbytes(3_000_000)
    (tmp_path / "large.bin").write_bytes(large)
    (tmp_path / "middle").write_bytes(large[:100_000])
    with command("http", tmp_path, "--listen", "127.0.0.1:0") as (_, port):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
        for name, expected in (("small.txt", b"small\n"), ("large.bin", large),
                               ("middle", large[:100_000]), ("small.txt", b"small\n")):
            client.request("GET", f"/{name}")  # all on one connection
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, expected)
            assert not answer.will_close
        client.request("HEAD", "/large.bin")
        answer = client.getresponse()
        assert (answer.getheader("Content-Length"), answer.read()) == ("3000000", b"")
        for path, status in (("/none", 404), ("/../../etc/passwd", 404), ("/", 404)):
            client.request("GET", path)
            answer = client.getresponse()
            assert (answer.status, answer.read()[:3]) == (status, b"%d" % status)
        client.request("DELETE", "/small.txt")
        answer = client.getresponse()
        assert (answer.status, answer.read()[:3]) == (405, b"405")
        client.close()


def test_serve_http_pipelined_and_cut(tmp_path):
    large = random.Random(4).randbytes(400_000)
    (tmp_path / "large").write_bytes(large)
    requests = b"GET /large HTTP/1.1\r\n\r\n" * 3 + b"GET /none HTTP/1.0\r\n\r\n"
    with command("http", tmp_path, "--listen", "127.0.0.1:0") as (_, port):
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            for index in range(len(requests)):
                client.sendall(requests[index:index + 1])
            received = receive_all(client)
    assert received.count(large) == 3
    assert received.count(b"HTTP/1.1 200 ") == 3
    assert b"HTTP/1.1 404 " in received


@pytest.mark.parametrize("ending", ["the server", "the client"])
def test_serve_http_ends_after_a_large_answer(tmp_path, ending):
    # When all of it was sent: by "Connection: close", or as the client has sent its end.
    large = random.Random(5).randbytes(3_000_000)
    (tmp_path / "large").write_bytes(large)
    with command("http", tmp_path, "--listen", "127.0.0.1:0") as (_, port):
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            if ending == "the server":
                client.sendall(b"GET /large HTTP/1.1\r\nConnection: close\r\n\r\n")
            else:
                client.sendall(b"GET /large HTTP/1.1\r\n\r\n")
                client.shutdown(stdlib_socket.SHUT_WR)
            head, _, body = receive_all(client).partition(b"\r\n\r\n")
    assert body == large and head.startswith(b"HTTP/1.1 200 OK")
    assert (b"Connection: close" in head) == (ending == "the server")


def test_a_file_that_can_not_be_opened(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with no_fd_free(), pytest.raises(http_files.Refused) as caught:
        http_files.open_below(tmp_path, "/file", True)
    assert (caught.value.status, caught.value.keep_alive) == (404, True)
    with http_files.open_below(tmp_path, "/file", True) as file:
        assert file.read() == b"x"


@pytest.mark.parametrize("request_head, status", [
    (b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nbad header\r\n\r\n", 400),
    (b"GET /%00 HTTP/1.1\r\nConnection: close\r\n\r\n", 400), (b"x" * 20_000, 431)])
def test_serve_http_refuses(tmp_path, request_head, status):
    with command("http", tmp_path, "--listen", "127.0.0.1:0") as (_, port):
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            client.sendall(request_head)
            assert receive_all(client).startswith(b"HTTP/1.1 %d " % status)


def test_serve_relay(target):
    with command("relay", "127.0.0.1:0", "127.0.0.1:%d" % target.address[1]) as (_, port):
        with stdlib_socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as client:
            with target.accept() as behind:
                client.sendall(b"hello")
                assert behind.recv(5) == b"hello"


@pytest.mark.parametrize("arguments, text", [
    (["echo", "--listen", "8000"], "'8000' has no port: an address is HOST:PORT"),
    (["echo", "--listen", "127.0.0.1:70000"], "'70000' is not a port, which is 0 to 65535"),
    (["http", "/nowhere/at/all"], "/nowhere/at/all is no folder"),
    (["relay", "127.0.0.1:0"], "CONNECT"),
    (["ftp"], "invalid choice: 'ftp'"),
    (["echo", "--max-connections", "0"], "max_connections must be above 0, not 0"),
])
def test_mistakes_on_the_command_line(python, arguments, text):
    result = python("-m", "fastsock", "serve", *arguments, check=False)
    assert result.returncode == 2
    assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_help(python):
    shown = python("-m", "fastsock", "serve", "--help").stdout
    assert "echo" in shown and "http" in shown and "relay" in shown
    assert "--idle-timeout" in python("-m", "fastsock", "serve", "echo", "--help").stdout
