"""What fastsock has beyond the scenarios of tests.faults, rightly used; in one thread.

Rule: as little as shows that the operation was done.
"""

import contextlib
import io
import os
import socket as stdlib_socket
import tempfile
import warnings

import pytest

import fastsock
from fastsock import framing, select, selectors
from fastsock._platform_facts import facts

from tests.faults._run import TIMEOUT_S
from tests.leaks._table import scenario

FACILITIES = facts()
LOOPBACK = ("127.0.0.1", 0)


def udp():
    sock = fastsock.socket(type=stdlib_socket.SOCK_DGRAM)
    sock.bind(LOOPBACK)
    sock.settimeout(TIMEOUT_S)
    return sock


@scenario()
def names_and_settings_of_sockets(*, run):
    with fastsock.create_server(LOOPBACK) as listener, fastsock.socket() as a:
        listener.settimeout(TIMEOUT_S)
        assert a.connect_ex(listener.getsockname()) == 0
        with listener.accept()[0] as b:
            assert a.getpeername() == b.getsockname() and a.fileno() >= 0
            a.settimeout(1.5)
            assert (a.gettimeout(), a.getblocking(), a.timeout) == (1.5, True, 1.5)
            a.setblocking(True)
            a.set_inheritable(True)
            assert a.get_inheritable()
            a.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, b"\0" * 8)
            assert a.getsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, 8) == b"\0" * 8
            assert repr(a) and a.family and a.type and a.proto == 0
            with a.dup() as other, fastsock.fromfd(b.fileno(), b.family, b.type) as third:
                other.send(b"abc")
                assert third.recv_exactly(3) == b"abc"
            fd = b.detach()
            with fastsock.adopt(stdlib_socket.socket(fileno=fd)) as again:
                assert again.send(b"x") == 1
        assert a.connect_ex(LOOPBACK) != 0
        with pytest.raises(OSError, match=".") as raised:
            a.connect(LOOPBACK)
        del raised
        with fastsock.create_connection(listener.getsockname(), TIMEOUT_S):
            listener.accept()[0].close()
    assert fastsock.stats() is not None
    fastsock.set_busy_poll(0)


@scenario()
def receiving_exactly_and_not_all(*, run):
    """IncompleteReadError with .partial, timeouts with .bytes_sent, and what is then there."""
    a, b = fastsock.socketpair()
    with a, b:
        assert a.peer_credentials().pid == os.getpid()
        a.sendmsg_all([b"one", b"two"])
        room = bytearray(4)
        assert b.recv_exactly_into(room) == 4
        a.shutdown(stdlib_socket.SHUT_WR)
        with pytest.raises(fastsock.IncompleteReadError) as raised:
            b.recv_exactly(10)
        assert raised.value.partial == b"wo"
        b.settimeout(0.001)
        a.settimeout(0.001)
        for call, data in (b.sendall, bytes(1 << 20)), (b.sendmsg_all, [bytes(1 << 20)]):
            with pytest.raises(TimeoutError) as raised:
                call(data)
            assert raised.value.bytes_sent >= 0
        b.set_busy_poll(5)
        assert a.recvfrom(3)[0] == bytes(3) and a.recvfrom_into(room)[0] == 4
        assert a.recvmsg_into([room, bytearray(9)])[0] == 13 and a.recvmsg(3)[0] == bytes(3)
        with contextlib.suppress(OSError):
            while a.recv(1 << 18):
                pass
        with pytest.raises(TimeoutError):
            a.recv_exactly(5)


@scenario()
def many_to_accept(*, run):
    with fastsock.create_server(LOOPBACK) as listener, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(stdlib_socket.create_connection(listener.getsockname()))
        listener.settimeout(TIMEOUT_S)
        count = 0
        while count < 3:
            for sock, _ in listener.accept_many(2):
                sock.close()
                count += 1


@scenario()
def descriptors_by_the_functions(*, run):
    a, b = fastsock.socketpair()
    with a, b, tempfile.TemporaryFile() as file:
        fastsock.send_fds(a, [b"x"], [file.fileno()])
        data, fds, _, _ = fastsock.recv_fds(b, 10, 3)
        for fd in fds:
            os.close(fd)
        assert data == b"x" and len(fds) == 1


