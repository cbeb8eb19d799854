"""What tests.stress found, each as small as it gets."""

import asyncio
import contextlib
import errno
import os
import signal
import socket as stdlib_socket
import threading

import pytest

import fastsock
from fastsock import select

from tests.conftest import TIMEOUT_S
from tests.workers import exit_status_of

requires_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork() is not there")


@contextlib.contextmanager
def handling(act):
    """Do something in a handler of SIGALRM, which comes once a ms; the loop meets the first
    that finds it asleep."""
    done = []

    def handle(number, frame):
        if not done:
            done.append(1)
            act()

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.02, 0.001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_relay_leaves_a_foreign_fd_alone_after_a_handler():
    with contextlib.ExitStack() as stack:
        (a, client), (b, target), (canary, owner) = [
            [stack.enter_context(sock) for sock in fastsock.socketpair()] for _ in range(3)]
        owner.sendall(b"not for you")
        number = a.fileno()

        def replace():
            a.close()
            os.dup2(canary.fileno(), number)

        with handling(replace), pytest.raises(OSError) as caught:
            fastsock.relay(a, b)
        os.close(number)
        assert caught.value.errno == errno.EBADF
        canary.settimeout(TIMEOUT_S)
        assert canary.recv(100) == b"not for you"


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="no epoll here")
@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_epoll_that_a_handler_closes(timeout):
    reader, writer = fastsock.socketpair()
    with reader, writer, select.epoll() as other:
        other.register(writer, select.EPOLLOUT)
        epoll = select.epoll()
        epoll.register(reader, select.EPOLLIN)
        number = epoll.fileno()

        def replace():
            epoll.close()
            os.dup2(other.fileno(), number)

        # A ValueError says that it was closed before a busy machine came to the call.
        with handling(replace), pytest.raises((OSError, ValueError)) as caught:
            epoll.poll(timeout)
        os.close(number)
        assert getattr(caught.value, "errno", errno.EBADF) == errno.EBADF


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


@pytest.fixture(params=[False, True], ids=["default", "poll"])
def server(request, tmp_path):
    with fastsock.Server(Echo, str(tmp_path / "s"), use_poll=request.param) as made:
        yield made


def connect(server):
    client = stdlib_socket.socket(stdlib_socket.AF_UNIX)
    client.settimeout(TIMEOUT_S)
    client.connect(server.addresses[0])
    return client


def is_served(server, client):
    client.sendall(b"question")
    assert client.recv(100) == b"question"
    with connect(server) as another:
        another.sendall(b"another")
        assert another.recv(100) == b"another"


class Flood(Echo):
    """Has more to send than the kernel takes: some waits in this process."""

    def data_received(self, data):
        self.transport.write(FLOOD)
        self.transport.write(b"the end")


FLOOD = bytes(range(256)) * 20_000


@requires_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_does_not_send_what_waits_in_its_parent(tmp_path):
    with fastsock.Server(Flood, str(tmp_path / "s")) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with fastsock.adopt(connect(server)) as client:
                client.sendall(b"go")
                client.settimeout(None)  # so that MSG_DONTWAIT does not wait
                came = bytearray(client.recv(10))  # it has written, and the most of it waits
                goes_on, is_held = threading.Event(), threading.Event()
                server.call_soon_threadsafe(lambda: is_held.set() or goes_on.wait(TIMEOUT_S))
                assert is_held.wait(TIMEOUT_S)
                with contextlib.suppress(BlockingIOError):
                    while True:  # there is room for what waits, in the child too
                        came += client.recv(1 << 16, fastsock.MSG_DONTWAIT)
                assert exit_status_of(server.close) == 0
                goes_on.set()
                while not came.endswith(b"the end"):
                    came += client.recv(1 << 16)
                assert came == FLOOD + b"the end"
        finally:
            server.shutdown()
            thread.join(TIMEOUT_S)


@requires_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_closes_a_server_that_its_parent_runs(server):
    path = server.addresses[0]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with connect(server) as client:
            is_served(server, client)
            assert exit_status_of(server.close) == 0
            is_served(server, client)
            assert os.path.exists(path)
    finally:
        server.shutdown()
        thread.join(TIMEOUT_S)
    assert not os.path.exists(path)


@requires_fork
def test_a_child_serves_and_removes_the_path(server):
    """As a daemon does, whose parent made the server and went."""
    path = server.addresses[0]

    def serve():
        server.call_soon_threadsafe(server.shutdown)
        server.serve_forever()
        server.close()

    assert exit_status_of(serve) == 0
    assert not os.path.exists(path)


@requires_fork
def test_a_child_closes_a_server_before_its_parent_runs_it(server):
    path = server.addresses[0]
    assert exit_status_of(server.close) == 0
    assert os.path.exists(path)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with connect(server) as client:
            is_served(server, client)
    finally:
        server.shutdown()
        thread.join(TIMEOUT_S)
    assert not os.path.exists(path)
