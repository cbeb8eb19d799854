"""The three modes of a socket: blocking, non-blocking, and with a timeout.

What the object says of its mode, the descriptor's O_NONBLOCK, the module's
default, and how each operation behaves in each mode.
"""

import errno
import fcntl
import os
import select
import socket as stdlib_socket
import sys

import pytest

import fastsock
from tests.conftest import TIMEOUT_S

SHORT_S = 0.02

requires_linux = pytest.mark.skipif(sys.platform != "linux",
                                    reason="how Linux treats a full backlog")


def is_nonblocking(sock):
    return bool(fcntl.fcntl(sock.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK)


@pytest.fixture
def full_address(socket):
    """The address of a TCP listener whose backlog is full: a connect waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, \
            socket.create_connection(listener.getsockname(), TIMEOUT_S):
        yield listener.getsockname()


@pytest.fixture
def refusing_address(socket):
    """An address of loopback on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


# -- what the object says ------------------------------------------------------

def test_a_fresh_socket_blocks(socket, pair):
    with socket.socket() as sock:
        for each in (sock, *pair):
            assert each.gettimeout() is None and each.timeout is None
            assert each.getblocking() is True
            assert not is_nonblocking(each)


def test_the_timeout_is_kept(socket):
    for timeout, expected in [
        (None, None), (0, 0.0), (0.0, 0.0), (-0.0, 0.0), (False, 0.0), (True, 1.0), (1, 1.0),
        (2.5, 2.5), (1e-9, 1e-9), (1e-12, 1e-9), (5e-324, 1e-9), (1.0000000001, 1.000000001),
        (1e9, 1e9), (10**9, 1e9), (123456.789, 123456.789), (9e9, 9e9),
        (9223372036, 9223372036.0),
        (0.1, 0.1), (0.3, 0.3), (1/3, 0.333333334)]:
        with socket.socket() as sock:
            assert sock.settimeout(timeout) is None
            found = sock.gettimeout()
            assert found == expected and type(found) is type(expected)
            assert sock.timeout == expected
            assert sock.getblocking() is (expected != 0)
            assert is_nonblocking(sock) is (timeout is not None)


def test_values_that_are_no_timeout(socket):
    for timeout in [-1, -1.0, -1e-9, -1e-300, float("nan"), -2**30]:
        with socket.socket() as sock:
            sock.settimeout(3.0)
            with pytest.raises(ValueError):
                sock.settimeout(timeout)
            assert sock.gettimeout() == 3.0
            assert is_nonblocking(sock)


def test_timeouts_that_are_too_long(socket):
    for timeout in [float("inf"), 1e300, 2**64, 1e10]:
        with socket.socket() as sock:
            with pytest.raises(OverflowError):
                sock.settimeout(timeout)
            assert sock.gettimeout() is None


@pytest.mark.parametrize("timeout", [3e6, 9e9, 9223372036.0])
def test_timeouts_that_are_nearly_too_long(timeout):
    """Longer than poll(2) can wait, and than the clock goes on. (The stdlib cuts bits off.)"""
    a, b = fastsock.socketpair()
    with a, b:
        a.settimeout(0.001)
        for _ in range(4):  # after which it waits first
            with pytest.raises(TimeoutError):
                a.recv(1)
        a.settimeout(timeout)
        b.send(b"x")
        assert a.gettimeout() == timeout and a.recv(1) == b"x"


@pytest.mark.parametrize("flag, timeout", [(True, None), (1, None), (False, 0.0), (0, 0.0),
                                           (2, None)])
def test_setblocking(socket, flag, timeout):
    for before in (None, 0, 5):
        sock = socket.socket()
        sock.settimeout(before)
        assert sock.setblocking(flag) is None
        assert sock.gettimeout() == timeout
        assert sock.getblocking() is bool(flag)
        assert is_nonblocking(sock) is not bool(flag)
        sock.close()


@pytest.mark.parametrize("steps", [(None, 0, 5, None), (5, 0, 5), (0, None, 0), (5, 5, None)])
def test_the_descriptor_follows_each_step(socket, steps):
    with socket.socket() as sock:
        for timeout in steps:
            sock.settimeout(timeout)
            assert is_nonblocking(sock) is (timeout is not None)


def test_settimeout_of_a_closed_socket(socket):
    sock = socket.socket()
    sock.close()
    for call in (lambda: sock.settimeout(None), lambda: sock.settimeout(0),
                 lambda: sock.settimeout(5), lambda: sock.setblocking(True),
                 lambda: sock.setblocking(False)):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF
    with pytest.raises(ValueError):
        sock.settimeout(-1)  # the value is judged first


def test_the_timeout_of_a_closed_socket(socket):
    sock = socket.socket()
    sock.settimeout(5)
    sock.close()
    assert sock.gettimeout() == sock.timeout == 5.0
    assert sock.getblocking() is True


def test_nonblocking_in_the_type(socket):
    if not hasattr(socket, "SOCK_NONBLOCK"):
        pytest.skip("no SOCK_NONBLOCK here")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        assert sock.type == socket.SOCK_STREAM
        assert sock.gettimeout() == 0.0 and sock.getblocking() is False
        assert is_nonblocking(sock)
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with a, b:
        for sock in (a, b):
            assert sock.type == socket.SOCK_STREAM and sock.gettimeout() == 0.0
            assert is_nonblocking(sock)


# -- the default -----------------------------------------------------------------

def test_the_default_is_the_modules(socket, default_timeout):
    assert socket.getdefaulttimeout() is None
    socket.setdefaulttimeout(4.5)
    assert socket.getdefaulttimeout() == stdlib_socket.getdefaulttimeout() == 4.5
    socket.setdefaulttimeout(None)
    assert socket.getdefaulttimeout() is None
    with pytest.raises(ValueError):
        socket.setdefaulttimeout(-1)


@pytest.mark.parametrize("default", [None, 0, 1e-9, 2.5, 5, 9e9])
def test_new_sockets_have_the_default(socket, default_timeout, default):
    default_timeout(default)
    a, b = socket.socketpair()
    with socket.socket() as sock, a, b, socket.fromfd(a.fileno(), a.family, a.type) as copy, \
            socket.socket(fileno=os.dup(b.fileno())) as given:
        for each in (sock, a, b, copy, given):
            assert each.gettimeout() == default
            assert is_nonblocking(each) is (default is not None)


def test_nonblocking_in_the_type_is_stronger_than_the_default(socket, default_timeout):
    if not hasattr(socket, "SOCK_NONBLOCK"):
        pytest.skip("no SOCK_NONBLOCK here")
    default_timeout(5)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        assert sock.gettimeout() == 0.0
        assert is_nonblocking(sock)


def test_dup_keeps_the_timeout(socket, default_timeout):
    with socket.socket() as sock:
        default_timeout(5)
        for timeout in (None, 0, 2.5):
            sock.settimeout(timeout)
            with sock.dup() as copy:
                assert copy.gettimeout() == timeout
                assert is_nonblocking(copy) is (timeout is not None)


@pytest.mark.parametrize("default, of_listener, expected", [
    (None, None, None), (None, 20, None), (5, None, 5.0), (5, 20, 5.0), (5, 0, 5.0),
    (0, 20, 0.0), (0, None, 0.0), (None, 0, None), (7.5, 3, 7.5)])
def test_accepted_sockets_have_the_default(socket, default_timeout, default, of_listener,
                                           expected):
    with socket.create_server(("127.0.0.1", 0)) as listener, \
            socket.create_connection(listener.getsockname(), TIMEOUT_S):
        assert select.select([listener], [], [], TIMEOUT_S)[0]
        listener.settimeout(of_listener)
        default_timeout(default)
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.gettimeout() == expected
            assert is_nonblocking(accepted) is (expected is not None)
            assert listener.gettimeout() == of_listener


# -- receiving and sending -------------------------------------------------------

RECEIVERS = {
    "recv": lambda sock: sock.recv(9),
    "recv_into": lambda sock: sock.recv_into(bytearray(9)),
    "recvfrom": lambda sock: sock.recvfrom(9),
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(9)),
    "recvmsg": lambda sock: sock.recvmsg(9),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(9)]),
}

