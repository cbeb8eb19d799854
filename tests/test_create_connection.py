"""create_connection(): hosts and ports of all kinds, attempts that fail, and races.

Rule: what the resolver says is the test's own where it matters; who is connected to is real.
Deadlines and delays of their own are in test_extras.py.
"""

import contextlib
import errno
import os
import socket as stdlib_socket
import sys
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, requires_ipv6
from tests.polling import outcome


NO_FAMILY = 9999    # that no system knows


@pytest.fixture
def resolving(socket, monkeypatch):
    """resolving(*addresses): what a name stands for; a family goes before its address."""
    def resolve(*found):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [
            (family, stdlib_socket.SOCK_STREAM, 0, "", address) for family, address in found])
    return resolve


@contextlib.contextmanager
def accepted(listener, client):
    """The other end of a connection that was made to a listener."""
    with client:
        server, address = listener.accept()
        with server:
            assert address == client.getsockname()
            yield server


# -- one after the other, as the stdlib's ------------------------------------------

@pytest.mark.parametrize("host", [b"127.0.0.1", "127.0.0.1", "127.1", None], ids=repr)
@pytest.mark.parametrize("make_port", [int, str, lambda port: str(port).encode()],
                         ids=["int", "str", "bytes"])
def test_hosts_and_ports(socket, listener, host, make_port):
    address = listener.getsockname()
    with accepted(listener, socket.create_connection(
            (host, make_port(address[1])), TIMEOUT_S)) as server:
        server.sendall(b"x")


@pytest.mark.parametrize("host", ["127.0.0.1\0", "no\0name", "::1\0", "\udcff", "\u0661"])
def test_hosts_that_are_no_names(host):
    def error_of(module):
        with pytest.raises((OSError, ValueError)) as caught:
            module.create_connection((host, 1), TIMEOUT_S).close()
        return caught.type, str(caught.value)

    assert error_of(fastsock) == error_of(stdlib_socket)


@requires_ipv6
@pytest.mark.parametrize("host", ["::1", "0:0:0:0:0:0:0:1", "::1%1", "::1%no such", "::1%"])
def test_hosts_of_ipv6(host):
    # With an interface the resolver decides what it is: also if that is nothing.
    with stdlib_socket.create_server(("::1", 0), family=stdlib_socket.AF_INET6) as listener:
        def peer(module):
            with module.create_connection((host, listener.getsockname()[1]), TIMEOUT_S) as client:
                listener.accept()[0].close()
                return client.getpeername(), client.family, client.proto

        assert outcome(peer, fastsock) == outcome(peer, stdlib_socket)


def test_an_address_of_a_family_that_is_not_there(socket, listener, resolving):
    # No socket is made, so that there is none to be closed; the next address is tried.
    place = (socket.AF_INET, listener.getsockname())
    resolving((NO_FAMILY, listener.getsockname()), place)
    accept = accepted(listener, socket.create_connection(("two", 1), TIMEOUT_S))
    with accept as server:
        server.sendall(b"x")
    resolving((NO_FAMILY, listener.getsockname()))
    with pytest.raises(OSError) as caught:
        socket.create_connection(("one", 1))
    assert caught.value.errno == outcome_of_a_socket(socket)


def outcome_of_a_socket(socket):
    with pytest.raises(OSError) as caught:
        socket.socket(NO_FAMILY)
    return caught.value.errno


def test_a_resolver_that_knows_nothing(socket, resolving):
    resolving()
    with pytest.raises(OSError, match="getaddrinfo returns an empty list"):
        socket.create_connection(("nobody", 1))


# -- in a race ---------------------------------------------------------------------

RACES = [{"total_timeout": TIMEOUT_S}, {"happy_eyeballs_delay": TIMEOUT_S},
         {"total_timeout": TIMEOUT_S, "happy_eyeballs_delay": TIMEOUT_S}]
in_a_race = pytest.mark.parametrize("race", RACES, ids=" and ".join)
of_fastsock = pytest.mark.parametrize("socket", [fastsock], ids=["fastsock"])


@pytest.mark.skipif(sys.platform != "linux", reason="only there is all of 127/8 this machine")
@of_fastsock
@in_a_race
def test_the_source_address(socket, listener, race):
    with accepted(listener, socket.create_connection(
            listener.getsockname(), TIMEOUT_S, ("127.0.0.2", 0), **race)) as server:
        assert server.getpeername()[0] == "127.0.0.2"


@of_fastsock
@in_a_race
def test_a_source_address_that_is_another_ones(socket, listener, race):
    for address in ("192.0.2.1", 0), listener.getsockname():
        with pytest.raises(OSError, match="Cannot assign|in use"):
            socket.create_connection(listener.getsockname(), TIMEOUT_S, address, **race)


@of_fastsock
@in_a_race
def test_a_family_that_is_not_there_loses(socket, listener, resolving, race):
    address = listener.getsockname()
    resolving((NO_FAMILY, address), (socket.AF_INET, address))
    with accepted(listener, socket.create_connection(("two", 1), TIMEOUT_S, **race)) as server:
        server.sendall(b"x")


@of_fastsock
@in_a_race
def test_a_connection_that_stands_at_once(socket, resolving, tmp_path, race):
    # As AF_UNIX's do, which nobody has to be waited for.
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        resolving((socket.AF_UNIX, path))
        with socket.create_connection(("path", 1), TIMEOUT_S, **race) as client:
            server, _ = listener.accept()
            with server:
                server.sendall(b"x")
                assert client.recv(2) == b"x" and client.gettimeout() == TIMEOUT_S


@of_fastsock
@in_a_race
def test_a_name_that_is_not_known(socket, monkeypatch, race):
    def resolve(*_):
        raise socket.gaierror(socket.EAI_NONAME, "mine")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(socket.gaierror, match="mine") as caught:
        socket.create_connection(("nobody", 1), **race)
    assert caught.value.errno == socket.EAI_NONAME


@of_fastsock
@in_a_race
def test_a_socket_that_can_not_say_what_became_of_it(socket, listener, resolving, monkeypatch,
                                                     race):
    # As where the kernel has no memory for the answer: the others run on.
    class Silent(fastsock.socket):
        def getsockopt(self, *arguments):
            if self.getpeername() == silent.getsockname():
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
            return super().getsockopt(*arguments)

    monkeypatch.setattr(socket, "socket", Silent)
    with stdlib_socket.create_server(("127.0.0.1", 0)) as silent:
        place = (socket.AF_INET, silent.getsockname())
        resolving(place, (socket.AF_INET, listener.getsockname()))
        with accepted(listener, socket.create_connection(("two", 1), **race)) as server:
            server.sendall(b"x")
        resolving(place)
        with pytest.raises(OSError) as caught:
            socket.create_connection(("one", 1), **race)
        assert caught.value.errno == errno.ENOBUFS


@of_fastsock
def test_a_resolver_that_is_slower_than_the_deadline(socket, listener, monkeypatch):
    goes_on, went_on = threading.Event(), threading.Event()

    def resolve(*_):
        assert goes_on.wait(TIMEOUT_S)
        went_on.set()
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname())]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(TimeoutError, match="timed out"):
        socket.create_connection(("somebody", 1), total_timeout=0.01)
    # It is left behind: what it says then is nothing that anybody connects to.
    goes_on.set()
    assert went_on.wait(TIMEOUT_S)
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.accept()
