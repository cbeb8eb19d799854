"""A child of a process that serves: what of the parent's server is left in it."""

import contextlib
import os
import signal
import socket as stdlib_socket
import threading

import pytest

import fastsock

from tests.conftest import TIMEOUT_S
from tests.protocol_servers import Recording
from tests.workers import exit_status_of

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork() is not there"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")]


def test_signals_of_a_child_are_not_written_to_what_its_server_had():
    """The loop's thread, which would end that, is not in the child: another one forked."""
    server = fastsock.Server(Recording, ("127.0.0.1", 0))
    statuses = []

    def ends():
        server.close()
        a, b = stdlib_socket.socketpair()
        with a, b, contextlib.ExitStack() as stack:
            for _ in range(50):  # one of them has the number
                stack.callback(os.close, os.dup(a.fileno()))
            signal.raise_signal(signal.SIGUSR1)
            b.setblocking(False)
            with pytest.raises(BlockingIOError):
                b.recv(1)

    def forks():
        try:
            statuses.append(exit_status_of(ends))
        finally:
            server.shutdown()

    before = signal.signal(signal.SIGUSR1, lambda number, frame: None)
    thread = threading.Thread(target=forks)
    try:
        with server:
            server.call_soon_threadsafe(thread.start)
            server.serve_forever()
            thread.join(TIMEOUT_S)
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert statuses == [0]


@pytest.mark.parametrize("use_poll", [False, True], ids=["default", "poll"])
def test_a_child_serves_beside_a_socket_that_was_closed(use_poll):
    """By somebody else, before fork(): the kernel of the parent had only forgotten it."""
    anywhere = "127.0.0.1", 0
    with fastsock.Server(Recording, [anywhere, anywhere], use_poll=use_poll) as server:
        gone, left = server.sockets
        assert gone.fileno() < left.fileno()  # it comes first
        address = left.getsockname()
        stdlib_socket.close(gone.detach())

        def serve():
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            with stdlib_socket.create_connection(address, TIMEOUT_S) as client:
                client.sendall(b"x")
                client.shutdown(stdlib_socket.SHUT_WR)
                assert client.recv(1) == b""
            server.shutdown()
            thread.join(TIMEOUT_S)
        assert exit_status_of(serve) == 0
