"""Servers on fastsock.Server, driven by programs that know nothing of it.

redis-benchmark, redis-cli and redis-py against examples/resp_server.py; nc against an echo;
curl and wrk against as much of HTTP/1.1 with keep-alive as they need.
"""

import contextlib
import importlib.util
import os
import pathlib
import random
import re
import socket
import subprocess
import threading

import pytest

import fastsock

from tests.conftest import TIMEOUT_S, requires_program
from tests.serving import Echo, environment, receive, receive_all
from tests.test_examples import Program

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "resp_server.py"
LIMIT = str(int(TIMEOUT_S))

needs_example = pytest.mark.skipif(not EXAMPLE.exists(), reason="no examples beside the tests")


@contextlib.contextmanager
def serving(protocol, **options):
    """A Server in a thread while it is needed: its port."""
    with fastsock.Server(protocol, ("127.0.0.1", 0), **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.addresses[0][1]
        finally:
            server.shutdown()
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()


def run(*command, **keywords):
    """What a program printed; AssertionError with its complaint if it failed."""
    result = subprocess.run([*map(str, command)], capture_output=True, timeout=3 * TIMEOUT_S,
                            **keywords)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


# -- RESP ---------------------------------------------------------------------------------


@pytest.fixture
def resp_port(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    program = Program(EXAMPLE, ["--port", 0], tmp_path)
    try:
        yield program.port()
        program.process.terminate()
        assert program.finish() == 0, program
    finally:
        program.clean_up()


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("resp_server", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


COMMANDS = [[b"PING"], [b"SET", b"key", b""], [b"GET", b"a\r\nb\0"], [b"ECHO", bytes(300)]]


def command(words):
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


@needs_example
def test_the_parser_copes_with_any_cut(example):
    data = b"".join(map(command, COMMANDS)) + b"PING by hand\r\n\r\n*0\r\nPING\n"
    expected = COMMANDS + [[b"PING", b"by", b"hand"], [b"PING"]]
    for place in range(len(data) + 1):
        parser = example.Parser()
        assert [*parser.feed(data[:place]), *parser.feed(data[place:])] == expected
    parser = example.Parser()
    assert [found for byte in data for found in parser.feed(bytes([byte]))] == expected
    assert not parser.unread


@needs_example
@pytest.mark.parametrize("data", [
    b"*x\r\n", b"*-1\r\n", b"*1\r\n+a\r\n", b"*1\r\n\r\n", b"*1\r\n$-1\r\n", b"*99999999\r\n",
    b"*1\r\n$1\r\nabc", b"*1\r\n$99999999999\r\n", b"x" * 70_000])
def test_what_is_no_command_ends_the_connection(resp_port, data):
    with socket.create_connection(("127.0.0.1", resp_port), timeout=TIMEOUT_S) as client:
        client.sendall(b"PING\r\n" + data)
        answer = receive_all(client)
    assert answer.startswith(b"+PONG\r\n-ERR Protocol error: ") and answer.endswith(b"\r\n")


@needs_example
def test_many_commands_in_random_pieces(resp_port):
    chance = random.Random(5)
    values = {b"k%d" % number: chance.randbytes(chance.choice([0, 1, 100, 40_000]))
              for number in range(500)}
    data = b"".join(command([b"SET", key, value]) + command([b"get", key])
                    for key, value in values.items())
    expected = b"".join(b"+OK\r\n$%d\r\n%b\r\n" % (len(value), value)
                        for value in values.values())
    with socket.create_connection(("127.0.0.1", resp_port), timeout=TIMEOUT_S) as client:
        def send():
            place = 0
            while place < len(data):
                size = chance.choice([1, 10, 1000, 100_000])
                client.sendall(data[place:place + size])
                place += size
        sender = threading.Thread(target=send)
        sender.start()
        assert receive(client, len(expected)) == expected
        sender.join()


@needs_example
def test_redis_py(resp_port):
    redis = pytest.importorskip("redis")
    with redis.Redis(port=resp_port, socket_timeout=TIMEOUT_S, protocol=2) as client:
        assert client.ping()
        assert client.echo(b"\0\r\n$") == b"\0\r\n$"
        large = os.urandom(1 << 20)
        assert client.set("large", large) and client.get("large") == large
        assert client.get("nothing") is None
        assert client.config_get("save") == {"save": ""}
        with client.pipeline(transaction=False) as pipeline:
            for number in range(2000):
                pipeline.set(f"k{number}", number)
                pipeline.get(f"k{number}")
            results = pipeline.execute()
        assert results == [one for number in range(2000) for one in (True, b"%d" % number)]
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.execute_command("NOSUCH")
        with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
            client.execute_command("GET")


@needs_example
@requires_program("redis-benchmark")
@pytest.mark.parametrize("pipelined", [1, 32])
def test_redis_benchmark(resp_port, pipelined):
    printed = run("redis-benchmark", "-h", "127.0.0.1", "-p", resp_port, "-n", 5000, "-c", 20,
                  "-t", "ping,set,get", "-d", 100, "-P", pipelined, "--csv").decode()
    tests = re.findall(r'^"((?:PING|SET|GET)[^"]*)","([\d.]+)"', printed, re.MULTILINE)
    assert {name.split("_")[0] for name, _ in tests} == {"PING", "SET", "GET"}, printed
    assert all(float(per_second) > 0 for _, per_second in tests)


@needs_example
@requires_program("redis-cli")
def test_redis_cli(resp_port):
    def cli(*words):
        return run("redis-cli", "-h", "127.0.0.1", "-p", resp_port, *words)

    assert cli("set", "colour", "green") == b"OK\n"
    assert cli("get", "colour") == b"green\n"
    assert cli("ping") == b"PONG\n"


# -- an echo ------------------------------------------------------------------------------


@requires_program("nc")
@pytest.mark.parametrize("data", [b"one line\n", random.Random(1).randbytes(1 << 20)],
                         ids=["line", "1 MiB"])
def test_nc(data):
    with serving(Echo) as port:
        # -N shuts the connection down after the input, -w bounds the waits.
        assert run("nc", "-N", "-w", LIMIT, "127.0.0.1", port, input=data) == data


# -- HTTP ---------------------------------------------------------------------------------


class Http(Echo):
    """GET says its path, POST its body; connections are kept."""

    def __init__(self):
        self.unread = b""

    def data_received(self, data):
        self.unread += data
        answers = []
        while True:
            head, end, rest = self.unread.partition(b"\r\n\r\n")
            if not end:
                break
            size = re.search(rb"(?im)^content-length: *(\d+)", head)
            size = int(size[1]) if size else 0
            if len(rest) < size:
                break
            verb, path, _ = head.split(None, 2)
            body = rest[:size] if verb == b"POST" else path
            answers.append(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (
                len(body), body))
            self.unread = rest[size:]
        self.transport.write(b"".join(answers))


@requires_program("curl")
def test_curl(tmp_path):
    data = random.Random(2).randbytes(1 << 20)
    (tmp_path / "body").write_bytes(data)
    with serving(Http) as port:
        site = f"http://127.0.0.1:{port}"
        base = ["curl", "-sS", "--fail", "--http1.1", "--max-time", LIMIT, "--noproxy", "*"]
        assert run(*base, f"{site}/path") == b"/path"
        assert run(*base, "-H", "Expect:", "--data-binary", f"@{tmp_path / 'body'}",
                   f"{site}/") == data
        # Several on one connection: the second and third connect no more.
        assert run(*base, "-w", " %{num_connects}\n", *(f"{site}/{n}" for n in range(3))) == (
            b"/0 1\n/1 0\n/2 0\n")


@requires_program("wrk")
def test_wrk():
    with serving(Http) as port:
        printed = run("wrk", "-t", 1, "-c", 10, "-d", "1s", f"http://127.0.0.1:{port}/x").decode()
    assert int(re.search(r"(\d+) requests in", printed)[1]) > 0, printed
    assert "Socket errors" not in printed and "Non-2xx" not in printed


@pytest.mark.parametrize("cut", [False, True])
def test_pipelined_requests(cut):
    # As wrk would, also where it is not installed.
    asked = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(1000))
    expected = b"".join(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n/%d" % (
        1 + len(str(number)), number) for number in range(1000))
    with serving(Http) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as client:
            for place in range(0, len(asked), 37 if cut else len(asked)):
                client.sendall(asked[place:place + (37 if cut else len(asked))])
            assert receive(client, len(expected)) == expected
