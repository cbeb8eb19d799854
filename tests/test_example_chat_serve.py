"""examples/chat_serve.py: what chat_server.py does, spoken to by the same client."""

import contextlib
import signal
import socket

import pytest

from tests.conftest import TIMEOUT_S
from tests.serving import receive_all
from tests.test_examples import EXAMPLES, Program, connect


@pytest.fixture
def start(tmp_path):
    """start(name, *arguments): a running example."""
    with contextlib.ExitStack() as stack:
        def start(name, *arguments):
            program = Program(EXAMPLES / name, arguments, tmp_path)
            stack.callback(program.clean_up)
            return program
        yield start


@pytest.mark.parametrize("server_name", ["chat_serve.py", "chat_server.py"])
def test_a_chat(start, server_name):
    server = start(server_name, "--port", 0)
    port = server.port()
    people = {}
    for name in "ada", "bob", "eve":
        people[name] = start("chat_client.py", name, "--port", port)
        people[name].wait_for(rf"^\* welcome {name}; here: ")
        server.wait_for(rf"^\* {name} joined$")
    ada, bob, eve = people.values()
    assert eve.output == ["* welcome eve; here: ada, bob"]
    ada.type("hello, grüße \x1b[31m")
    for other in bob, eve:
        other.wait_for(r"^ada: hello, grüße \[31m$")
    bob.type("hello ada")
    ada.wait_for("^bob: hello ada$")
    eve.type("last words")
    eve.type_end()
    assert eve.finish() == 0, eve
    bob.process.kill()
    ada.wait_for(r"^\* bob left$")
    server.signal(signal.SIGTERM)
    assert server.finish() == 0, server
    assert ada.finish() == 1
    assert ada.output == ["* welcome ada; here: nobody else", "* bob joined", "* eve joined",
                          "bob: hello ada", "eve: last words", "* eve left", "* bob left",
                          "chat client: the server closed the connection"]


@pytest.mark.parametrize("name, reason", [
    ("ada", "the name ada is taken"), ("* ada", "a name is 1 to 20 letters and digits")])
def test_a_name_that_is_refused(start, name, reason):
    server = start("chat_serve.py", "--port", 0)
    port = server.port()
    ada = start("chat_client.py", "ada", "--port", port)
    ada.wait_for("welcome")
    with connect(port) as other:
        other.sendall(name.encode() + b"\nwhat follows\n")
        assert other.recv(1000) == f"* refused: {reason}\n".encode()
        other.shutdown(socket.SHUT_WR)
        assert receive_all(other) == b""
    ada.type("still here")
    server.wait_for("^ada: still here$")
    assert "what follows" not in "\n".join(server.output)


def test_one_that_does_not_read_is_dropped(start):
    port = start("chat_serve.py", "--port", 0).port()
    with connect(port) as reader, connect(port) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"deaf\n")
        assert deaf.recv(1) == b"*"
        reader.sendall(b"reader\n")
        received = b""
        line = b"y" * 4000 + b"\n"
        for _ in range((64 << 20) // len(line)):
            reader.sendall(line)
            reader.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                received += reader.recv(65536)
            reader.settimeout(TIMEOUT_S)
            if b"* deaf left" in received:
                break
        assert b"* deaf left\n" in received


def test_a_line_that_is_too_long(start):
    port = start("chat_serve.py", "--port", 0).port()
    with connect(port) as endless, connect(port) as other:
        other.sendall(b"other\n")
        assert other.recv(1) == b"*"
        endless.sendall(b"endless\n" + b"x" * 5000)
        receive_all(endless)
        received = b""
        while b"* endless left\n" not in received:
            received += other.recv(1000)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_with_a_client_connected(start, number):
    server = start("chat_serve.py", "--port", 0)
    with connect(server.port()) as client:
        client.sendall(b"ada\n")
        assert client.recv(1)
        server.signal(number)
        assert server.finish() == 0, server