@scenario()
def sending_files(*, run):
    a, b = fastsock.socketpair()
    with a, b, tempfile.TemporaryFile() as file:
        file.write(b"abc" * 2000)
        file.seek(0)
        assert a.sendfile(file, 3, 5000) == 5000
        assert a.sendfile(io.BytesIO(b"x" * 20)) == 20
        assert b.recv_exactly(5020)


@scenario("rb", "wb", "rwb", "r", "w")
def files_of_sockets(mode, *, run):
    a, b = fastsock.socketpair()
    with a, b, a.makefile(mode) as file:
        if "r" in mode:
            b.sendall(b"one\ntwo\nthree")
            b.shutdown(stdlib_socket.SHUT_WR)
            room = bytearray(2)
            file.readline()
            if mode != "r":
                assert file.readinto(room) == 2
            file.read()
        if "w" in mode:
            file.write("x" if mode == "w" else b"x")
            file.flush()
    c, d = fastsock.socketpair()
    with c, d, c.makefile("rwb", buffering=0) as raw:
        assert raw.write(b"abc") == 3 and d.recv(5) == b"abc"
        d.send(b"xyz")
        assert raw.readinto(bytearray(3)) == 3
        assert raw.readable() and raw.writable() and not raw.seekable()
        assert raw.name == raw.fileno() and raw.mode
        d.close()
        assert raw.readall() == b""


@scenario()
def batches_of_datagrams(*, run):
    with udp() as a, udp() as b:
        place = b.getsockname()
        assert a.sendmmsg([(b"x" * 40, place), (b"y", place)]) == 2
        assert len(b.recvmmsg(2, 20)) == 2
        batch = fastsock.DatagramBatch(4, 30)
        assert a.sendmmsg([(b"x" * 40, place), (b"y", place)]) == 2
        assert b.recvmmsg_into(batch) == 2
        assert batch.truncated(0) and batch.full_size(0) and batch.address(1) == a.getsockname()
        assert bytes(batch[1]) == b"y" and len(list(batch)) == 2 and batch.ancillary(0) == []
        batch[1] = b"answer"
        assert b.sendmmsg_from(batch)
        batch.clear()
        with contextlib.suppress(OSError):
            if FACILITIES["segmentation"]:
                b.enable_gro()
            a.send_segmented(b"z" * 100, 20, place)
            b.recvmmsg(8)
            a.send_segmented(b"z" * 100, 20, place)
            b.recvmmsg_into(batch)
        with contextlib.suppress(OSError):
            a.join_group("239.1.2.3", "127.0.0.1")
            a.leave_group("239.1.2.3", "127.0.0.1")
            a.set_multicast(interface="127.0.0.1", ttl=3, loopback=True)
        if hasattr(fastsock, "IP_PKTINFO"):
            b.setsockopt(stdlib_socket.IPPROTO_IP, fastsock.IP_PKTINFO, 1)
            a.sendto(b"x", place)
            data, ancillary, _, _ = b.recvmsg(10, 200)
            fastsock.PacketInfo.from_ancillary(ancillary).ancillary()


FRAMINGS = {"Lines": framing.Lines(), "LengthPrefix": framing.LengthPrefix(),
            "Varint": framing.Varint(), "Netstring": framing.Netstring(),
            "Fixed": framing.Fixed(5)}


@scenario(*FRAMINGS)
def framings(name, *, run):
    kind = FRAMINGS[name]
    payloads = [b"%05d" % number for number in range(20)]
    data = b"".join(kind.encode(payload) for payload in payloads)
    assert kind.limit
    made = type(kind)(5) if name == "Fixed" else type(kind)(limit=99)
    assert made.feed(data) == payloads
    made.feed_eof()
    if name != "Fixed":
        with pytest.raises((fastsock.LimitOverrunError, fastsock.FramingError)):
            type(kind)(limit=3).feed(data)
    made.feed(data[:3])
    with pytest.raises(fastsock.IncompleteReadError):
        made.feed_eof()
    repr(made)


