"""What else than the timeout changes on a socket while a call waits: its file's mode, its fd,
its class, SO_RCVTIMEO, busy polling. By a signal handler, which is as another thread is.
"""

import contextlib
import errno
import os
import socket as stdlib_socket
import struct

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, requires_facility
from tests.interrupting import (
    DATA, MOMENT_S, RECEIVERS, connected, interrupted, marks, outcome, receive_and_change,
)
from tests.workers import Worker

pytestmark = marks


@contextlib.contextmanager
def another_fd(sock):
    fd = os.dup(sock.fileno())
    try:
        yield fd
    finally:
        os.close(fd)


def test_nonblocking_through_a_dup_is_the_result_of_a_blocking_call(socket):
    for receive in RECEIVERS.values():
        with connected(socket, "unix stream") as (a, b), another_fd(a) as fd:
            assert outcome(lambda: receive(a), lambda: os.set_blocking(fd, False),
                           lambda: None) is BlockingIOError


def test_blocking_through_a_dup_does_not_end_a_timeout(socket):
    with connected(socket, "unix stream", TIMEOUT_S) as (a, b), another_fd(a) as fd:
        assert outcome(lambda: a.recv(9), lambda: os.set_blocking(fd, True),
                       lambda: b.send(DATA)) == DATA


def set_kernel_timeout(sock, seconds):
    sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_RCVTIMEO,
                    struct.pack("ll", 0, int(seconds * 1e6)))


def test_so_rcvtimeo_that_is_set_during_a_call(socket):
    with connected(socket, "unix stream") as (a, b):
        assert outcome(lambda: a.recv(9), lambda: set_kernel_timeout(a, MOMENT_S),
                       lambda: None) is BlockingIOError


def test_so_rcvtimeo_beside_a_timeout(socket):
    """A timeout that is set meanwhile takes its place."""
    with connected(socket, "unix stream") as (a, b):
        set_kernel_timeout(a, MOMENT_S)
        assert receive_and_change(RECEIVERS["recv"], a, b, [TIMEOUT_S]) in (
            DATA, BlockingIOError)  # the latter where it passed before the signal came


def test_so_rcvtimeo_of_a_call_that_slept_while_the_mode_changed(socket):
    with connected(socket, "unix stream") as (a, b):
        set_kernel_timeout(a, 0.2)
        worker = Worker("recv", a.recv, 9)
        a.settimeout(TIMEOUT_S)
        a.settimeout(None)
        worker.join()
        assert type(worker.error) is BlockingIOError


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
@pytest.mark.parametrize("way", ["shutdown", "close", "detach"])
def test_the_end_of_a_socket_during_a_call(socket, way, timeout):
    def end():
        if way == "shutdown":
            a.shutdown(socket.SHUT_RD)
        elif way == "close":
            a.close()
        else:
            opened.callback(os.close, a.detach())

    def send():
        with contextlib.suppress(BrokenPipeError):
            b.send(DATA)
    for receive in RECEIVERS.values():
        with contextlib.ExitStack() as opened, connected(socket, "unix stream", timeout) as (a, b):
            opened.enter_context(another_fd(a))  # the peer finds it open
            try:
                assert interrupted(lambda: receive(a), end, send) == b""
                assert way == "shutdown"
            except OSError as error:
                assert error.errno == errno.EBADF and way != "shutdown"


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
@pytest.mark.parametrize("way", ["adopt", "__class__"])
def test_another_class_during_a_call(way, timeout):
    """The call that waits continues as it is; the next is the new class's."""
    first = stdlib_socket if way == "adopt" else fastsock
    for receive in RECEIVERS.values():
        with connected(first, "unix stream", timeout) as (a, b):
            def change():
                if way == "adopt":
                    fastsock.adopt(a)
                else:
                    a.__class__ = stdlib_socket.socket
            for expected in DATA, DATA:
                assert outcome(lambda: receive(a), change, lambda: b.send(DATA)) == expected
            assert type(a) is (fastsock.socket if way == "adopt" else stdlib_socket.socket)


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
@pytest.mark.parametrize("before, later", [(0, 1000), (1000, 0), (1000, 500)])
def test_set_busy_poll_during_a_call(timeout, before, later):
    with connected(fastsock, "unix stream", timeout) as (a, b):
        for receive in RECEIVERS.values():
            a.set_busy_poll(before)
            assert outcome(lambda: receive(a), lambda: a.set_busy_poll(later),
                           lambda: b.send(DATA)) == DATA


@requires_facility("dontwait")
def test_settimeout_during_a_busy_poll():
    for later in [TIMEOUT_S], [TIMEOUT_S, None]:
        with connected(fastsock, "unix stream") as (a, b):
            a.set_busy_poll(1000)
            assert receive_and_change(RECEIVERS["recv"], a, b, later) == DATA


@pytest.mark.parametrize("way", ["sendto", "sendmsg"])
def test_the_timeout_is_read_after_the_audit_hook(python, way):
    """As in the stdlib, what runs before the system call may set it."""
    python(code=f"""
import socket, sys
import fastsock
for module in socket, fastsock:
    with module.socket(module.AF_INET, module.SOCK_DGRAM) as a, \\
            module.socket(module.AF_UNIX, module.SOCK_DGRAM) as b:
        b.bind("b" + module.__name__)
        a.close()
        a = module.socket(module.AF_UNIX, module.SOCK_DGRAM)
        a.settimeout(0)
        try:
            while True:
                a.sendto(b"x", b.getsockname())
        except BlockingIOError:
            pass
        a.settimeout(None)
        change = [a]
        def hook(event, arguments):
            if event.startswith("socket.send") and change:
                change.pop().settimeout(0.01)
        sys.addaudithook(hook)
        try:
            if {way!r} == "sendto":
                a.sendto(b"x", b.getsockname())
            else:
                a.sendmsg([b"x"], (), 0, b.getsockname())
        except TimeoutError:
            print("timed out")
        a.close()
""").stdout.split("\n")[:2] == ["timed out", "timed out"]
