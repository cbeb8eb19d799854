"""set_busy_poll(): how a busy poll ends, apart from an answer that comes; sockets that can't have one."""

import errno
import struct
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S


def learn_that_nothing_is_there(sock):
    """After a few such waits no call is tried before it waits, or busy-polls."""
    sock.settimeout(0.001)
    for _ in range(4):
        with pytest.raises(TimeoutError):
            sock.recv(1)
    sock.settimeout(TIMEOUT_S)


@pytest.fixture
def socket():
    return fastsock


def test_a_connection_that_is_reset_while_busy_polling(socket, tcp_pair):
    client, server = tcp_pair
    learn_that_nothing_is_there(client)
    client.set_busy_poll(1_000_000)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    socket.stats(reset=True)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert socket.stats()["busy_polls_won"] == 1


def test_a_busy_poll_of_0_ends_it(socket, pair):
    a, b = pair
    a.set_busy_poll(1000)
    a.set_busy_poll(0)
    socket.stats(reset=True)
    learn_that_nothing_is_there(a)
    b.send(b"x")
    assert a.recv(1) == b"x"
    counted = socket.stats()
    assert counted["busy_polls_won"] == 0 and counted["system_calls"]["recv"] < 20


def test_a_socket_that_is_closed_while_busy_polling(socket, pair):
    """The number may be another's by then: the busy poll ends, and the call with EBADF."""
    a, _ = pair
    learn_that_nothing_is_there(a)
    a.set_busy_poll(1_000_000)
    begins = threading.Event()
    errors = []

    def receive():
        begins.set()
        try:
            a.recv(1)
        except OSError as error:
            errors.append(error.errno)

    thread = threading.Thread(target=receive)
    thread.start()
    assert begins.wait(TIMEOUT_S)
    a.close()
    thread.join(TIMEOUT_S)
    assert errors == [errno.EBADF]
