"""send, sendall and sendto: partial sends, deadlines, buffers, what the kernel refuses."""

import array
import errno
import mmap
import signal
import socket as stdlib_socket
import struct
import sys
import threading
import time

import pytest

from tests.conftest import TIMEOUT_S

LARGE = 8 << 20  # more than the buffers of two sockets hold


@pytest.fixture
def udp(socket):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.bind(("127.0.0.1", 0))
        yield sock


def by_send(sock, data, flags=0):
    return sock.send(data, flags)


def by_sendall(sock, data, flags=0):
    assert sock.sendall(data, flags) is None
    return memoryview(data).nbytes


def by_sendto_itself(sock, data, flags=0):
    return sock.sendto(data, flags, sock.getsockname())


def by_sendmsg(sock, data, flags=0):
    return sock.sendmsg([data], [], flags)


stream_ways = pytest.mark.parametrize("send", [by_send, by_sendall, by_sendmsg])


def buffers():
    data = b"01234567"
    memory = mmap.mmap(-1, 8)
    memory[:] = data
    return {
        "bytes": data, "bytearray": bytearray(data), "memoryview": memoryview(data),
        "slice": memoryview(b"..01234567..")[2:-2], "array": array.array("B", data),
        "array of ints": array.array("i", data), "mmap": memory,
        "2-d": memoryview(data).cast("B", (2, 4)), "subclass": type("Own", (bytes,), {})(data),
    }


@stream_ways
@pytest.mark.parametrize("kind", buffers())
def test_every_kind_of_buffer(pair, send, kind):
    a, b = pair
    data = buffers()[kind]
    assert send(a, data) == 8
    assert b.recv(99) == b"01234567"
    if kind == "mmap":
        data.close()  # refused while it is exported


@pytest.mark.parametrize("kind", buffers())
def test_sendto_takes_every_kind_of_buffer(udp, kind):
    data = buffers()[kind]
    assert udp.sendto(data, udp.getsockname()) == 8
    assert udp.recvfrom(99) == (b"01234567", udp.getsockname())
    if kind == "mmap":
        data.close()


@stream_ways
def test_what_is_no_buffer(pair, send):
    a, b = pair
    for data in ["text", None, 7, [b"x"], memoryview(b"0123")[::2]]:
        with pytest.raises((TypeError, BufferError)):
            send(a, data)
    a.close()
    assert b.recv(9) == b""


@stream_ways
def test_all_byte_values(pair, send):
    a, b = pair
    data = bytes(range(256))
    assert send(a, data) == 256
    assert b.recv(999) == data


@stream_ways
def test_no_data_on_a_stream(pair, send):
    a, b = pair
    for empty in (b"", bytearray(), memoryview(b"")):
        assert send(a, empty) == 0
    a.close()
    assert b.recv(9) == b""


@stream_ways
def test_no_data_on_a_datagram_socket_is_a_datagram(socket, send):
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with a, b:
        b.settimeout(TIMEOUT_S)
        assert send(a, b"") == 0
        send(a, b"next")
        assert b.recv(9) == b""
        assert b.recv(9) == b"next"
        b.setblocking(False)
        with pytest.raises(BlockingIOError):
            b.recv(9)  # one empty datagram, not several


def test_sendto_no_data(udp):
    assert udp.sendto(b"", udp.getsockname()) == 0
    assert udp.recvfrom(9) == (b"", udp.getsockname())


# -- partial sends -----------------------------------------------------------

def test_send_takes_a_part_when_non_blocking(pair):
    a, b = pair
    a.setblocking(False)
    sent = a.send(bytes(LARGE))
    assert 0 < sent < LARGE
    with pytest.raises(BlockingIOError) as caught:
        while True:
            a.send(bytes(LARGE))
    assert caught.value.errno in (errno.EAGAIN, errno.EWOULDBLOCK)


def test_send_takes_a_part_with_a_timeout(pair):
    a, b = pair
    a.settimeout(TIMEOUT_S)
    sent = a.send(bytes(LARGE))
    assert 0 < sent < LARGE