SENDERS = {
    "send": lambda sock: sock.send(b"x"),
    "sendall": lambda sock: sock.sendall(b"x"),
    "sendmsg": lambda sock: sock.sendmsg([b"x"]),
}


def fill(sock):
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            sock.send(bytes(65536))


@pytest.mark.parametrize("name", RECEIVERS)
def test_receiving_times_out(socket, pair, name):
    a, b = pair
    a.settimeout(1e-9)
    with pytest.raises(TimeoutError):
        RECEIVERS[name](a)
    a.settimeout(SHORT_S)
    with pytest.raises(TimeoutError) as caught:
        RECEIVERS[name](a)
    assert type(caught.value) is socket.timeout
    assert str(caught.value) == "timed out" and caught.value.errno is None
    b.send(b"x")
    RECEIVERS[name](a)  # it goes on working; what is there is given however short the time
    a.setblocking(False)
    with pytest.raises(BlockingIOError):
        a.recv(9)


@pytest.mark.parametrize("name", RECEIVERS)
def test_receiving_does_not_block(pair, name):
    a, b = pair
    a.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        RECEIVERS[name](a)
    assert caught.value.errno in (errno.EAGAIN, errno.EWOULDBLOCK)
    b.send(b"x")
    RECEIVERS[name](a)


@pytest.mark.parametrize("name", SENDERS)
def test_sending_times_out(socket, pair, name):
    a, b = pair
    fill(a)
    for timeout in (1e-9, SHORT_S):
        a.settimeout(timeout)
        with pytest.raises(TimeoutError, match="^timed out$"):
            SENDERS[name](a)
    a.settimeout(TIMEOUT_S)
    while b.recv(1 << 20, socket.MSG_DONTWAIT):
        if select.select([], [a], [], 0)[1]:
            break
    SENDERS[name](a)


