"""sendmsg, recvmsg and recvmsg_into: many buffers, flags, addresses."""

import array
import errno
import os
import socket as stdlib_socket
import sys
import threading

import pytest

from tests.conftest import HIDES_AN_ITERABLES_ERROR, TIMEOUT_S

LINUX = sys.platform == "linux"


@pytest.fixture
def udp(socket):
    """A UDP socket connected to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        yield sock


# -- buffers -----------------------------------------------------------------

@pytest.mark.parametrize("buffers", [
    [b"hello"], [b"he", b"llo"], (b"h", b"", b"ello"), [bytearray(b"he"), memoryview(b"llo")],
    [array.array("B", b"hello")], [b"h", b"e", b"l", b"l", b"o", b""]])
def test_gather(pair, buffers):
    a, b = pair
    assert a.sendmsg(buffers) == 5
    assert b.recvmsg(99) == (b"hello", [], 0, None)
    assert a.sendmsg(iter(buffers)) == 5
    assert b.recv(99) == b"hello"


def test_scatter(pair):
    a, b = pair
    first, second, third = bytearray(2), bytearray(3), array.array("i", [-1])
    b.sendall(b"0123456")
    assert a.recvmsg_into(iter([first, second, third])) == (7, [], 0, None)
    assert (first, second, third.tobytes()[:2]) == (b"01", b"234", b"56")
    assert third.tobytes()[2:] == b"\xff\xff"
    b.sendall(b"x")
    assert a.recvmsg_into((memoryview(first)[1:], second)) == (1, [], 0, None)
    assert first == b"0x"


@pytest.mark.parametrize("none", [[], (), iter([]), [b""], [b"", b""]])
def test_no_data_to_send(socket, none):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with a, b:
        b.settimeout(TIMEOUT_S)
        assert a.sendmsg(none) == 0
        a.send(b"next")
        assert b.recvmsg(9)[0] == b""
        assert b.recvmsg(9)[0] == b"next"


@pytest.mark.parametrize("none", [[], (), [bytearray()], [bytearray(), bytearray()]])
def test_no_room_to_receive(socket, none):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with a, b:
        b.settimeout(TIMEOUT_S)
        for data in (b"first", b"second", b"third"):
            a.send(data)
        assert b.recvmsg_into(none)[:3] == (0, [], socket.MSG_TRUNC)
        assert b.recvmsg(0)[:3] == (b"", [], socket.MSG_TRUNC)
        assert b.recvmsg(9)[:3] == (b"third", [], 0)


def test_receiving_nothing_of_a_stream_waits_for_nothing(pair):
    a, b = pair
    b.sendall(b"x")
    assert a.recvmsg(0)[0] == b""
    assert a.recvmsg_into([])[0] == 0
    assert a.recvmsg(9)[0] == b"x"


def test_more_buffers_than_the_system_takes(pair):
    a, b = pair
    limit = os.sysconf("SC_IOV_MAX")
    with pytest.raises(OSError) as caught:
        a.sendmsg([b"x"] * (limit + 1))
    assert caught.value.errno == errno.EMSGSIZE
    assert a.sendmsg([b"x"] * limit) == limit
    with pytest.raises(OSError) as caught:
        b.recvmsg_into([bytearray(1) for _ in range(limit + 1)])
    assert caught.value.errno == errno.EMSGSIZE
    buffers = [bytearray(1) for _ in range(limit)]
    assert b.recvmsg_into(buffers)[0] == limit
    assert b"".join(buffers) == b"x" * limit


def test_a_large_message_is_taken_in_part(pair):
    a, b = pair
    a.setblocking(False)
    sent = a.sendmsg([bytes(1 << 22), bytes(1 << 22)])
    assert 0 < sent < 1 << 23
    with pytest.raises(BlockingIOError):
        while True:
            a.sendmsg([bytes(65536)])
    with pytest.raises(BlockingIOError):
        b.setblocking(False)
        while b.recvmsg(1 << 20)[0]:
            pass


def test_blocking_receivers_wait(pair):
    a, b = pair
    for receive in (lambda: a.recvmsg(9)[0], lambda: a.recvmsg_into([bytearray(9)])[0]):
        thread = threading.Thread(target=b.sendall, args=(b"x",))
        thread.start()
        assert receive() in (b"x", 1)
        thread.join(TIMEOUT_S)


def test_buffers_that_are_made_on_the_way(pair):
    # The generator's items have no other owner while the call runs.
    a, b = pair
    assert a.sendmsg(bytes([65 + number]) * 100 for number in range(26)) == 2600
    data = b.recv(9999)
    assert data == b"".join(bytes([65 + number]) * 100 for number in range(26))
    assert a.sendmsg(str(number).encode() * 9 for number in range(1000, 1100)) == 3600
    assert b.recv(9999) == b"".join(str(number).encode() * 9 for number in range(1000, 1100))


def test_buffers_are_given_back(pair):
    a, b = pair
    buffer, other = bytearray(4), bytearray(4)
    a.sendmsg([buffer, other])
    for array_ in (buffer, other):
        array_.append(0)
    assert b.recvmsg_into([buffer, other])[0] == 8
    for array_ in (buffer, other):
        array_.append(0)
    for bad in ([buffer, None], [buffer, b""], [buffer, "x"]):
        with pytest.raises(TypeError):
            b.recvmsg_into(bad)
        buffer.append(0)
    with pytest.raises(TypeError):
        a.sendmsg([buffer, "x"])
    buffer.append(0)
    with pytest.raises(TypeError):
        a.sendmsg([buffer], [(1, 1, other), (1, 1, None)])
    buffer.append(0)
    other.append(0)


def test_an_iterator_that_fails(socket, pair):
    def items():
        yield b"x"
        raise LookupError

    a, b = pair
    hidden = socket is stdlib_socket and HIDES_AN_ITERABLES_ERROR
    for arguments in ((items(),), ([b"x"], items())):
        with pytest.raises(TypeError if hidden else LookupError):
            a.sendmsg(*arguments)
    b.setblocking(False)
    with pytest.raises(BlockingIOError):
        b.recv(9)


@pytest.mark.parametrize("flag, result", [("MSG_PEEK", b"x"), ("MSG_DONTWAIT", b"x")])
def test_flags(socket, pair, flag, result):
    a, b = pair
    number = getattr(socket, flag)
    with pytest.raises(BlockingIOError):
        a.recvmsg(9, 0, socket.MSG_DONTWAIT)
    b.sendmsg([b"x"], [], socket.MSG_DONTWAIT)
    assert a.recvmsg(9, 0, number)[0] == result
    a.setblocking(False)
    if flag == "MSG_PEEK":
        assert a.recvmsg_into([bytearray(9)], 0, number)[0] == 1
        assert a.recv(9) == b"x"


def test_a_datagram_that_is_too_long(socket, udp):
    udp.send(b"0123456789")
    data, ancdata, flags, address = udp.recvmsg(4)
    assert (data, ancdata, address) == (b"0123", [], udp.getsockname())
    assert flags == socket.MSG_TRUNC
    udp.send(b"0123456789")
    buffer = bytearray(4)
    assert udp.recvmsg_into([buffer])[:3] == (4, [], socket.MSG_TRUNC)
    assert buffer == b"0123"
    if LINUX:
        udp.send(b"0123456789")
        assert udp.recvmsg_into([buffer], 0, socket.MSG_TRUNC)[0] == 10


def test_the_end_of_a_stream(pair):
    a, b = pair
    b.close()
    assert a.recvmsg(9) == (b"", [], 0, None)
    assert a.recvmsg_into([bytearray(9)]) == (0, [], 0, None)


def test_the_end_of_a_packet_is_told(socket):
    try:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    except OSError as error:
        pytest.skip(f"no SOCK_SEQPACKET: {error}")
    with a, b:
        a.sendmsg([b"one", b"two"])
        data, _, flags, _ = b.recvmsg(99)
        assert data == b"onetwo"
        assert flags & ~socket.MSG_EOR == 0


def test_closed(socket):
    for call in [
        lambda sock: sock.recvmsg(9), lambda sock: sock.recvmsg(0),
        lambda sock: sock.recvmsg_into([bytearray(9)]), lambda sock: sock.recvmsg_into([]),
        lambda sock: sock.sendmsg([b"x"]), lambda sock: sock.sendmsg([])]:
        sock = socket.socket()
        sock.close()
        with pytest.raises(OSError) as caught:
            call(sock)
        assert caught.value.errno == errno.EBADF


# -- addresses -----------------------------------------------------------------

def test_addresses(socket, udp):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        assert other.sendmsg([b"x"], [], 0, udp.getsockname()) == 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.settimeout(TIMEOUT_S)
        other.bind(("127.0.0.1", 0))
        assert udp.sendmsg([b"x"], (), 0, other.getsockname()) == 1
        assert other.recvmsg(9) == (b"x", [], 0, udp.getsockname())
        with pytest.raises(OSError) as caught:
            other.sendmsg([b"x"], [], 0, None)
        assert caught.value.errno in (errno.EDESTADDRREQ, errno.ENOTCONN)
    assert udp.sendmsg([b"x"], [], 0, None) == 1


def test_bad_addresses(udp):
    for address in ("127.0.0.1", ("127.0.0.1",), ["127.0.0.1", 9], 0):
        with pytest.raises(TypeError):
            udp.sendmsg([b"x"], [], 0, address)
    with pytest.raises(OverflowError, match=r"^sendmsg\(\): port must be 0-65535\.$"):
        udp.sendmsg([b"x"], [], 0, ("127.0.0.1", 65536))
