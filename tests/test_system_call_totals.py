"""How many system calls traffic takes in all, counted by strace, beside the stdlib's."""

import re
import subprocess
import sys

import pytest

from tests.conftest import requires_facility

TURNS = 1000  # of four calls each, which strace stops for some 0.2 ms

READY = """
import {module} as socket
a, b = socket.socketpair()
b.settimeout(30)
for _ in range({count}):
    a.send(b"x" * 64)
    b.recv(64)
"""

PING_PONG = """
import os
import {module} as socket
import select

def turn(sock, wait):
    if {timeout} == 0:
        wait.poll()
    return sock.recv(64)

if {protocol!r} == "TCP":
    listener = socket.create_server(("127.0.0.1", 0))
    a = socket.create_connection(listener.getsockname())
    b, _ = listener.accept()
    a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    b.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
else:
    a, b = socket.socketpair()
child = os.fork()
sock = b if child == 0 else a
sock.settimeout({timeout})
wait = select.poll()
wait.register(sock, select.POLLIN)
for _ in range({count}):
    if child:
        sock.sendall(b"x" * 64)
        turn(sock, wait)
    else:
        turn(sock, wait)
        sock.sendall(b"x" * 64)
if child:
    os.waitpid(child, 0)
else:
    os._exit(0)
"""


@pytest.fixture
def totals(strace, tmp_path):
    """Runs a program; how often it made each system call on sockets."""
    def count(program, **values):
        output = tmp_path / "counted"
        subprocess.run(
            [strace, "-f", "--seccomp-bpf", "-c", "-U", "calls,name", "-o", output,
             "-e", "trace=network,poll,ppoll", sys.executable, "-P", "-c",
             program.format(**values)], check=True, cwd=tmp_path, timeout=100)
        return {name: int(calls) for calls, name in
                re.findall(r"^ *(\d+) (\w+)$", output.read_text(), re.MULTILINE)
                if name != "total"}
    return count


@requires_facility("dontwait")
def test_data_that_is_there_takes_one_call(totals):
    count = 10_000
    ours = totals(READY, module="fastsock", count=count)
    assert count <= ours["recvfrom"] < count + 20
    assert ours.get("poll", 0) < 20
    assert totals(READY, module="socket", count=100)["poll"] >= 100  # what is counted


@pytest.mark.parametrize("protocol", ["AF_UNIX", "TCP"])
@pytest.mark.parametrize("timeout", [None, 30, 0])
def test_request_and_response_take_no_more_calls_than_the_stdlibs(totals, timeout, protocol):
    """Both ends; where the data is not there yet, trying first would cost a call each."""
    values = {"timeout": timeout, "protocol": protocol, "count": TURNS}
    stdlib = sum(totals(PING_PONG, module="socket", **values).values())
    ours = sum(totals(PING_PONG, module="fastsock", **values).values())
    assert stdlib >= 4 * TURNS
    # Importing fastsock makes some calls of its own, to prove what it relies on.
    assert ours - 30 <= 1.01 * stdlib
