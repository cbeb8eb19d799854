"""How many system calls a server makes, counted by strace(1): one receive and one send for
a message, and nothing that asks the kernel what is known already.
"""

import collections
import os
import re
import subprocess
import sys

import pytest

from tests.conftest import requires_facility
from tests.tracing import ACCEPT_NON_BLOCKING

N = 100

SERVER = """
import os, socket, subprocess, sys, threading
import fastsock

class Base:
    def connection_made(self, transport):
        self.transport = transport
    def eof_received(self):
        pass
    def pause_writing(self):
        pass
    def resume_writing(self):
        pass
    def connection_lost(self, error):
        server.shutdown()

class Protocol(Base):
    def data_received(self, data):
        pass

class Buffered(Base):
    def __init__(self):
        self.buffer = bytearray(1000)
    def get_buffer(self, size):
        return self.buffer

CODE

server = fastsock.Server(Under, ("127.0.0.1", 0), use_poll="poll" in sys.argv)
# The client is a process of its own, which is not traced.
client = subprocess.Popen([sys.executable, "-c", os.environ["CLIENT"],
                           str(server.addresses[0][1])])
os.access("/mark-start", os.F_OK)
server.serve_forever()
os.access("/mark-end", os.F_OK)
assert client.wait(20) == 0
"""

CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) as client:
    for _ in range(COUNT):
        client.sendall(b"x" * SENT)
        left = ANSWER
        while left:
            data = client.recv(left)
            assert data
            left -= len(data)
"""


@pytest.fixture(params=[pytest.param("epoll", marks=requires_facility("epoll")), "poll"])
def counted(request, strace, tmp_path):
    """Runs a server and a client that sends COUNT messages of SENT bytes and reads ANSWER
    bytes to each: how often each system call was made, and the lines of the trace."""
    def count(code, answer, messages=N, sent=100):
        output = tmp_path / "trace"
        # Without -f: neither the client nor anybody else is counted.
        subprocess.run(
            [strace, "-qq", "-o", output, sys.executable, "-P", "-c",
             SERVER.replace("CODE", code), request.param],
            cwd=tmp_path, check=True, capture_output=True, timeout=60,
            env={**os.environ,
                 "CLIENT": CLIENT.replace("COUNT", str(messages)).replace("SENT", str(sent))
                                 .replace("ANSWER", str(answer))})
        found = re.search(r"/mark-start.*?\n(.*?)[^\n]*/mark-end", output.read_text(), re.DOTALL)
        lines = found[1].split("\n")[:-1]
        names = [line.split("(")[0] for line in lines]
        return collections.Counter("wait" if name in ("epoll_wait", "epoll_pwait", "poll", "ppoll")
                                   else name for name in names), lines
    count.kind = request.param
    return count


ECHO = {
    "data_received": """
class Under(Protocol):
    def data_received(self, data):
        self.transport.write(data)
""",
    "get_buffer": """
class Under(Buffered):
    def buffer_updated(self, count):
        self.transport.write(bytes(self.buffer[:count]))
""",
    "get_buffer, without a copy": """
class Under(Buffered):
    def buffer_updated(self, count):
        self.transport.write(memoryview(self.buffer)[:count])
