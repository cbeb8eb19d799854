"""Servers for which the kernel has nothing left: a process whose limits are lower than what it
has open, and system calls that fail each time (by seccomp(2)).

Each server is a process of its own, since that is what the limits are for.
"""

import contextlib
import signal
import socket

import pytest

from tests.conftest import TIMEOUT_S, FACILITIES
from tests.protocol_servers import read_all, read_exactly
from tests.test_server_processes import program as program

SERVE = """
import errno, logging
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
signal.signal(signal.SIGTERM, lambda number, frame: server.shutdown())
say("ready")
try:
    server.serve_forever()
except OSError as error:
    say("left by", errno.errorcode[error.errno])
    resource.setrlimit(resource.RLIMIT_NOFILE, 2 * resource.getrlimit(resource.RLIMIT_NOFILE)[1:])
    server.close()
"""

#: NUMBERS fail with ERROR, if their second argument is the one that is wanted.
FAILING = """
import ctypes, errno, platform, struct

NUMBERS = {"x86_64": {"accept": 43, "accept4": 288, "epoll_ctl": 233},
           "aarch64": {"accept": 202, "accept4": 242, "epoll_ctl": 21}}.get(platform.machine(), {})

def let_fail(names, error, second=None):
    instructions = []

    def add(code, jump_true, jump_false, value):
        instructions.append(struct.pack("=HBBI", code, jump_true, jump_false, value))

    for name in names:
        add(0x20, 0, 0, 0)                                  # the call's number
        add(0x15, 0, 1 if second is None else 3, NUMBERS[name])
        if second is not None:
            add(0x20, 0, 0, 24)                             # its second argument
            add(0x15, 0, 1, second)
        add(0x06, 0, 0, 0x00050000 | error)                 # SECCOMP_RET_ERRNO
    add(0x06, 0, 0, 0x7fff0000)                             # SECCOMP_RET_ALLOW
    code = ctypes.create_string_buffer(b"".join(instructions))
    of_filter = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int] + 4 * [ctypes.c_ulong]
    if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.addressof(of_filter), 0, 0):
        say("no seccomp here")
        sys.exit()

if not NUMBERS:
    say("no seccomp here")
    sys.exit()
"""


@pytest.fixture
def failing(program):
    """failing(arguments of let_fail()): a server, some of whose calls fail for good."""
    def run(arguments):
        running = program(f"{FAILING}let_fail({arguments})\nsay('installed')\n{SERVE}")
        line = running.process.stdout.readline().strip()
        if line == "no seccomp here":
            pytest.skip(line)
        assert line == "installed"
        running.hears("ready")
        return running
    return run


def test_a_network_that_fails_each_who_comes(failing):
    """accept(2) hands on what happened to a connection: no reason to end, or to spin."""
    running = failing("['accept', 'accept4'], errno.ECONNABORTED")
    with running.connect():
        for _ in range(2):  # it looks again after a second, and says so again
            assert "accept() failed" in running.hears("WARNING")
        running.process.send_signal(signal.SIGTERM)
        assert running.ends() == []


@pytest.mark.skipif(not FACILITIES["epoll"], reason="this build does without epoll")
def test_a_kernel_that_watches_no_more(failing, request):
    """ENOSPC: the user's limit of what epoll(7) watches is reached."""
    if "epoll" not in request.node.name:
        pytest.skip("poll(2) has no such limit")
    running = failing("['epoll_ctl'], errno.ENOSPC, 1")  # EPOLL_CTL_ADD
    with running.connect() as client:
        assert "No space left" in running.hears("WARNING")
        assert read_all(client) == b""  # it was accepted, and could not be kept
        with running.connect():
            # Nor can the listener be watched again, after a second.
            assert "No space left" in running.hears("WARNING")
            running.process.send_signal(signal.SIGTERM)
            assert running.ends() == []


def test_more_connections_than_the_limit_has_become(program, request):
    """poll(2) refuses more fds than RLIMIT_NOFILE, which is the process's own mistake;
    epoll(7) does not care."""
    running = program(f"""
def lower():
    resource.setrlimit(resource.RLIMIT_NOFILE, (2, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
Echo.eof_received = lambda self: server.call_soon_threadsafe(lower)
{SERVE}""")
    running.hears("ready")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.connect()) for _ in range(4)]
        for client in clients:
            client.sendall(b"x")
            assert read_exactly(client, 1) == b"x"
        clients[0].shutdown(socket.SHUT_WR)
        if "[poll" in request.node.name or not FACILITIES["epoll"]:
            assert sorted(running.ends()) == ["left by EINVAL", *["lost NoneType"] * 4]
            return
        assert read_all(clients[0]) == b""
        clients[1].sendall(b"served")
        assert read_exactly(clients[1], 6) == b"served"
        running.process.send_signal(signal.SIGTERM)
        assert sorted(running.ends()) == ["lost NoneType"] * 4
    assert running.process.wait(TIMEOUT_S) == 0
