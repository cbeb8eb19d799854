"""The examples that need fastsock: they use what the stdlib has not."""

import contextlib
import pathlib
import re
import subprocess
import sys

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, requires_program

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
NEED_FASTSOCK = {"chat_serve.py", "dns_responder.py", "multicast_roll_call.py", "redis_client.py",
                 "resp_server.py", "round_trips.py"}


def run(name, *arguments, folder):
    """The output of an example, which must end well."""
    return subprocess.run(
        [sys.executable, "-P", EXAMPLES / name, *map(str, arguments)], cwd=folder, check=True,
        capture_output=True, text=True, timeout=TIMEOUT_S).stdout


def test_round_trips(tmp_path):
    shown = run("round_trips.py", "--count", 200, folder=tmp_path)
    assert re.search(r"^asleep: \d+\.\d us", shown, re.MULTILINE)
    assert re.search(r"^busy-polling: \d+\.\d us", shown, re.MULTILINE)
    assert re.search(r"\d+ receives, \d+ waits, [1-9]\d* ended while busy-polling", shown)


def test_the_redis_client_sets_ten_thousand(redis_server, tmp_path):
    shown = run("redis_client.py", "--port", redis_server.port, folder=tmp_path)
    assert re.match(r"10000 of 10000 set in \d+\.\d+ s, 10000 read back\n$", shown)


def test_the_redis_client_is_short():
    assert len((EXAMPLES / "redis_client.py").read_text().splitlines()) < 80


@contextlib.contextmanager
def dns_responder(folder, *names):
    """The responder, running; its port. It must end well when asked to."""
    arguments = [word for name in names for word in ("--name", name)]
    server = subprocess.Popen(
        [sys.executable, "-P", EXAMPLES / "dns_responder.py", "--port", "0", *arguments],
        cwd=folder, stdout=subprocess.PIPE, text=True)
    with server:
        try:
            yield int(re.fullmatch(r"listening on 127\.0\.0\.1 (\d+)\n",
                                   server.stdout.readline())[1])
        finally:
            server.terminate()
    assert server.returncode == 0


def test_the_multicast_roll_call(tmp_path):
    program = [sys.executable, "-P", EXAMPLES / "multicast_roll_call.py"]
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as reserved:  # a port that is free
        reserved.bind(("127.0.0.1", 0))
        port = str(reserved.getsockname()[1])
    program += ["--interface", "127.0.0.1", "--port", port]
    with contextlib.ExitStack() as stack:
        members = []
        for name in ("printer", "scanner"):
            member = stack.enter_context(subprocess.Popen(
                [*program, "member", name], cwd=tmp_path, stdout=subprocess.PIPE, text=True))
            stack.callback(member.terminate)
            members.append(member)
            assert member.stdout.readline() == f"member of 239.255.77.20 {port}\n"
        shown = run("multicast_roll_call.py", *program[3:], "ask", "--count", 2, "--wait",
                    TIMEOUT_S, folder=tmp_path)
        names = {line.partition(" at ")[0] for line in shown.splitlines()}
        assert names == {"printer", "scanner"}
    assert [member.returncode for member in members] == [0, 0]
    alone = subprocess.run([*program, "ask", "--wait", "0.05"], cwd=tmp_path, check=False,
                           timeout=TIMEOUT_S)
    assert alone.returncode == 1  # nobody is left


@requires_program("dig")
def test_the_dns_responder_answers_dig(tmp_path):
    def dig(*words):
        return subprocess.run(
            ["dig", "@127.0.0.1", "-p", str(port), "+tries=2", "+time=5", *words], check=True,
            capture_output=True, text=True, timeout=TIMEOUT_S).stdout

    with dns_responder(tmp_path, "host.example=192.0.2.7") as port:
        assert dig("+short", "host.example") == "192.0.2.7\n"
        assert dig("+short", "HOST.example", "ANY", "+notcp") == "192.0.2.7\n"
        assert "status: NXDOMAIN" in dig("other.example")
        assert "status: NOERROR" in dig("host.example", "AAAA")


def test_the_dns_responder_answers_dnspython(tmp_path):
    message = pytest.importorskip("dns.message")
    query, rcode = pytest.importorskip("dns.query"), pytest.importorskip("dns.rcode")

    def ask(name, kind):
        return query.udp(message.make_query(name, kind), "127.0.0.1", timeout=5, port=port)

    with dns_responder(tmp_path, "a.example=192.0.2.1", "b.example=192.0.2.2") as port:
        for name, address in (("a.example", "192.0.2.1"), ("b.example", "192.0.2.2")):
            assert [item.address for item in ask(name, "A").answer[0]] == [address]
        assert ask("c.example", "A").rcode() == rcode.NXDOMAIN
        assert ask("a.example", "MX").answer == []


def test_the_dns_responder_survives_what_is_no_question(tmp_path):
    import socket
    with dns_responder(tmp_path, "a.example=192.0.2.1") as port, \
            socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(TIMEOUT_S)
        client.connect(("127.0.0.1", port))
        for nonsense in (b"", b"x", b"\xff" * 12, bytes(12), b"\0" * 5 + b"\1" + b"\0" * 6 + b"\x3f"):
            client.send(nonsense)
        question = b"\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\7example\0\0\1\0\1"
        client.send(question)
        while (reply := client.recv(512))[:2] != question[:2]:
            pass
        assert reply.endswith(socket.inet_aton("192.0.2.1"))