@pytest.mark.parametrize("name", SENDERS)
def test_sending_does_not_block(pair, name):
    a, _ = pair
    fill(a)
    with pytest.raises(BlockingIOError):
        SENDERS[name](a)


@pytest.mark.parametrize("timeout", [None, 0, 1e-9, TIMEOUT_S])
def test_what_is_ready_needs_no_time(pair, timeout):
    a, b = pair
    a.settimeout(timeout)
    for operate in (*RECEIVERS.values(), *SENDERS.values()):
        b.send(b"x")
        operate(a)


@pytest.mark.parametrize("timeout", [1e-9, SHORT_S])
def test_sendto_times_out(socket, tmp_path, monkeypatch, timeout):
    # Sending waits for room in the own buffer; a datagram of AF_UNIX stays in it
    # until the peer reads.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as a, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as b:
        b.bind("b")
        a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
        a.settimeout(timeout)
        with pytest.raises(TimeoutError, match="^timed out$"):
            for _ in range(1000):
                a.sendto(bytes(1000), "b")


def test_timeout_is_timeouterror(socket):
    assert socket.timeout is TimeoutError
    assert issubclass(socket.timeout, OSError) and socket.error is OSError


# -- accepting -----------------------------------------------------------------

@pytest.mark.parametrize("timeout", [1e-9, SHORT_S])
def test_accept_times_out(listener, timeout):
    listener.settimeout(timeout)
    with pytest.raises(TimeoutError, match="^timed out$"):
        listener.accept()


def test_accept_does_not_block(listener):
    listener.setblocking(False)
    with pytest.raises(BlockingIOError) as caught:
        listener.accept()
    assert caught.value.errno in (errno.EAGAIN, errno.EWOULDBLOCK)


def test_accept_of_a_socket_that_does_not_listen(socket):
    for timeout in (None, 0, TIMEOUT_S):
        with socket.socket() as sock:
            sock.settimeout(timeout)
            with pytest.raises(OSError) as caught:
                sock.accept()
            assert caught.value.errno == errno.EINVAL


# -- connecting ------------------------------------------------------------------

@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_connect(socket, listener, timeout):
    with socket.socket() as sock, socket.socket() as other:
        sock.settimeout(timeout)
        other.settimeout(timeout)
        assert sock.connect(listener.getsockname()) is None
        assert sock.getpeername() == listener.getsockname()
        assert other.connect_ex(listener.getsockname()) == 0
        assert other.getpeername() == listener.getsockname()


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_connect_refused(socket, refusing_address, timeout):
    with socket.socket() as sock:
        sock.settimeout(timeout)
        with pytest.raises(ConnectionRefusedError) as caught:
            sock.connect(refusing_address)
        assert caught.value.errno == errno.ECONNREFUSED
    with socket.socket() as sock:
        sock.settimeout(timeout)
        assert sock.connect_ex(refusing_address) == errno.ECONNREFUSED


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_connect_when_connected(tcp_pair, listener, timeout):
    client, _ = tcp_pair
    client.settimeout(timeout)
    client.connect_ex(listener.getsockname())  # Linux tells of a success twice
    assert client.connect_ex(listener.getsockname()) == errno.EISCONN
    with pytest.raises(OSError) as caught:
        client.connect(listener.getsockname())
    assert caught.value.errno == errno.EISCONN


