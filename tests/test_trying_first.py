"""Trying first must not change a result: each case where it was seen to, or could."""

import fcntl
import os
import signal
import struct
import sys
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S

PIECE = 60_000  # small enough for a try, and a few of them fill a socket's buffer


def start(function, *arguments):
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    return thread


def drain(sock, size, received):
    while len(received) < size:
        data = sock.recv(65536)
        if not data:
            break
        received += data


@pytest.mark.parametrize("protocol", ["AF_UNIX", "TCP"])
def test_a_blocking_send_sends_all(pair, tcp_pair, protocol):
    """Also where its first try took only a part."""
    a, b = pair if protocol == "AF_UNIX" else tcp_pair
    a.settimeout(None)
    received = bytearray()
    pieces = [bytes([number]) * PIECE for number in range(100)]
    reader = start(drain, b, PIECE * len(pieces), received)
    assert [a.send(piece) for piece in pieces] == [PIECE] * len(pieces)
    reader.join(TIMEOUT_S)
    assert bytes(received) == b"".join(pieces)


def test_so_rcvtimeo_holds_on_a_blocking_socket(socket, pair):
    a, _ = pair
    a.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 50_000))
    for _ in range(5):  # whatever was learnt of the socket before
        with pytest.raises(BlockingIOError):
            a.recv(1)


def test_so_sndtimeo_holds_on_a_blocking_socket(socket, pair):
    a, _ = pair
    a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 50_000))
    with pytest.raises(BlockingIOError):
        while True:
            a.send(b"x" * PIECE)


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_waitall_waits_for_all_on_a_blocking_socket(socket, pair, timeout):
    a, b = pair
    b.settimeout(timeout)
    a.send(b"abc")
    if timeout is not None:  # the fd is non-blocking then: what is there is all
        assert b.recv(6, socket.MSG_WAITALL) == b"abc"
        return
    result = []
    reader = start(lambda: result.append(b.recv(6, socket.MSG_WAITALL)))
    a.send(b"def")
    reader.join(TIMEOUT_S)
    assert result == [b"abcdef"]


LOW_WATER = """
import socket as stdlib, struct, sys, threading
import fastsock, socket
module, by, timeout = sys.argv[1:]
socket = sys.modules[module]
timeout = None if timeout == "None" else float(timeout)
with socket.create_server(("127.0.0.1", 0)) as listener:
    def low_water(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT,
                        6 if by == "int" else struct.pack("i", 6))
    if by == "listener":
        low_water(listener)
    a = socket.create_connection(listener.getsockname())
    b, _ = listener.accept()
    original = b
    if by == "dup before":
        b = b.dup()
    if by != "listener":
        low_water(original)
    if by == "fileno":
        b = socket.socket(fileno=b.detach())
    elif by == "dup after":
        b = b.dup()
    elif by == "adopt":
        b = stdlib.socket(fileno=b.detach())
        fastsock.adopt(b)
    b.settimeout(timeout)
    a.send(b"abc")
    # However late the rest comes, recv() has to wait for it. Six bytes more: Linux
    # wakes a blocked reader for as many, whatever it took before.
    later = threading.Timer(0.05, a.send, [b"defghi"])
    later.start()
    assert b.recv(100) == b"abcdefghi"
    later.join()
    for sock in (a, b, original):
        sock.close()
"""


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
@pytest.mark.parametrize("by", [
    "int", "bytes", "fileno", "dup before", "dup after", "listener", "adopt"])
@pytest.mark.parametrize("module", ["socket", "fastsock"])
def test_a_low_water_mark_holds(python, module, by, timeout):
    """recv waits for SO_RCVLOWAT bytes, whichever object and fd it was set on.

    In a process of its own: while the option is in use there, nothing is tried first.
    """
    python(module, by, timeout, code=LOW_WATER)


def test_a_listener_times_out_though_a_dup_made_it_blocking(socket, listener):
    listener.settimeout(0.05)
    with listener.dup() as other:
        other.setblocking(True)  # clears O_NONBLOCK of the file that both share
        with pytest.raises(TimeoutError):
            listener.accept()


def test_recv_times_out_though_a_dup_made_it_blocking(socket, pair):
    a, _ = pair
    a.settimeout(0.05)
    with a.dup() as other:
        other.setblocking(True)
        for _ in range(5):
            with pytest.raises(TimeoutError):
                a.recv(1)


