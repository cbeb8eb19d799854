"""The examples against peers that lie, flood, reset or stay silent, and errors told.

Runs as tests/test_examples.py does, both on fastsock and on the stdlib's socket.
"""

import os
import re
import socket as stdlib_socket
import sys

import pytest

from tests.conftest import TIMEOUT_S
from tests.test_examples import (
    ECHO_SERVERS, MEBIBYTE, SERVERS, connect, exchange, frame, nodes, receive_all, site, start)

__all__ = ["nodes", "site", "start"]  # the fixtures, which pytest finds by these names


def reset(sock):
    """Close a TCP socket so that the peer is reset."""
    sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER,
                    b"\1\0\0\0\0\0\0\0" if sys.byteorder == "little" else b"\0\0\0\1\0\0\0\0")
    sock.close()


@pytest.mark.parametrize("name", ECHO_SERVERS)
def test_echo_server_outlives_a_reset(start, name):
    server = start(name, "--port", 0)
    port = server.port()
    client = connect(port)
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    reset(client)
    server.wait_for("^lost ")
    client = start("echo_client.py", "--port", port, "--message", "still there?")
    assert client.finish() == 0, client


@pytest.mark.parametrize("name", ECHO_SERVERS[1:])
def test_echo_server_serves_many_at_once(start, name):
    port = start(name, "--port", 0).port()
    clients = [connect(port) for _ in range(20)]
    try:
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number)
        for number, client in reversed(list(enumerate(clients))):
            expected = b"%d" % number
            assert client.recv(len(expected), stdlib_socket.MSG_WAITALL) == expected
    finally:
        for client in clients:
            client.close()


def test_single_echo_server_lets_an_idle_client_go(start):
    server = start("echo_server_single.py", "--port", 0, "--idle", 0.1)
    with connect(server.port()) as client:
        assert client.recv(1) == b""
    server.wait_for("^lost .* timed out")


def test_echo_client_notices_a_wrong_echo(start):
    with stdlib_socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(TIMEOUT_S)
        client = start("echo_client.py", "--port", server.getsockname()[1],
                       "--message", "abc")
        connection, _ = server.accept()
        with connection:
            connection.settimeout(TIMEOUT_S)
            assert connection.recv(4, stdlib_socket.MSG_WAITALL) == b"abc\n"
            connection.sendall(b"abd\n")
            assert client.finish() == 1
    assert client.output == [r"echo client: sent b'abc\n', and b'abd\n' came back"]


def test_echo_client_without_a_server(start):
    with stdlib_socket.socket() as unused:  # bound, not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        client = start("echo_client.py", "--port", unused.getsockname()[1], "--message", "x")
        assert client.finish() == 1
    assert re.fullmatch(r"echo client: \[Errno \d+\] Connection refused", *client.output)


@pytest.mark.parametrize("name, reason", [
    ("ada", "the name ada is taken"), ("* ada", "a name is 1 to 20 letters and digits")])
def test_chat_refuses_a_name(start, name, reason):
    port = start("chat_server.py", "--port", 0).port()
    ada = start("chat_client.py", "ada", "--port", port)
    ada.wait_for("welcome")
    other = start("chat_client.py", name, "--port", port)
    assert other.finish() == 1
    assert other.output[0] == f"* refused: {reason}"


