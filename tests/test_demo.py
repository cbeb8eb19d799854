"""`python -m fastsock demo`: runs, compares what came back, prints both rates."""

import re
import sys

import pytest

from fastsock.commands import demo

QUICK = ["--rounds", "2", "--messages", "50", "--mib", "1"]


def test_demo_prints_both_rates(python):
    shown = python("-m", "fastsock", "demo", *QUICK).stdout
    rows = re.findall(r"^(.+?)\s+([\d,]+)\s+([\d,]+)\s+(\d+\.\d\d)$", shown, re.MULTILINE)
    assert [title for title, *_ in rows] == ["64-byte messages, round trips/s", "bulk, MiB/s"]
    assert all(int(rate.replace(",", "")) > 0 for _, *rates, _ in rows for rate in rates)
    moved = 2 * (50 * 64 + (1 << 20))
    assert f"both moved the same {moved:,} bytes" in shown


def test_a_wrong_number_is_refused(python):
    result = python("-m", "fastsock", "demo", "--rounds", "0", check=False)
    assert result.returncode == 2
    assert "--rounds must be at least 1, not 0" in result.stderr


def test_request_response_notices_a_wrong_reply(pair):
    client, server = pair
    server.sendall(demo.MESSAGE + b"x" * 64)
    assert demo.request_response(client, 1) is False


def test_request_response_notices_the_end(pair):
    client, server = pair
    server.sendall(demo.MESSAGE[:10])
    server.shutdown(1)
    assert demo.request_response(client, 1) is False


@pytest.mark.skipif(sys.platform == "darwin", reason="AF_UNIX has no records there")
def test_request_response_puts_a_reply_together(socket):
    # Records keep their borders: three calls take the reply.
    client, server = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with client, server:
        for piece in demo.MESSAGE[:10], demo.MESSAGE[10:63], demo.MESSAGE[63:]:
            server.send(piece)
        assert demo.request_response(client, 1) is True
        for piece in demo.MESSAGE[:10], demo.MESSAGE[:54]:
            server.send(piece)
        assert demo.request_response(client, 1) is False


LIAR = """#!{python}
import socket, sys, threading

def serve():
    connection, _ = listener.accept()
    with connection:
        while data := connection.recv(1 << 16):
            connection.sendall(data[::-1])

with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=serve, daemon=True).start()
    sys.stdin.read()
"""


def test_a_server_that_brings_back_something_else(tmp_path, monkeypatch, capsys):
    liar = tmp_path / "liar"
    liar.write_text(LIAR.format(python=sys.executable))
    liar.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(liar))
    assert demo.main(QUICK) == 1
    shown = capsys.readouterr()
    assert shown.err == "python -m fastsock demo: stdlib did not bring back what was sent\n"
    assert shown.out == ""


@pytest.mark.parametrize("missing", [0, 1])
def test_bulk_notices_what_is_missing(pair, missing):
    client, server = pair
    data = bytes(range(100))
    target = bytearray(len(data))
    server.sendall(data[missing:])
    server.shutdown(1)
    assert demo.bulk(client, data, target) is (missing == 0)
    assert (bytes(target) == data) is (missing == 0)
