"""Another Cython package uses the C interface: `cimport fastsock`, without the GIL."""

import pathlib
import struct
import threading

import pytest

import fastsock
from tests.building import built
from tests.conftest import TIMEOUT_S

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "cython_reader"


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The example, built against the package that is tested."""
    return built(EXAMPLE / "reader.pyx", tmp_path_factory.mktemp("reader"), EXAMPLE / "setup.py")


@pytest.fixture
def pair():
    a, b = fastsock.socketpair()
    with a, b:
        a.settimeout(TIMEOUT_S)
        b.settimeout(TIMEOUT_S)
        yield a, b


NUMBERS = list(range(0, 400_000, 7))


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_it_receives_to_the_end(reader, pair, timeout):
    a, b = pair
    b.settimeout(timeout)
    data = struct.pack(f"<{len(NUMBERS)}Q", *NUMBERS)

    def send():
        for at in range(0, len(data), 1001):  # cut inside of numbers
            a.sendall(data[at:at + 1001])
        a.shutdown(fastsock.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    assert reader.sum_of(b) == sum(NUMBERS)
    thread.join()


def test_an_end_inside_a_number(reader, pair):
    a, b = pair
    a.sendall(bytes(11))
    a.shutdown(fastsock.SHUT_WR)
    with pytest.raises(EOFError, match="3 bytes into a number"):
        reader.sum_of(b)


def test_request_and_answer(reader, pair):
    a, b = pair

    def answer():
        request = b.recv_exactly(5)
        b.sendall(request.upper() * 1000)

    thread = threading.Thread(target=answer)
    thread.start()
    assert reader.exchange(a, b"hello", 5000) == b"HELLO" * 1000
    thread.join()


def test_an_end_before_the_whole_answer(reader, pair):
    a, b = pair
    b.sendall(b"abc")
    b.shutdown(fastsock.SHUT_WR)
    with pytest.raises(EOFError, match="after 3 of 5 bytes"):
        reader.exchange(a, b"x", 5)


def test_a_timeout_is_of_the_whole(reader, pair):
    a, b = pair
    a.settimeout(0.05)
    with pytest.raises(TimeoutError, match="timed out"):
        reader.exchange(a, b"x", 5)
    assert b.recv(10) == b"x"


def test_a_non_blocking_socket(reader, pair):
    a, b = pair
    b.settimeout(0)
    with pytest.raises(BlockingIOError):
        reader.sum_of(b)


def test_a_blocking_socket_with_a_timeout_of_the_kernel(reader, pair):
    a, b = pair
    b.settimeout(None)
    b.setsockopt(fastsock.SOL_SOCKET, fastsock.SO_RCVTIMEO, struct.pack("ll", 0, 20_000))
    with pytest.raises(BlockingIOError):
        b.recv(1)
    with pytest.raises(BlockingIOError):
        reader.sum_of(b)


def test_a_closed_socket(reader, pair):
    a, b = pair
    b.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        reader.sum_of(b)


def test_it_is_closed_while_it_waits(reader, pair):
    a, b = pair
    raised = []

    def wait():
        try:
            reader.sum_of(b)
        except OSError as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    a.sendall(bytes(8))
    b.shutdown(fastsock.SHUT_RD)  # wakes it, wherever it is
    b.close()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()
    assert not raised or raised[0].errno == 9  # it saw the end, or the closed socket


def test_what_it_refuses(reader):
    class Mine(fastsock.socket):
        def recv(self, size):
            return b""

    with Mine() as sock, pytest.raises(TypeError, match="'Mine' has a recv or send of its own"):
        reader.sum_of(sock)
    with pytest.raises(TypeError, match="a socket is required"):
        reader.sum_of(1)


def test_other_threads_run_meanwhile(reader, pair):
    """A thread computes while another one receives: neither waits for the other's end."""
    a, b = pair
    done = []
    thread = threading.Thread(target=lambda: done.append(reader.sum_of(b)))
    thread.start()
    counted = 0
    for _ in range(100):
        a.sendall(bytes(8000))
        counted += 1
    a.shutdown(fastsock.SHUT_WR)
    thread.join(TIMEOUT_S)
    assert done == [0] and counted == 100