def test_setblocking_repairs_the_file_of_a_dup(socket, pair):
    """To None and to 0 the mode is set each time, also if the object has it already."""
    a, _ = pair
    flags = fcntl.fcntl(a, fcntl.F_GETFL)
    fcntl.fcntl(a, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    a.settimeout(None)
    assert not fcntl.fcntl(a, fcntl.F_GETFL) & os.O_NONBLOCK
    a.settimeout(0)
    fcntl.fcntl(a, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
    a.settimeout(0)
    assert fcntl.fcntl(a, fcntl.F_GETFL) & os.O_NONBLOCK


def test_dontwait_on_a_blocking_socket(socket, pair):
    a, b = pair
    with pytest.raises(BlockingIOError):
        a.recv(1, socket.MSG_DONTWAIT)
    b.send(b"x")
    assert a.recv(1, socket.MSG_DONTWAIT) == b"x"


@pytest.mark.parametrize("bufsize", [1, 4096, 4097, 65536, 65537, 1 << 20, 1 << 25])
@pytest.mark.parametrize("there", [1, 64, 4097, 60_000, 100_000])
def test_what_is_there_comes_in_one_receive(socket, pair, bufsize, there):
    """Whatever the memory that it goes through, and whatever was learnt before."""
    a, b = pair
    data = os.urandom(there)
    for _ in range(6):
        a.sendall(data)
        received = bytearray()
        while len(received) < there:
            piece = b.recv(bufsize)
            assert len(piece) == min(bufsize, there - len(received))
            received += piece
        assert received == data


def test_a_signal_handler_that_receives(pair, socket):
    """It interrupts a receive, and receives itself, into other memory."""
    a, b = pair
    other, theirs = socket.socketpair()
    seen = []

    def handler(signum, frame):
        theirs.send(b"inner" * 2000)
        seen.append(other.recv(1 << 16))
        a.send(b"outer" * 2000)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with other, theirs:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            assert b.recv(1 << 16) == b"outer" * 2000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert seen == [b"inner" * 2000]


def test_a_class_of_its_own_is_not_gone_around():
    """What is built on recv and send goes through a class's own (TLS has such)."""
    class Shouting(fastsock.socket):
        def recv_into(self, buffer, nbytes=0, flags=0):
            count = super().recv_into(buffer, nbytes, flags)
            view = memoryview(buffer).cast("B")
            view[:count] = bytes(view[:count]).upper()
            return count

        def sendall(self, data, flags=0):
            return super().sendall(bytes(data).upper(), flags)

    a, b = fastsock.socketpair()
    with Shouting(fileno=a.detach()) as own, b:
        b.sendall(b"abcdef" * 1000)
        assert own.recv_exactly(3) == b"ABC"
        buffer = bytearray(3)
        assert own.recv_exactly_into(buffer) == 3 and buffer == b"DEF"
        assert own.recv_exactly(5994) == b"ABCDEF" * 999
        own.sendmsg_all([b"abc", memoryview(b"def")])
        assert b.recv(100) == b"ABCDEF"
        b.sendall(b"line\n")
        with own.makefile("rb") as file:
            assert file.readline() == b"LINE\n"


# -- found by review ----------------------------------------------------------------

@pytest.mark.parametrize("bufsize", [1, 5000, 100_000])
@pytest.mark.parametrize("way", ["recv", "recvfrom", "recvmsg"])
def test_the_length_of_a_longer_datagram(socket, way, bufsize):
    """MSG_TRUNC: the result is as long as the datagram, and no memory is read beyond."""
    a, b = socket.socketpair(type=socket.SOCK_DGRAM)
    with a, b:
        data = os.urandom(150_000)
        a.send(data)
        if way == "recvmsg":
            if socket is not fastsock and sys.version_info >= (3, 15):
                pytest.skip("CPython 3.15.0 reads beyond its memory there")
            received = b.recvmsg(bufsize, 0, socket.MSG_TRUNC)[0]
            assert received == data[:bufsize]
            return
        received = getattr(b, way)(bufsize, socket.MSG_TRUNC)
        received = received if way == "recv" else received[0]
        assert len(received) == len(data)
        assert received[:bufsize] == data[:bufsize]


@pytest.mark.parametrize("way", ["sendto", "sendmsg"])
def test_a_timeout_where_poll_always_says_ready(socket, tmp_path, way):
    """An unconnected AF_UNIX datagram socket, whose receiver's queue is full."""
    path = str(tmp_path / "receiver")
    with (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver,
          socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender):
        receiver.bind(path)
        sender.settimeout(0.1)
        with pytest.raises(TimeoutError):
            for _ in range(100_000):
                if way == "sendto":
                    sender.sendto(b"x", path)
                else:
                    sender.sendmsg([b"x"], [], 0, path)


def test_control_messages_that_are_made_when_asked_for(socket, pair):
    class Item:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            if index > 2:
                raise IndexError
            return (socket.SOL_SOCKET, socket.SCM_RIGHTS, bytes(struct.pack("i", 0)))[index]

    a, b = pair
    a.sendmsg([b"x"], [Item()])
    data, messages, _, _ = b.recvmsg(10, socket.CMSG_SPACE(4))
    assert data == b"x" and [kind for _, kind, _ in messages] == [socket.SCM_RIGHTS]
    os.close(struct.unpack("i", messages[0][2])[0])


def test_a_class_with_only_one_way_of_its_own():
    class Shouting(fastsock.socket):
        def recv(self, bufsize, flags=0):
            return super().recv(bufsize, flags).upper()

        def send(self, data, flags=0):
            return super().send(bytes(data).upper(), flags)

    a, b = fastsock.socketpair()
    with Shouting(fileno=a.detach()) as own, b:
        b.sendall(b"abcdef")
        assert own.recv_exactly(3) == b"ABC"
        buffer = bytearray(3)
        assert own.recv_exactly_into(buffer) == 3 and buffer == b"DEF"
        own.sendmsg_all([b"abc", b"def"])
        assert b.recv(100) == b"ABCDEF"


def test_an_exception_that_takes_no_attribute(socket, pair):
    """What a signal handler raises comes out of sendall() as it is."""
    class Own(Exception):
        def __setattr__(self, name, value):
            raise RuntimeError("no attributes")

    def handler(signum, frame):
        raise Own

    a, _ = pair
    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Own):
            a.sendall(b"x" * (1 << 24))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_while_busy_polling():
    a, b = fastsock.socketpair()
    with a, b:
        a.set_busy_poll(1_000_000)

        def handler(signum, frame):
            b.send(b"sent by the handler")

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            fastsock.stats(reset=True)
            assert a.recv(100) == b"sent by the handler"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert fastsock.stats()["busy_polls_won"] == 1
