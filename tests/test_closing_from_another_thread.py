"""A socket that is closed, and its fd's number taken by another file, while a thread
waits on it: the thread must raise EBADF and leave the other file alone.

Not run on the stdlib's sockets, which receive from the other file and send to it.
"""

import errno
import os

import pytest

import fastsock
from tests.conftest import TIMEOUT_S
from tests.workers import Worker, needs_to_see_sleepers

pytestmark = needs_to_see_sleepers


@pytest.fixture
def socket():
    return fastsock


def expect_ebadf(worker):
    worker.join()
    assert isinstance(worker.error, OSError), (worker.result, worker.error)
    assert worker.error.errno == errno.EBADF


@pytest.fixture
def other(socket):
    """Two connected sockets; the second has data to read."""
    first, second = socket.socketpair()
    with first, second:
        first.sendall(b"not for you")
        second.settimeout(0)
        first.settimeout(0)
        yield first, second


def replace(sock, file):
    """Close the socket, and give its number to another file."""
    number = sock.fileno()
    sock.close()
    os.dup2(file.fileno(), number)
    return number


RECEIVES = {
    "recv": lambda sock: sock.recv(100),
    "recv of much": lambda sock: sock.recv(1 << 20),
    "recv_into": lambda sock: sock.recv_into(bytearray(100)),
    "recvfrom": lambda sock: sock.recvfrom(100),
    "recvfrom_into": lambda sock: sock.recvfrom_into(bytearray(100)),
    "recvmsg": lambda sock: sock.recvmsg(100, 100),
    "recvmsg_into": lambda sock: sock.recvmsg_into([bytearray(100)]),
    "recv_exactly": lambda sock: sock.recv_exactly(4),
    "recv_exactly_into": lambda sock: sock.recv_exactly_into(bytearray(4)),
}


@pytest.mark.parametrize("way", RECEIVES)
@pytest.mark.parametrize("busy_poll_us", [0, 100])
def test_receiving(pair, other, way, busy_poll_us):
    a, b = pair
    a.settimeout(TIMEOUT_S)
    a.set_busy_poll(busy_poll_us)
    worker = Worker("poll", RECEIVES[way], a)
    number = replace(a, other[1])
    try:
        b.sendall(b"wake")  # the thread in poll still holds the old file
        expect_ebadf(worker)
        assert other[1].recv(100) == b"not for you"
    finally:
        os.close(number)


BLOCK = b"x" * 10_000_000
SENDS = {
    "send": lambda sock: [sock.send(BLOCK) for _ in range(3)],
    "sendall": lambda sock: sock.sendall(BLOCK),
    "sendmsg": lambda sock: [sock.sendmsg([BLOCK]) for _ in range(3)],
    "sendmsg_all": lambda sock: sock.sendmsg_all([BLOCK]),
    "sendmsg_all of many": lambda sock: sock.sendmsg_all([BLOCK[:64]] * 100_000),
}


def send_file(sock, path):
    with open(path, "rb") as file:
        sock.sendfile(file)


@pytest.mark.parametrize("way", [*SENDS, "sendfile"])
def test_sending(pair, other, way, tmp_path):
    a, b = pair
    a.settimeout(TIMEOUT_S)
    if way == "sendfile":
        path = tmp_path / "file"
        path.write_bytes(BLOCK)
        worker = Worker("poll", send_file, a, path)
    else:
        worker = Worker("poll", SENDS[way], a)
    number = replace(a, other[0])
    try:
        other[1].recv(100)
        while worker.thread.is_alive():
            try:
                b.recv(1 << 20, fastsock.MSG_DONTWAIT)  # room: the thread wakes
            except BlockingIOError:
                os.sched_yield()
        expect_ebadf(worker)
        with pytest.raises(BlockingIOError):
            other[1].recv(1)
    finally:
        os.close(number)


@pytest.mark.parametrize("way", ["accept", "accept_many"])
def test_accepting(listener, socket, way):
    address = listener.getsockname()
    worker = Worker("poll", getattr(listener, way))
    with socket.create_server(("127.0.0.1", 0)) as another:
        number = replace(listener, another)
        try:
            with socket.create_connection(another.getsockname(), TIMEOUT_S), \
                    socket.socket() as client:
                client.setblocking(False)
                client.connect_ex(address)  # the thread in poll still listens there
                expect_ebadf(worker)
                another.setblocking(False)
                another.accept()[0].close()  # still there
        finally:
            os.close(number)


def test_reading_from_a_file(pair, other):
    a, b = pair
    a.settimeout(TIMEOUT_S)
    with a.makefile("rb", buffering=0) as file:
        worker = Worker("poll", file.read, 100)
        number = a.fileno()
        a._real_close()  # close() waits for the file
        os.dup2(other[1].fileno(), number)
        try:
            b.sendall(b"wake")
            expect_ebadf(worker)
            assert other[1].recv(100) == b"not for you"
        finally:
            os.close(number)