def test_chat_server_bounds_what_it_keeps(start):
    server = start("chat_server.py", "--port", 0)
    port = server.port()
    with connect(port) as endless:
        endless.sendall(b"endless\n" + b"x" * 5000)
        assert receive_all(endless).endswith(b"* refused: your line is too long\n")
    with connect(port) as reader, connect(port) as deaf:
        # It has little room in its kernel, reads nothing, and so is dropped.
        deaf.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVBUF, 4096)
        deaf.sendall(b"deaf\n")
        server.wait_for(r"^\* deaf joined$")
        reader.sendall(b"reader\n")
        server.wait_for(r"^\* reader joined$")
        received = b""
        line = b"y" * 4000 + b"\n"
        for _ in range(64 * MEBIBYTE // len(line)):
            reader.sendall(line)
            reader.setblocking(False)
            try:
                received += reader.recv(65536)
            except BlockingIOError:
                pass
            reader.settimeout(TIMEOUT_S)
            if b"* deaf left" in received:
                break
        assert b"* deaf left\n" in received


def test_udp_receiver_counts_repeated_and_late_ones(start):
    receiver = start("udp_receiver.py", "--port", 0)
    port = receiver.port()
    with stdlib_socket.socket(type=stdlib_socket.SOCK_DGRAM) as sender:
        sender.settimeout(TIMEOUT_S)
        sender.connect(("127.0.0.1", port))
        sender.send(b"stray")
        for sequence in (0, 3, 1, 1, 9):
            sender.send(b"same run" + sequence.to_bytes(4) + (5).to_bytes(4) + b"\0")
        sender.send(b"same run" + (5).to_bytes(4) * 2 + b"\1")
        assert sender.recv(1000) == b"same run" b"received 3 of 5, lost 2, repeated 1, late 1"
    assert receiver.wait_for("").string.startswith("not ours, from 127.0.0.1 ")


def test_udp_sender_without_a_receiver(start):
    with stdlib_socket.socket(type=stdlib_socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        sender = start("udp_sender.py", "--port", silent.getsockname()[1], "--count", 2,
                       "--tries", 2, "--timeout", 0.1)
        assert sender.finish() == 1
    assert sender.output == ["udp sender: no report from the receiver after asking 2 times"]


@pytest.mark.parametrize("request_", [
    b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/2\r\nHost: a\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"GET /" + b"x" * 100_000,
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000],
    ids=["nonsense", "no host", "version", "spaces", "header space", "no header", "endless",
         "body"])
def test_http_refuses_and_closes(start, site, request_):
    port = start("http_server.py", site, "--port", 0).port()
    answer = exchange(port, request_)
    expected = b"405 Method Not Allowed" if b"POST" in request_ else b"400 Bad Request"
    assert answer.startswith(b"HTTP/1.1 " + expected)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("name", ["../secret.txt", "sub/inner.txt", "link.txt", ".hidden",
                                  "sub", ".."])
def test_file_exchange_leaves_the_folder_neither_way(nodes, tmp_path, name):
    (_, folder_a, port_a), (b, folder_b, _) = nodes
    (tmp_path / "secret.txt").write_text("secret")
    (folder_a / "sub").mkdir()
    (folder_a / "sub" / "inner.txt").write_text("secret")
    (folder_a / ".hidden").write_text("secret")
    (folder_a / "link.txt").symlink_to(tmp_path / "secret.txt")
    b.type(f"get 127.0.0.1 {port_a} {name}")
    b.wait_for("^failed: (.* is not a plain file name|the peer refused: no such file)$")
    # And a client that does not check the name itself:
    with connect(port_a) as client:
        client.sendall(frame(b'{"do": "get", "name": "%s"}' % name.encode()))
        assert receive_all(client) == frame(b'{"error": "no such file"}')
    assert os.listdir(folder_b) == []


@pytest.mark.parametrize("answer, complaint", [
    (frame(b'{"size": 3, "sha256": "00"}') + b"abc", "the SHA-256 of what came is not"),
    (frame(b'{"size": 9, "sha256": "00"}') + b"abc", "the peer ended 6 bytes before"),
    (frame(b'{"size": -1}'), "the peer told no size"), (frame(b"[]"), "not an object"),
    (frame(b"\xff"), "not JSON"), (b"\xff\xff\xff\xff", "announced a message of 4294967295"),
    (b"\0\0", "the peer closed the connection within a message")],
    ids=["wrong", "short", "size", "list", "no json", "huge", "cut"])
def test_file_exchange_keeps_nothing_wrong(start, tmp_path, answer, complaint):
    folder = tmp_path / "folder"
    folder.mkdir()
    node = start("file_exchange.py", folder, "--port", 0)
    node.port()
    with stdlib_socket.create_server(("127.0.0.1", 0)) as liar:
        liar.settimeout(TIMEOUT_S)
        node.type(f"get 127.0.0.1 {liar.getsockname()[1]} name")
        connection, _ = liar.accept()
        with connection:
            connection.settimeout(TIMEOUT_S)
            request = frame(b'{"do": "get", "name": "name"}')
            assert connection.recv(len(request), stdlib_socket.MSG_WAITALL) == request
            connection.sendall(answer)
        node.wait_for("^failed: .*" + re.escape(complaint))
    assert os.listdir(folder) == []


@pytest.mark.parametrize("name", SERVERS)
def test_server_tells_of_an_address_in_use(start, name):
    with stdlib_socket.create_server(("127.0.0.1", 0)) as other:
        server = start(name, *SERVERS[name][0], "--port", other.getsockname()[1])
        assert server.finish() == 1
    assert re.search(r"^[a-z ]+: .*[Aa]ddress already in use", *server.output)