@scenario(*FRAMINGS)
def streams(name, *, run):
    """Every method of a Stream, with each framing."""
    a, b = fastsock.socketpair()
    with fastsock.Stream(a, framing=FRAMINGS[name]) as one, \
            fastsock.Stream(b, framing=FRAMINGS[name], high_water=100) as other:
        for sock in a, b:
            sock.settimeout(TIMEOUT_S)
        one.send_message(b"abcde")
        one.send_messages([b"12345"] * 50)
        one.flush()
        room = bytearray(10)
        assert other.recv_message() == b"abcde" and other.recv_message_into(room) == 5
        count = 1
        while count < 40:
            count += len(other.recv_messages(9))
        one.writelines([b"line\n", b"more\nand more"])
        one.write(b"!")
        one.flush()
        one.sock.shutdown(stdlib_socket.SHUT_WR)
        rest = (50 - count) * len(FRAMINGS[name].encode(b"12345"))
        assert len(other.peek(3)) >= 1 and other.pending() >= 0
        assert len(other.readexactly(rest)) == rest
        assert other.readline() == b"line\n" and other.readuntil(b"\n") == b"more\n"
        assert other.readinto(room) and isinstance(other.read(3), bytes)
        assert other.read(-1) is not None and other.at_eof()
        assert other.readable() and other.writable() and other.fileno() >= 0 and not other.closed
        assert other.framing is FRAMINGS[name] and other.limit and other.sock is b
        assert list(other.messages()) == []
        with pytest.raises(EOFError):
            other.readexactly(3)
        one.close()
        assert one.closed


@scenario()
def a_stream_of_an_object_of_ones_own(*, run):
    """A Stream takes any object with the methods, and gives up what it held."""
    class Ducks:
        def __init__(self, sock):
            self.sock = sock

        def recv(self, size):
            return self.sock.recv(size)

        def send(self, data):
            return self.sock.send(data)

        def close(self):
            self.sock.close()

    a, b = fastsock.socketpair()
    with b, fastsock.Stream(Ducks(a), framing=framing.Lines()) as stream:
        stream.write(b"abc\n" * 100)
        stream.flush()
        assert b.recv(4) == b"abc\n"
        b.sendall(b"one\ntwo\n" + b"x" * 100)
        assert [stream.recv_message(), stream.readline()] == [b"one", b"two\n"]


@scenario("epoll", "poll", "select", "EpollSelector", "PollSelector", "SelectSelector")
def pollers(name, *, run):
    a, b = fastsock.socketpair()
    with a, b:
        b.send(b"x")
        if name == "select":
            assert select.select([a], [b], [], 1)[:2] == ([a], [b])
        elif name.endswith("Selector"):
            with getattr(selectors, name)() as selector:
                selector.register(a, selectors.EVENT_READ, object())
                assert selector.select(1)
                selector.modify(a, selectors.EVENT_WRITE)
                assert selector.get_key(a).fileobj is a and len(selector.get_map()) == 1
                with pytest.raises(KeyError):
                    selector.register(a, selectors.EVENT_READ)
                with pytest.raises(KeyError):
                    selector.unregister(b)
                selector.unregister(a)
        else:
            poller = getattr(select, name)()
            poller.register(a, 1)
            assert poller.poll(1) == [(a.fileno(), 1)]
            poller.modify(a, 4)
            poller.unregister(a)
            if name == "epoll":
                assert poller.fileno() >= 0 and not poller.closed
                assert select.epoll.fromfd(os.dup(poller.fileno())).close() is None
                with pytest.raises(OSError, match="."):
                    poller.unregister(a)
                poller.close()


@scenario()
def taking_the_place_of_the_stdlibs(*, run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of modules that had taken the stdlib's before
        fastsock.install()
    try:
        a, b = stdlib_socket.socketpair()
        with a, b:
            a.send(b"x")
            assert type(a) is fastsock.socket
    finally:
        fastsock.uninstall()


@scenario()
def a_class_of_ones_own(*, run):
    class Own(fastsock.socket):
        def recv_into(self, *arguments):
            return super().recv_into(*arguments)

        def send(self, *arguments):
            return super().send(*arguments)

    a, b = fastsock.socketpair()
    with Own(fileno=a.detach()) as own, b:
        own.sendall(b"abc" * 100)
        b.sendall(b"answer")
        assert own.recv_exactly(6) == b"answer"
        with own.makefile("rb") as file:
            b.sendall(b"a line\n")
            assert file.readline() == b"a line\n"