""",
}

#: What a connection may cost beside its messages: accept, close, and a wait for each.
ALLOWANCE = 12


@pytest.mark.parametrize(
    ("name", "size"), [*((name, 100) for name in ECHO), ("data_received", 16384)])
def test_an_echo(counted, name, size):
    calls, _ = counted(ECHO[name], size, sent=size)
    assert calls["sendto"] == N
    assert calls["recvfrom"] == N + 1  # and the end
    # A wait for each message; a look before it, which finds nothing, is one more at most.
    assert N <= calls["wait"] <= 2 * N + ALLOWANCE
    assert calls[ACCEPT_NON_BLOCKING[0]] == 2  # and one that finds nobody
    # The connection and the listener come and go; nothing changes for a message.
    assert calls["epoll_ctl"] <= (4 if counted.kind == "epoll" else 0)
    rest = set(calls) - {"sendto", "recvfrom", "wait", ACCEPT_NON_BLOCKING[0], "epoll_ctl", "close"}
    # The wake-up by shutdown(), and memory and signals of the interpreter's.
    assert sum(calls[name] for name in rest) <= ALLOWANCE, calls


def test_one_add_and_one_del_for_a_connection(counted):
    if counted.kind != "epoll":
        pytest.skip("poll(2) knows no such calls")
    _, lines = counted(ECHO["data_received"], 100, 20)
    accepted, = [line.rpartition("= ")[2] for line in lines
                 if line.startswith(ACCEPT_NON_BLOCKING[0]) and "= -1" not in line]
    control = [re.search(r"EPOLL_CTL_(\w+)", line)[1] for line in lines
               if re.match(rf"epoll_ctl\(\d+, EPOLL_CTL_\w+, {accepted}\b", line)]
    assert control == ["ADD", "DEL"]


WRITES = {
    "two writes": ("self.transport.write(b'a' * 100); self.transport.write(b'b' * 50)", 150),
    "many": ("[self.transport.write(b'abc') for _ in range(50)]", 150),
    "writelines": ("self.transport.writelines([b'a' * 100, bytearray(50)])", 150),
    "both": ("self.transport.write(b'a'); self.transport.writelines([b'b', b'c'])", 3),
}


@pytest.mark.parametrize("name", WRITES)
def test_what_one_callback_writes_goes_out_at_once(counted, name):
    statement, size = WRITES[name]
    calls, lines = counted(f"""
class Under(Protocol):
    def data_received(self, data):
        {statement}
""", size)
    assert calls["sendmsg"] == N and calls["sendto"] == 0
    assert all(line.endswith(f"= {size}") for line in lines if line.startswith("sendmsg"))


def test_nothing_of_a_peer_is_looked_up(counted):
    calls, _ = counted("""
class Under(Protocol):
    def data_received(self, data):
        assert self.transport.get_extra_info("peername")[0] == "127.0.0.1"
        self.transport.write(data)
""", 100)
    assert calls["getpeername"] == calls["getsockname"] == 0
    assert calls["ioctl"] == ACCEPT_NON_BLOCKING.count("ioctl")


def test_writing_that_waits(counted):
    # While there is no room it is asked when there is: one MOD, and one back.
    if counted.kind != "epoll":
        pytest.skip("poll(2) knows no such calls")
    size = 32 << 20
    _, lines = counted(f"""
class Under(Protocol):
    def data_received(self, data):
        self.transport.write(bytes({size}))
""", size, 1)
    changes = [line for line in lines if "EPOLL_CTL_MOD" in line]
    assert len(changes) in (0, 2)  # none if the client kept up


@pytest.mark.parametrize("batch", [False, True], ids=["serve", "batches"])
@pytest.mark.parametrize("is_apart", [False, True], ids=["with the answer", "alone"])
def test_a_message_that_a_handler_sends(counted, is_apart, batch):
    """It goes out with the answer; callbacks of connections cost no system call."""
    calls, lines = counted(f"""
from fastsock._serve import BatchServer, HandlerServer
from fastsock.framing import Fixed

def handler(message):
    if {batch}:
        return [answer(one) for one in message]
    return answer(message)

def answer(message):
    for _ in range(4):
        kept[0].send(message)
    return None if {is_apart} else message

def make(Under, address, use_poll):
    return {"BatchServer" if batch else "HandlerServer"}(
        handler, address, framing=Fixed(100), use_poll=use_poll, on_connect=kept.append,
        on_disconnect=lambda connection, reason: server.shutdown())

Under, kept = None, []
fastsock.Server = make
""", 400 if is_apart else 500)
    sends = calls["sendto"] + calls["sendmsg"]
    # A batch belongs to no connection: what its handler sends goes out at once.
    assert sends == (N if not batch else 4 * N if is_apart else 5 * N)
    assert calls["recvfrom"] == N + 1
