"""nc and curl, programs that are no Python at all, talk to servers on fastsock.

The servers are the stdlib's socketserver and http.server under `fastsock run`.
"""

import contextlib
import hashlib
import subprocess
import sys

import pytest

from tests.conftest import TIMEOUT_S, requires_program
from tests.servers import PEERS

DATA = bytes(range(256)) * 4096
LIMIT = str(int(TIMEOUT_S))


@contextlib.contextmanager
def server_process(kind, *path):
    """A server of tests/peers/server.py; gives its port or path."""
    with subprocess.Popen(
            [sys.executable, "-P", "-m", "fastsock", "run", PEERS / "server.py", kind, *path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True) as process:
        try:
            name = process.stdout.readline().strip()
            assert name, process.stderr.read()
            yield name
            _, errors = process.communicate(timeout=TIMEOUT_S)  # ends standard input
            assert process.returncode == 0, errors
        finally:
            if process.poll() is None:
                process.kill()


def run(*command, **keywords):
    """What a program printed; AssertionError with its complaint if it failed."""
    result = subprocess.run(command, capture_output=True, timeout=2 * TIMEOUT_S, **keywords)
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout


# -- nc: -N shuts the connection down after the input, -w bounds the waits ------


@requires_program("nc")
@pytest.mark.parametrize("data", [b"one line\n", DATA], ids=["line", "1 MiB"])
def test_nc_over_tcp(data):
    with server_process("tcp") as port:
        assert run("nc", "-N", "-w", LIMIT, "127.0.0.1", port, input=data) == data


@requires_program("nc")
def test_nc_several_connections():
    with server_process("tcp") as port:
        clients = [subprocess.Popen(["nc", "-N", "-w", LIMIT, "127.0.0.1", port],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                   for _ in range(8)]
        try:
            for number, client in enumerate(clients):
                answer, _ = client.communicate(b"client %d" % number, timeout=TIMEOUT_S)
                assert answer == b"client %d" % number
                assert client.returncode == 0
        finally:
            for client in clients:
                if client.poll() is None:
                    client.kill()
                    client.communicate()


@requires_program("nc")
def test_nc_over_unix(tmp_path):
    path = str(tmp_path / "socket")
    with server_process("unix", path) as name:
        assert name == path
        assert run("nc", "-N", "-w", LIMIT, "-U", path, input=DATA) == DATA


@requires_program("nc")
def test_nc_over_udp():
    with server_process("udp") as port:
        # -W 1 ends nc with the first datagram that comes back.
        assert run("nc", "-u", "-W", "1", "-w", LIMIT, "127.0.0.1", port,
                   input=b"datagram") == b"margatad"


@requires_program("ncat")
def test_ncat_over_tcp():
    with server_process("tcp") as port:
        assert run("ncat", "-w", LIMIT, "127.0.0.1", port, input=DATA) == DATA


@requires_program("nc")
def test_client_of_nc(socket, tmp_path):
    """The other way round: nc listens, and our client connects."""
    path = str(tmp_path / "socket")
    (tmp_path / "input").write_bytes(b"from nc")
    with (socket.socket(socket.AF_UNIX) as client, open(tmp_path / "input") as given,
          subprocess.Popen(["nc", "-l", "-v", "-N", "-U", path], stdin=given,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process):
        try:
            client.settimeout(TIMEOUT_S)
            process.stderr.readline()  # "Bound on ...", after bind() and before listen()
            for _ in range(100_000):
                if client.connect_ex(path) == 0:
                    break
            client.sendall(b"to nc")
            with client.makefile("rb") as file:
                assert file.read() == b"from nc"
            client.shutdown(socket.SHUT_WR)
            output, _ = process.communicate(timeout=TIMEOUT_S)
            assert output == b"to nc"
        finally:
            if process.poll() is None:
                process.kill()


# -- curl ----------------------------------------------------------------------


def curl(*arguments, **keywords):
    return run("curl", "-q", "-sS", "--fail", "--noproxy", "*", "--max-time", LIMIT,
               *arguments, **keywords)


@requires_program("curl")
def test_curl_gets():
    with server_process("web") as port:
        assert curl(f"http://127.0.0.1:{port}/") == b"hello\n"
        assert curl(f"http://127.0.0.1:{port}/large") == bytes(range(256)) * 20_000


@requires_program("curl")
def test_curl_keeps_the_connection():
    with server_process("web") as port:
        urls = [f"http://127.0.0.1:{port}/{number}" for number in range(3)]
        shown = curl("-w", "%{num_connects}\n", *urls)
        assert shown == b"hello\n1\nhello\n0\nhello\n0\n"


@requires_program("curl")
@pytest.mark.parametrize("expect", ["100-continue", ""])
def test_curl_uploads(tmp_path, expect):
    data = DATA * 8
    (tmp_path / "file").write_bytes(data)
    with server_process("web") as port:
        shown = curl("-T", str(tmp_path / "file"), "-H", f"Expect: {expect}".strip(),
                     f"http://127.0.0.1:{port}/")
    assert shown.decode() == hashlib.sha256(data).hexdigest()


@requires_program("curl")
def test_curl_gets_files_of_http_server(tmp_path):
    """`python -m http.server`, as it is, under `fastsock run -m`."""
    (tmp_path / "file").write_bytes(DATA)
    with subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "fastsock", "run", "-m", "http.server",
             "--bind", "127.0.0.1", "--directory", tmp_path, "0"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = process.stdout.readline().split(" port ")[1].split()[0]
            assert curl(f"http://127.0.0.1:{port}/file") == DATA
            assert b"file" in curl(f"http://127.0.0.1:{port}/")
        finally:
            process.terminate()
            _, log = process.communicate(timeout=TIMEOUT_S)
    assert '"GET /file HTTP/1.1" 200' in log
