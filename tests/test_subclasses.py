"""Classes derived from the socket class: what is theirs stays theirs."""

import errno
import fcntl
import os
import socket as stdlib_socket

import pytest

from tests.conftest import TIMEOUT_S


def is_open(fd):
    try:
        fcntl.fcntl(fd, fcntl.F_GETFD)
    except OSError:
        return False
    return True


def test_a_subclass_with_its_own_initialiser(socket):
    class Own(socket.socket):
        def __init__(self, name):
            super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.name = name

    with Own("mine") as own:
        assert own.name == "mine" and own.family == socket.AF_UNIX
        assert own.type == socket.SOCK_DGRAM and isinstance(own, stdlib_socket.socket)


def test_a_subclass_with_its_own_new(socket):
    class Own(socket.socket):
        def __new__(cls, *arguments, **keywords):
            self = super().__new__(cls, *arguments, **keywords)
            self.made = arguments
            return self

    with Own(socket.AF_UNIX) as own:
        assert own.made == (socket.AF_UNIX,) and own.family == socket.AF_UNIX


def test_a_subclass_that_does_not_initialise(socket):
    class Own(socket.socket):
        def __init__(self):
            pass

    own = Own()
    assert own.fileno() == -1
    with pytest.raises(OSError) as caught:
        own.recv(1)
    assert caught.value.errno == errno.EBADF


def test_accept_of_a_subclass_gives_a_plain_socket(socket):
    class Own(socket.socket):
        pass

    with Own() as own, socket.socket() as client:
        own.settimeout(TIMEOUT_S)
        own.bind(("127.0.0.1", 0))
        own.listen()
        client.connect(own.getsockname())
        accepted, _ = own.accept()
        with accepted:
            assert type(accepted) is socket.socket


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_accept_of_a_subclass_with_its_own_underscore_accept(socket, default_timeout, timeout):
    calls = []

    class Own(socket.socket):
        def _accept(self):
            calls.append(self)
            return super()._accept()

    with Own() as own, socket.socket() as client:
        own.settimeout(timeout)
        own.bind(("127.0.0.1", 0))
        own.listen()
        client.connect(own.getsockname())
        accepted, address = own.accept()
        with accepted:
            assert calls == [own] and address == client.getsockname()
            assert type(accepted) is socket.socket and accepted.gettimeout() is None
        # Another, while new sockets have a timeout.
        default_timeout(5.0)
        with socket.socket() as other:
            other.connect(own.getsockname())
            accepted, _ = own.accept()
            with accepted:
                assert accepted.gettimeout() == 5.0


def test_a_subclass_that_closes_its_own_way(socket):
    closed = []

    class Own(socket.socket):
        def _real_close(self, *arguments):
            closed.append(self)
            super()._real_close(*arguments)

    own = Own()
    fd = own.fileno()
    file = own.makefile("rb")
    own.close()
    assert closed == []
    file.close()
    assert closed == [own] and not is_open(fd)


def test_makefile_uses_the_methods_of_a_subclass(socket, pair):
    class Own(socket.socket):
        def recv_into(self, buffer, *arguments):
            buffer[:4] = b"mine"
            return 4

    with Own(fileno=os.dup(pair[0].fileno())) as own, own.makefile("rb") as file:
        assert file.read(4) == b"mine"