def test_connect_does_not_block(socket, listener):
    with socket.socket() as sock, socket.socket() as other:
        sock.setblocking(False)
        other.setblocking(False)
        assert sock.connect_ex(listener.getsockname()) == errno.EINPROGRESS
        assert select.select([], [sock], [], TIMEOUT_S)[1]
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert sock.getpeername() == listener.getsockname()
        sock.connect_ex(listener.getsockname())  # Linux tells of the success here
        assert sock.connect_ex(listener.getsockname()) == errno.EISCONN
        with pytest.raises(BlockingIOError) as caught:
            other.connect(listener.getsockname())
        assert caught.value.errno == errno.EINPROGRESS


@requires_linux
def test_connect_already_under_way(socket, full_address):
    with socket.socket() as sock:
        sock.setblocking(False)
        assert sock.connect_ex(full_address) == errno.EINPROGRESS
        assert sock.connect_ex(full_address) == errno.EALREADY
        sock.settimeout(SHORT_S)
        assert sock.connect_ex(full_address) == errno.EALREADY
        with pytest.raises(BlockingIOError) as caught:
            sock.connect(full_address)
        assert caught.value.errno == errno.EALREADY


@requires_linux
@pytest.mark.parametrize("timeout", [1e-9, SHORT_S])
def test_connect_times_out(socket, full_address, timeout):
    with socket.socket() as sock:
        sock.settimeout(timeout)
        with pytest.raises(TimeoutError) as caught:
            sock.connect(full_address)
        assert str(caught.value) == "timed out" and caught.value.errno is None
    with socket.socket() as sock:
        sock.settimeout(timeout)
        assert sock.connect_ex(full_address) == errno.EWOULDBLOCK


@requires_linux
def test_create_connection_times_out(socket, full_address):
    with pytest.raises(TimeoutError, match="^timed out$"):
        socket.create_connection(full_address, SHORT_S)


@requires_linux
def test_a_connect_that_timed_out_goes_on(socket):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, \
            socket.create_connection(listener.getsockname(), TIMEOUT_S), \
            socket.socket() as sock:
        listener.settimeout(TIMEOUT_S)
        sock.settimeout(SHORT_S)
        with pytest.raises(TimeoutError):
            sock.connect(listener.getsockname())
        listener.accept()[0].close()  # makes room
        listener.accept()[0].close()  # the connection that was given up
        assert sock.getpeername() == listener.getsockname()


def test_connect_to_a_missing_unix_socket(socket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for timeout in (None, 0, TIMEOUT_S):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            assert sock.connect_ex("missing") == errno.ENOENT
            with pytest.raises(FileNotFoundError):
                sock.connect("missing")


@requires_linux
def test_connect_to_a_full_unix_socket(socket, tmp_path, monkeypatch):
    # AF_UNIX says EAGAIN and begins nothing: there is nothing to be waited for.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind("listener")
        listener.listen(0)
        first.connect("listener")
        for timeout in (0, TIMEOUT_S):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(timeout)
                assert sock.connect_ex("listener") == errno.EAGAIN
                with pytest.raises(BlockingIOError):
                    sock.connect("listener")


def test_datagram_sockets_connect_at_once(socket):
    for timeout in (None, 0, 1e-9):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(timeout)
            assert sock.connect_ex(("127.0.0.1", 9)) == 0
            assert sock.connect(("127.0.0.1", 10)) is None
            assert sock.getpeername() == ("127.0.0.1", 10)


def test_connect_of_a_closed_socket(socket):
    sock = socket.socket()
    sock.close()
    assert sock.connect_ex(("127.0.0.1", 9)) == errno.EBADF
    with pytest.raises(OSError) as caught:
        sock.connect(("127.0.0.1", 9))
    assert caught.value.errno == errno.EBADF
