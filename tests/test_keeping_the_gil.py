"""Which calls keep the GIL: those that can't block and are short, and no other."""

import mmap
import sysconfig

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, requires_facility
from tests.workers import Worker, needs_to_see_sleepers

pytestmark = [
    pytest.mark.skipif(bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                       reason="there is no GIL to keep on this build"),
    requires_facility("dontwait"),
]


@pytest.fixture
def socket():
    return fastsock


def kept(call, *arguments):
    """How many system calls of one call kept the GIL."""
    before = fastsock.stats()["gil_kept"]
    call(*arguments)
    return fastsock.stats()["gil_kept"] - before


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S, 0])
@pytest.mark.parametrize("protocol", ["AF_UNIX", "TCP"])
def test_short_calls_keep_it(pair, tcp_pair, protocol, timeout):
    a, b = pair if protocol == "AF_UNIX" else tcp_pair
    a.settimeout(timeout)
    b.settimeout(timeout)
    assert kept(a.send, b"x" * 16384) == 1
    assert kept(b.recv, 100) == 1
    assert kept(b.recv_into, bytearray(100)) == 1
    assert kept(b.recv_exactly, 100) == 1
    assert kept(b.makefile("rb").read1, 100) == 1


def test_datagrams_keep_it(socket):
    with socket.socket(type=socket.SOCK_DGRAM) as a, socket.socket(type=socket.SOCK_DGRAM) as b:
        b.bind(("127.0.0.1", 0))
        assert kept(a.sendto, b"x", b.getsockname()) == 1
        assert kept(b.recvfrom, 100) == 1


@pytest.mark.parametrize("way", ["much", "much to send", "a mapped file", "MSG_WAITALL"])
def test_calls_that_may_take_long_give_it_away(pair, way):
    a, b = pair
    a.sendall(b"x" * 70000)
    with mmap.mmap(-1, 4096) as memory:
        call = {"much": lambda: b.recv_into(bytearray(65537)),
                "much to send": lambda: b.send(b"x" * 16385),
                "a mapped file": lambda: b.recv_into(memory),
                "MSG_WAITALL": lambda: b.recv(10, fastsock.MSG_WAITALL)}[way]
        assert kept(call) == 0


def test_accepting_and_connecting_give_it_away(socket, listener):
    with socket.socket() as client:
        assert kept(client.connect, listener.getsockname()) == 0
        accepted = []
        assert kept(lambda: accepted.append(listener.accept()[0])) == 0
        accepted[0].close()


@needs_to_see_sleepers
@pytest.mark.parametrize("protocol", ["AF_UNIX", "TCP"])
def test_beside_another_thread_on_the_same_socket(pair, tcp_pair, protocol):
    """Its call holds the kernel's lock of the socket, for as long as it takes."""
    a, b = pair if protocol == "AF_UNIX" else tcp_pair
    a.settimeout(None)
    worker = Worker("recv", a.recv, 100)
    assert kept(a.send, b"x") == 0
    assert kept(b.send, b"x") == 1  # another socket
    worker.join()
    assert worker.result == b"x"
    assert kept(a.send, b"x") == 1
