"""Lines of docs/differences.md that no other test file is about: what differs, on purpose."""

import copy
import fcntl
import os
import pickle
import socket as stdlib_socket
import sys

import pytest

import fastsock
from tests.conftest import requires_facility
from tests.polling import OUR_CLASSES


@pytest.fixture
def socket():
    return fastsock


def clear_nonblocking(sock):
    flags = fcntl.fcntl(sock, fcntl.F_GETFL)
    fcntl.fcntl(sock, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)


@requires_facility("dontwait")
def test_a_non_blocking_socket_whose_file_was_made_blocking(pair):
    a, _ = pair
    a.settimeout(0)
    clear_nonblocking(a)
    with pytest.raises(BlockingIOError):
        a.recv(1)


def test_from_one_timeout_to_another_the_file_stays_as_it_is(pair):
    a, _ = pair
    a.settimeout(1)
    clear_nonblocking(a)
    a.settimeout(2)
    assert not fcntl.fcntl(a, fcntl.F_GETFL) & os.O_NONBLOCK
    assert a.gettimeout() == 2


@requires_facility("dontwait")
def test_with_a_timeout_what_the_kernel_says_at_once_is_not_waited_for(socket, listener):
    with stdlib_socket.socket(fileno=os.dup(listener.fileno())) as plain:
        plain.settimeout(0.001)
        with pytest.raises(TimeoutError):
            plain.send(b"x")
    with pytest.raises(BrokenPipeError):
        listener.send(b"x")


@pytest.mark.parametrize("call", [
    lambda sock, size, flags: sock.recv(size, flags),
    lambda sock, size, flags: sock.recvfrom(size, flags)[0],
    lambda sock, size, flags: sock.recvmsg(size, 0, flags)[0],
], ids=["recv", "recvfrom", "recvmsg"])
def test_what_the_kernel_did_not_write_is_zero(call, python, tcp_pair):
    flag = fastsock.MSG_TRUNC
    waste = [bytes([255]) * size for size in (5000, 60, 500) for _ in range(200)]
    del waste  # memory that new bytes get
    client, server = (fastsock.adopt(sock) for sock in tcp_pair)
    with client, server:
        client.sendall(b"x" * 5000)
        taken = 0
        while taken < 5000:
            data = call(server, 2500, flag)
            assert data == bytes(len(data)) and data
            taken += len(data)
    a, b = fastsock.socketpair(fastsock.AF_UNIX, fastsock.SOCK_DGRAM)
    with a, b:
        a.send(b"y" * 500)
        data = call(b, 60, flag)
        assert data[:60] == b"y" * 60
        assert data[60:] == bytes(len(data) - 60)


def test_a_file_reads_64_kib_of_a_stream_at_once_until_it_is_seen_to_flow():
    a, b = fastsock.socketpair()
    with a, b, b.makefile("rb", buffering=131072) as file:
        a.settimeout(5)
        sizes = []
        for _ in range(3):
            a.sendall(bytes(131072))
            file.read(1)
            sizes.append(len(file.peek()) + 1)
            file.read(131071)
        assert sizes[0] == 65536 and sizes[-1] > 65536


def test_large_options(socket, pair):
    a, _ = pair
    assert a.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 5000)[:4] == a.getsockopt(
        socket.SOL_SOCKET, socket.SO_RCVBUF, 4)


@pytest.mark.parametrize("name", OUR_CLASSES)
def test_selectors_are_not_copied_or_pickled(name):
    with getattr(fastsock.selectors, name)() as selector:
        with pytest.raises(TypeError):
            pickle.dumps(selector)
        with pytest.raises(TypeError):
            copy.copy(selector)


def test_the_import_opens_sockets_to_prove_what_it_reads(python):
    shown = python(code="""
import sys, socket
count = 0
def hook(event, arguments):
    global count
    count += event == "socket.__new__"
sys.addaudithook(hook)
import fastsock
print(count)
""").stdout
    assert 1 <= int(shown) <= 3


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="CPython's subinterpreters")
def test_a_subinterpreter_is_refused(python):
    pytest.importorskip("_testcapi")
    result = python(code="""
import fastsock
import _testcapi
status = _testcapi.run_in_subinterp('''
try:
    import fastsock
except ImportError as error:
    print("refused:", error)
''')
assert status == 0
""")
    assert result.stdout.startswith("refused: ")
