"""Functions of the module that make sockets: pairs, connections, servers."""

import errno
import sys

import pytest

from tests.conftest import TIMEOUT_S

LINUX = sys.platform == "linux"


def test_socketpair(socket):
    for arguments in ((), (None,), (socket.AF_UNIX,), (socket.AF_UNIX, socket.SOCK_STREAM, 0),
                      (1, 1)):
        a, b = socket.socketpair(*arguments)
        with a, b:
            assert type(a) is type(b) is socket.socket
            assert a.family is socket.AF_UNIX and b.type is socket.SOCK_STREAM
            assert a.proto == 0 and a.gettimeout() is None
            a.sendall(b"x")
            assert b.recv(9) == b"x"
    a, b = socket.socketpair(family=socket.AF_UNIX, type=socket.SOCK_DGRAM, proto=0)
    with a, b:
        a.send(b"x")
        assert b.recv(9) == b"x" and a.type is socket.SOCK_DGRAM
    with pytest.raises(OSError):
        socket.socketpair(socket.AF_INET)


def test_create_connection(socket, listener):
    address = listener.getsockname()
    with socket.create_connection(address) as plain, \
            socket.create_connection(address, timeout=5) as timed, \
            socket.create_connection(address, 5, ("127.0.0.1", 0)) as bound:
        for sock in (plain, timed, bound):
            assert type(sock) is socket.socket and sock.getpeername() == address
            listener.accept()[0].close()
        assert plain.gettimeout() is None and timed.gettimeout() == 5.0
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(refusing.getsockname(), TIMEOUT_S)
    with pytest.raises(ExceptionGroup) as caught:
        socket.create_connection(refused_address(socket), TIMEOUT_S, all_errors=True)
    assert [type(error) for error in caught.value.exceptions] == [ConnectionRefusedError]


def refused_address(socket):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()


def test_create_connection_to_localhost(socket, listener):
    port = listener.getsockname()[1]
    with socket.create_connection(("localhost", port), TIMEOUT_S) as sock:
        assert sock.getpeername()[1] == port
        listener.accept()[0].close()


def test_create_server(socket):
    with socket.create_server(("127.0.0.1", 0), backlog=3) as server:
        assert type(server) is socket.socket and server.family is socket.AF_INET
        assert server.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0
        if hasattr(socket, "SO_ACCEPTCONN"):
            assert server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
        if LINUX:
            with pytest.raises(OSError) as caught:
                socket.create_server(server.getsockname())
            assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(ValueError):
        socket.create_server(("127.0.0.1", 0), dualstack_ipv6=True)
    assert socket.has_dualstack_ipv6() in (True, False)


def test_create_server_for_both_families(socket):
    if not socket.has_dualstack_ipv6():
        pytest.skip("no dual-stack IPv6 here")
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        server.settimeout(TIMEOUT_S)
        port = server.getsockname()[1]
        for host, seen in (("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")):
            with socket.create_connection((host, port), TIMEOUT_S):
                accepted, address = server.accept()
                accepted.close()
                assert address[0] == seen
