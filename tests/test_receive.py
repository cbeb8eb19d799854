"""recv, recv_into, recvfrom and recvfrom_into: sizes, flags, buffers, ends of streams."""

import array
import errno
import mmap
import select
import socket as stdlib_socket
import struct
import sys
import threading
import time

import pytest

from tests.conftest import TIMEOUT_S

LINUX = sys.platform == "linux"


@pytest.fixture
def udp_pair(socket):
    """Two UDP sockets connected to one another, with timeouts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as a, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as b:
        for sock in a, b:
            sock.settimeout(TIMEOUT_S)
            sock.bind(("127.0.0.1", 0))
        a.connect(b.getsockname())
        b.connect(a.getsockname())
        yield a, b


def by_recv(sock, size, flags=0):
    return sock.recv(size, flags)


def by_recvfrom(sock, size, flags=0):
    return sock.recvfrom(size, flags)[0]


def by_recv_into(sock, size, flags=0):
    buffer = bytearray(size)
    return bytes(buffer[:sock.recv_into(buffer, 0, flags)])


def by_recvfrom_into(sock, size, flags=0):
    buffer = bytearray(size)
    return bytes(buffer[:sock.recvfrom_into(buffer, 0, flags)[0]])


every_way = pytest.mark.parametrize(
    "receive", [by_recv, by_recvfrom, by_recv_into, by_recvfrom_into])


def buffers(size):
    """Writable buffers of `size` bytes, of every kind."""
    big = memoryview(bytearray(size + 10))
    table = {
        "bytearray": bytearray(size),
        "memoryview": memoryview(bytearray(size)),
        "slice": big[5:5 + size],
        "array of bytes": array.array("B", bytes(size)),
        "array of ints": array.array("i", bytes(size)),
        "cast": memoryview(bytearray(size)).cast("i"),
        "mmap": mmap.mmap(-1, size),
    }
    return table


every_buffer = pytest.mark.parametrize("kind", buffers(4))


# -- sizes -------------------------------------------------------------------

@every_way
def test_receives_what_is_there(pair, receive):
    a, b = pair
    b.sendall(b"hello")
    data = receive(a, 1024)
    assert data == b"hello" and type(data) is bytes


@every_way
def test_receives_no_more_than_asked_for(pair, receive):
    a, b = pair
    b.sendall(b"hello")
    assert receive(a, 2) == b"he"
    assert receive(a, 3) == b"llo"


@every_way
def test_exact_size(pair, receive):
    a, b = pair
    b.sendall(bytes(range(256)))
    assert receive(a, 256) == bytes(range(256))


@every_way
def test_one_byte_at_a_time(pair, receive):
    a, b = pair
    b.sendall(b"\0\xff\n")
    assert [receive(a, 1) for _ in range(3)] == [b"\0", b"\xff", b"\n"]


@every_way
def test_a_far_larger_size_than_the_data(pair, receive):
    a, b = pair
    b.sendall(b"x")
    assert receive(a, 1 << 24) == b"x"


def test_recv_of_zero_bytes_does_not_wait(pair):
    # No data is there and the socket blocks: a system call would never return.
    a, b = pair
    assert a.recv(0) == b""
    assert a.recv_into(bytearray()) == 0
    assert a.recv_into(bytearray(), 0, 0) == 0
    b.sendall(b"x")
    assert a.recv(0) == b""
    assert a.recv(9) == b"x"


def test_recv_of_zero_bytes_says_nothing_of_a_closed_socket(socket):
    sock = socket.socket()
    sock.close()
    assert sock.recv(0) == b""
    assert sock.recv_into(bytearray()) == 0
    for call in (lambda: sock.recvfrom(0), lambda: sock.recvfrom_into(bytearray()),
                 lambda: sock.recv(1), lambda: sock.recv_into(bytearray(1))):
        with pytest.raises(OSError) as caught:
            call()
        assert caught.value.errno == errno.EBADF


def test_recvfrom_of_zero_bytes_takes_a_datagram(udp_pair):
    a, b = udp_pair
    b.send(b"first")
    b.send(b"second")
    assert a.recvfrom(0) == (b"", b.getsockname())
    assert a.recvfrom(9) == (b"second", b.getsockname())
    b.send(b"third")
    b.send(b"fourth")
    assert a.recvfrom_into(bytearray()) == (0, b.getsockname())
    assert a.recv(9) == b"fourth"


def test_recv_of_zero_bytes_leaves_a_datagram(udp_pair):
    a, b = udp_pair
    b.send(b"data")
    assert a.recv(0) == b""
    assert a.recv(9) == b"data"


def test_nbytes(pair):
    a, b = pair
    b.sendall(b"0123456789")
    for receive in (a.recv_into, lambda *sizes, **named: a.recvfrom_into(*sizes, **named)[0]):
        buffer = bytearray(b"....")
        assert receive(buffer, 2) == 2
        buffer = bytearray(b"....")
        assert receive(buffer, nbytes=3) == 3
        assert buffer[3:] == b"."


def test_nbytes_zero_means_the_whole_buffer(pair):
    a, b = pair
    for receive in (a.recv_into, lambda *arguments: a.recvfrom_into(*arguments)[0]):
        b.sendall(b"0123")
        buffer = bytearray(4)
        assert receive(buffer, 0) == 4
        assert buffer == b"0123"


# -- buffers -----------------------------------------------------------------

@every_buffer
@pytest.mark.parametrize("method", ["recv_into", "recvfrom_into"])
def test_every_kind_of_buffer(pair, method, kind):
    a, b = pair
    buffer = buffers(8)[kind]
    b.sendall(b"01234567")
    count = getattr(a, method)(buffer)
    assert (count if method == "recv_into" else count[0]) == 8
    assert bytes(buffer) == b"01234567" or buffer[:] == b"01234567"
    if kind == "mmap":
        buffer.close()  # refused while it is exported


def test_a_slice_is_filled_and_nothing_else(pair):
    a, b = pair
    memory = bytearray(b"." * 12)
    b.sendall(b"01234567")
    with memoryview(memory)[2:6] as part:
        assert a.recv_into(part) == 4
        assert memory == b"..0123......"
        assert a.recvfrom_into(part, 2) == (2, None)
    assert memory == b"..4523......"


def test_readonly_buffers_are_refused(pair):
    a, b = pair
    b.sendall(b"x")
    for buffer in (b"1234", memoryview(b"1234"), memoryview(bytearray(4)).toreadonly()):
        for method in (a.recv_into, a.recvfrom_into):
            with pytest.raises(TypeError):
                method(buffer)
    assert a.recv(9) == b"x"


@pytest.mark.parametrize("method", ["recv_into", "recvfrom_into"])
def test_a_buffer_is_lent_while_the_call_waits(pair, method):
    a, b = pair
    buffer = bytearray(4)
    received = []
    thread = threading.Thread(target=lambda: received.append(getattr(a, method)(buffer)))
    thread.start()
    # The bytearray refuses a new size as soon as the other thread is in the call.
    deadline = time.monotonic() + TIMEOUT_S
    refused = False
    while not refused and time.monotonic() < deadline:
        try:
            buffer.append(0)
        except BufferError:
            refused = True
        else:
            buffer.pop()
    b.sendall(b"0123")
    thread.join(TIMEOUT_S)
    assert refused
    assert received == [4 if method == "recv_into" else (4, None)]
    assert buffer == b"0123"
    buffer.append(0)  # given back


def test_a_buffer_is_given_back_after_an_error(pair):
    a, b = pair
    a.setblocking(False)
    buffer = bytearray(4)
    for method in (a.recv_into, a.recvfrom_into):
        with pytest.raises(BlockingIOError):
            method(buffer)
        buffer.append(0)


def test_a_large_transfer_arrives_whole(pair):
    a, b = pair
    sent = bytes(range(256)) * 8192
    thread = threading.Thread(target=b.sendall, args=(sent,))
    thread.start()
    received = bytearray(len(sent))
    position = 0
    with memoryview(received) as view:
        while position < len(sent):
            count = a.recv_into(view[position:])
            assert count > 0
            position += count
    thread.join(TIMEOUT_S)
    assert received == sent


# -- flags -------------------------------------------------------------------

@every_way
def test_peek_leaves_the_data(socket, pair, receive):
    a, b = pair
    b.sendall(b"hello")
    assert receive(a, 3, socket.MSG_PEEK) == b"hel"
    assert receive(a, 9, socket.MSG_PEEK) == b"hello"
    assert receive(a, 9) == b"hello"


@every_way
def test_waitall_waits_for_all(socket, pair, receive):
    # More than the two sockets' buffers hold: without the flag a part comes back.
    a, b = pair
    size = 1 << 21
    thread = threading.Thread(target=b.sendall, args=(b"x" * size,))
    thread.start()
    data = receive(a, size, socket.MSG_WAITALL)
    thread.join(TIMEOUT_S)
    assert len(data) == size


@every_way
def test_waitall_ends_with_the_stream(socket, pair, receive):
    a, b = pair
    b.sendall(b"part")
    b.shutdown(socket.SHUT_WR)
    assert receive(a, 100, socket.MSG_WAITALL) == b"part"


@every_way
@pytest.mark.parametrize("timeout", [None, 0])
def test_dontwait_of_a_socket_without_data(socket, pair, receive, timeout):
    a, b = pair
    a.settimeout(timeout)
    with pytest.raises(BlockingIOError) as caught:
        receive(a, 9, socket.MSG_DONTWAIT)
    assert caught.value.errno in (errno.EAGAIN, errno.EWOULDBLOCK)
    b.sendall(b"x")
    assert receive(a, 9, socket.MSG_DONTWAIT) == b"x"


@every_way
def test_dontwait_with_a_timeout_waits(socket, pair, receive):
    # The timeout wins: the socket waits for data, and the flag changes nothing.
    a, b = pair
    a.settimeout(0.01)
    with pytest.raises(socket.timeout):
        receive(a, 9, socket.MSG_DONTWAIT)


@pytest.mark.skipif(not LINUX, reason="MSG_TRUNC on receiving is Linux's")
def test_trunc_gives_the_datagrams_real_size(socket, udp_pair):
    a, b = udp_pair
    b.send(b"0123456789")
    buffer = bytearray(b"......")
    assert a.recv_into(buffer, 4, socket.MSG_TRUNC) == 10
    assert buffer == b"0123.."
    b.send(b"0123456789")
    assert a.recvfrom_into(buffer, 4, socket.MSG_TRUNC) == (10, b.getsockname())
    b.send(b"01")
    assert a.recv(4, socket.MSG_TRUNC) == b"01"


@every_way
def test_a_datagram_that_is_too_long_is_cut(udp_pair, receive):
    a, b = udp_pair
    b.send(b"0123456789")
    b.send(b"next")
    assert receive(a, 4) == b"0123"
    assert receive(a, 4) == b"next"


@every_way
def test_an_empty_datagram(udp_pair, receive):
    a, b = udp_pair
    b.send(b"")
    b.send(b"x")
    assert receive(a, 4) == b""
    assert receive(a, 4) == b"x"


@every_way
def test_the_largest_datagram(udp_pair, receive):
    a, b = udp_pair
    data = bytes(range(256)) * 255 + bytes(227)
    assert len(data) == 65507
    assert b.send(data) == 65507
    assert receive(a, 65536) == data


def test_out_of_band(socket, tcp_pair):
    client, server = tcp_pair
    client.send(b"!", socket.MSG_OOB)
    client.send(b"x")
    assert select.select([], [], [server], TIMEOUT_S)[2] == [server]
    server.setblocking(False)  # urgent data is not what poll(2) would be asked for
    assert server.recv(1, socket.MSG_OOB) == b"!"
    server.settimeout(TIMEOUT_S)
    assert server.recv(9) == b"x"
    server.setblocking(False)
    with pytest.raises(OSError) as caught:
        server.recv(1, socket.MSG_OOB)
    assert caught.value.errno in (errno.EINVAL, errno.EAGAIN)


# -- ends ----------------------------------------------------------------------

@every_way
@pytest.mark.parametrize("timeout", [None, 0, TIMEOUT_S])
def test_the_end_of_a_stream(pair, receive, timeout):
    a, b = pair
    a.settimeout(timeout)
    b.sendall(b"last")
    b.close()
    assert receive(a, 9) == b"last"
    for _ in range(2):
        assert receive(a, 9) == b""


@every_way
def test_half_closed(socket, tcp_pair, receive):
    client, server = tcp_pair
    client.shutdown(socket.SHUT_WR)
    assert receive(server, 9) == b""
    server.sendall(b"still")
    assert receive(client, 9) == b"still"


@every_way
@pytest.mark.parametrize("timeout", [None, 0, TIMEOUT_S])
def test_reset_by_the_peer(socket, tcp_pair, receive, timeout):
    client, server = tcp_pair
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    client.settimeout(timeout)
    with pytest.raises(ConnectionResetError) as caught:
        receive(client, 9)
    assert caught.value.errno == errno.ECONNRESET
    assert receive(client, 9) == b""  # the error is told once


@every_way
def test_a_datagram_socket_hears_of_a_closed_port(socket, receive):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        address = gone.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(address)
        sock.send(b"x")
        with pytest.raises(ConnectionRefusedError) as caught:
            receive(sock, 9)
        assert caught.value.errno == errno.ECONNREFUSED


@every_way
def test_not_connected(socket, receive):
    with socket.socket() as sock, pytest.raises(OSError) as caught:
        receive(sock, 9)
    assert caught.value.errno == errno.ENOTCONN


@every_way
def test_closed(socket, receive):
    for timeout in (None, 0, 5):
        sock = socket.socket()
        sock.settimeout(timeout)
        sock.close()
        with pytest.raises(OSError) as caught:
            receive(sock, 9)
        assert caught.value.errno == errno.EBADF


@every_way
def test_a_size_that_memory_does_not_hold(pair, receive):
    a, b = pair
    with pytest.raises((MemoryError, OverflowError)):
        receive(a, sys.maxsize - 100)


def test_bytes_are_not_shared(pair):
    # A one-byte result is a bytes object that the interpreter shares: it must be the
    # right one, and an empty one must be b"".
    a, b = pair
    everything = bytes(range(256))
    b.sendall(everything)
    assert b"".join(a.recv(1) for _ in range(256)) == everything
    assert [bytes([number]) for number in range(256)] == [
        everything[index:index + 1] for index in range(256)]
    b.sendall(b"ab")
    assert a.recv(2) == b"ab"
    b.close()
    assert a.recv(5) == b"" == bytes()


def test_many_threads_receive_datagrams_once(socket, udp_pair):
    a, b = udp_pair
    a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    received = []

    def work():
        while (data := a.recv(9)) != b"end":
            received.append(data)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    sent = [b"%d" % number for number in range(200)]
    for data in [*sent, *[b"end"] * len(threads)]:
        b.send(data)
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert sorted(received) == sorted(sent)


def test_descriptors_made_non_blocking_from_outside(pair):
    # The object says "blocks", the descriptor does not: the kernel's answer is told.
    a, b = pair
    stdlib_duplicate = stdlib_socket.socket(fileno=stdlib_socket.dup(a.fileno()))
    with stdlib_duplicate:
        stdlib_duplicate.setblocking(False)
        with pytest.raises(BlockingIOError):
            a.recv(9)
        assert a.gettimeout() is None
