"""relay() and Relay where something fails: a peer, a descriptor, a target that does not answer.

What faults of single system calls do is in tests/faults.
"""

import contextlib
import errno
import gc
import os
import random
import socket as stdlib_socket
import struct
import threading

import pytest

import fastsock
from tests.test_relay import Relaying, tcp_pair
from tests.test_relay_server import connect, serving, target as target
from tests.workers import needs_to_see_sleepers


@pytest.fixture
def path():
    """(client, a, b, server), of AF_UNIX."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(sock)
               for _ in range(2) for sock in fastsock.socketpair()]


@pytest.mark.parametrize("which", [0, 1])
def test_a_descriptor_that_somebody_else_closed(path, which):
    client, a, b, server = path
    os.close((a, b)[which].fileno())
    try:
        with pytest.raises(OSError) as caught:
            fastsock.relay(a, b)
        assert caught.value.errno == errno.EBADF and caught.value.bytes_relayed == (0, 0)
    finally:
        (a, b)[which].detach()


def test_a_peer_that_takes_nothing(path):
    client, a, b, server = path
    client.sendall(b"x")
    server.close()
    with pytest.raises(BrokenPipeError) as caught:
        fastsock.relay(a, b)
    assert caught.value.bytes_relayed == (0, 0)
    assert a.getblocking() and os.get_blocking(a.fileno())


@needs_to_see_sleepers
def test_a_reset_behind_much():
    client, a = tcp_pair()
    b, server = tcp_pair()
    data = random.Random(5).randbytes(24 << 20)
    with client, a, b, server:
        relaying = Relaying(a, b)
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        received = bytearray()
        while len(received) < len(data):
            received += server.recv(1 << 16)
        sender.join()
        client.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
        client.close()
        with pytest.raises(ConnectionResetError) as caught:
            relaying.outcome()
        assert caught.value.bytes_relayed == (len(data), 0)
    assert received == data


IN_A_CHILD = """
import errno, os, random, resource, threading
import fastsock
from fastsock import relay  # imported with the first use, and that needs a descriptor
client, a = fastsock.socketpair()
b, server = fastsock.socketpair()

before = resource.getrlimit(resource.RLIMIT_NOFILE)

def limit(number):
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
"""


def test_much_without_descriptors_for_a_pipe(python):
    """What could be spliced is copied."""
    assert python(code=f"""{IN_A_CHILD}
data = random.Random(6).randbytes(24 << 20)
received = bytearray()

def send():
    client.sendall(data)
    client.close()

def receive():
    while piece := server.recv(1 << 16):
        received.extend(piece)
    server.close()

limit(os.dup(0))
threads = [threading.Thread(target=each) for each in (send, receive)]
for thread in threads:
    thread.start()
assert relay(a, b) == (len(data), 0)
for thread in threads:
    thread.join()
assert received == data
limit(before[0])
print("done")
""").stdout == "done\n"


def test_a_limit_that_is_lower_than_what_is_open(python):
    """poll(2) refuses more fds than RLIMIT_NOFILE."""
    assert python(code=f"""{IN_A_CHILD}
client.sendall(b"x")
limit(1)
try:
    relay(a, b)
except OSError as error:
    print(errno.errorcode[error.errno], error.bytes_relayed, server.recv(10))
limit(before[0])
""").stdout == "EINVAL (1, 0) b'x'\n"


# -- Relay -------------------------------------------------------------------------------------

def test_a_target_that_does_not_answer(caplog):
    with stdlib_socket.socket() as silent, contextlib.ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        # Whose backlog is full: who comes then is not answered.
        waiting = []
        while len(waiting) < 20:
            one = stack.enter_context(stdlib_socket.socket())
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
            waiting.append(one)
        relay = fastsock.Relay(("127.0.0.1", 0), silent.getsockname(), connect_timeout=0.05)
        with serving(relay), pytest.raises(ConnectionResetError), connect(relay) as client:
            client.recv(1)
        address = silent.getsockname()
    assert f"a relay can't connect within 0.05 s to {address!r}: no answer" in caplog.text


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_relay_that_is_forgotten_ends_its_connections(target):
    def leave():
        raise SystemExit

    def run():
        relay = fastsock.Relay(("127.0.0.1", 0), target.address)
        client = connect(relay)
        relay.call_later(0, leave)  # when it has accepted
        with contextlib.suppress(SystemExit):
            relay.serve_forever()
        assert relay.connection_count == 1
        return client

    with run() as client, target.accept() as behind:
        gc.collect()
        for sock in client, behind:
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