def test_sendall_is_not_told_how_much_went_when_non_blocking(pair):
    a, b = pair
    a.setblocking(False)
    with pytest.raises(BlockingIOError):
        a.sendall(bytes(LARGE))
    assert b.recv(9) == bytes(9)  # a part did go


def fill(sock):
    """Send until the socket takes no more; non-blocking meanwhile."""
    timeout = sock.gettimeout()
    sock.setblocking(False)
    total = 0
    try:
        while True:
            total += sock.send(bytes(65536))
    except BlockingIOError:
        sock.settimeout(timeout)
    return total


@stream_ways
def test_a_full_socket_times_out(socket, pair, send):
    a, b = pair
    fill(a)
    a.settimeout(0.01)
    with pytest.raises(socket.timeout) as caught:
        send(a, b"x")
    assert str(caught.value) == "timed out"


@stream_ways
def test_dontwait_of_a_full_socket(socket, pair, send):
    a, b = pair
    fill(a)
    with pytest.raises(BlockingIOError):
        send(a, b"x", socket.MSG_DONTWAIT)


def test_sendto_of_a_full_socket_times_out(socket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as a, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as b:
        b.bind("b")
        a.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                a.sendto(bytes(9999), "b")


def test_sendall_of_a_peer_that_does_not_read_times_out(socket, pair):
    a, b = pair
    a.settimeout(0.05)
    with pytest.raises(socket.timeout) as caught:
        a.sendall(bytes(LARGE))
    assert str(caught.value) == "timed out"
    assert b.recv(9) == bytes(9)


def test_sendalls_timeout_is_for_the_whole(socket, pair):
    # The peer goes on reading, one small piece whenever there is room, so that no
    # single wait is as long as the timeout; the sum is.
    a, b = pair
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    a.settimeout(0.2)
    stop = threading.Event()

    def read_slowly():
        b.settimeout(0.02)
        while not stop.wait(0.02):
            try:
                b.recv(4096)
            except TimeoutError:
                pass

    reader = threading.Thread(target=read_slowly)
    reader.start()
    try:
        with pytest.raises(socket.timeout):
            a.sendall(bytes(LARGE))
    finally:
        stop.set()
        reader.join(TIMEOUT_S)


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_large_sendall_arrives_whole(pair, timeout, kind):
    a, b = pair
    a.settimeout(timeout)
    sent = b"".join(number.to_bytes(4, "big") for number in range(LARGE // 8))
    received = bytearray()

    def read():
        while data := b.recv(1 << 20):
            received.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    assert a.sendall(kind(sent)) is None
    a.close()
    reader.join(TIMEOUT_S)
    assert received == sent


def test_a_large_sendall_over_tcp(tcp_pair):
    client, server = tcp_pair
    sent = b"".join(number.to_bytes(4, "big") for number in range(LARGE // 8))
    received = bytearray()

    def read():
        while data := server.recv(1 << 20):
            received.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    client.sendall(sent)
    client.close()
    reader.join(TIMEOUT_S)
    assert received == sent


def test_a_buffer_is_lent_while_sendall_waits(pair):
    a, b = pair
    data = bytearray(LARGE)
    errors = []

    def send():
        try:
            a.sendall(data)
        except OSError as error:
            errors.append(error.errno)

    thread = threading.Thread(target=send)
    thread.start()
    deadline = time.monotonic() + TIMEOUT_S
    refused = False
    while not refused and time.monotonic() < deadline:
        try:
            data.append(0)
        except BufferError:
            refused = True
        else:
            data.pop()
    b.close()  # the sender hears of it: EPIPE, or ECONNRESET
    thread.join(TIMEOUT_S)
    assert refused
    assert errors and errors[0] in (errno.EPIPE, errno.ECONNRESET)
    data.append(0)


# -- what the kernel refuses ---------------------------------------------------

@stream_ways
@pytest.mark.parametrize("timeout", [None, 0, TIMEOUT_S])
def test_a_closed_peer_is_a_broken_pipe(pair, send, timeout):
    a, b = pair
    a.settimeout(timeout)
    b.close()
    with pytest.raises(BrokenPipeError) as caught:
        send(a, b"x")
    assert caught.value.errno == errno.EPIPE


@stream_ways
def test_after_shutdown_of_the_own_side(socket, pair, send):
    a, b = pair
    a.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenPipeError):
        send(a, b"x")


@stream_ways
def test_reset_by_the_peer(socket, tcp_pair, send):
    client, server = tcp_pair
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    with pytest.raises(ConnectionResetError) as caught:
        send(client, b"x")
    assert caught.value.errno == errno.ECONNRESET


@stream_ways
def test_not_connected(socket, send):
    with socket.socket() as sock:
        with pytest.raises(OSError) as caught:
            send(sock, b"x")
        assert caught.value.errno in (errno.ENOTCONN, errno.EPIPE)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError) as caught:
            send(sock, b"x")
        assert caught.value.errno in (errno.EDESTADDRREQ, errno.ENOTCONN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError) as caught:
            send(sock, b"x")
        assert caught.value.errno == errno.ENOTCONN


@pytest.mark.parametrize("send", [by_send, by_sendall, by_sendmsg, by_sendto_itself])
def test_a_datagram_that_is_too_long(udp, send):
    udp.connect(udp.getsockname())
    with pytest.raises(OSError) as caught:
        send(udp, bytes(65508))
    assert caught.value.errno == errno.EMSGSIZE
    assert send(udp, bytes(65507)) == 65507


@pytest.mark.parametrize("send", [by_send, by_sendall, by_sendmsg])
def test_closed(socket, send):
    for timeout in (None, 0, 5):
        sock = socket.socket()
        sock.settimeout(timeout)
        sock.close()
        for data in (b"x", b""):
            with pytest.raises(OSError) as caught:
                send(sock, data)
            assert caught.value.errno == errno.EBADF
            with pytest.raises(OSError) as caught:
                sock.sendto(data, ("127.0.0.1", 9))
            assert caught.value.errno == errno.EBADF


def test_sendto_of_a_connected_stream_ignores_the_address(tcp_pair):
    client, server = tcp_pair
    if sys.platform == "linux":
        assert client.sendto(b"x", ("127.0.0.1", 9)) == 1
        assert server.recv(9) == b"x"
    else:
        with pytest.raises(OSError):
            client.sendto(b"x", ("127.0.0.1", 9))


def test_sendto_of_a_connected_unix_stream(pair, tmp_path):
    a, b = pair
    with pytest.raises(OSError) as caught:
        a.sendto(b"x", str(tmp_path)[:100])
    assert caught.value.errno == errno.EISCONN


def test_sendto_replaces_the_connected_address(socket, udp):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.settimeout(TIMEOUT_S)
        other.bind(("127.0.0.1", 0))
        udp.connect(udp.getsockname())
        assert udp.sendto(b"x", other.getsockname()) == 1
        assert other.recvfrom(9) == (b"x", udp.getsockname())


@pytest.mark.skipif(not hasattr(stdlib_socket, "MSG_MORE"), reason="MSG_MORE is Linux's")
def test_more_joins_datagrams(socket, udp):
    udp.connect(udp.getsockname())
    assert udp.send(b"a", socket.MSG_MORE) == 1
    assert udp.sendto(b"b", socket.MSG_MORE, udp.getsockname()) == 1
    assert udp.send(b"c") == 1
    assert udp.recv(9) == b"abc"


def test_no_signal_of_a_broken_pipe(socket, python):
    # Also with SIGPIPE's default action the process lives, where MSG_NOSIGNAL is given.
    result = python(code=f"""if True:
        import signal
        import {socket.__name__} as socket
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        a, b = socket.socketpair()
        b.close()
        for call in (a.send, a.sendall):
            try:
                call(b"x", socket.MSG_NOSIGNAL)
            except BrokenPipeError:
                print("broken")
        a.close()
    """)
    assert result.stdout.split() == ["broken", "broken"]


def test_sigpipe_is_the_programs_affair(socket, python):
    result = python(code=f"""if True:
        import signal
        import {socket.__name__} as socket
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        a, b = socket.socketpair()
        b.close()
        a.send(b"x")
    """, check=False)
    assert result.returncode == -signal.SIGPIPE
