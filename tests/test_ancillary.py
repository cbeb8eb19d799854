"""Control messages: passed descriptors, options of IP datagrams, what is cut or malformed."""

import array
import errno
import gc
import mmap
import os
import socket as stdlib_socket
import struct
import sys
import warnings

import pytest

from tests.conftest import TIMEOUT_S, open_fds
from tests.network import has_ipv6

LINUX = sys.platform == "linux"
INT_SIZE = array.array("i").itemsize
MAP_NORESERVE = 0x4000  # of Linux; Python has the name since 3.13


@pytest.fixture
def udp(socket):
    """A UDP socket connected to itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        yield sock


@pytest.fixture
def fds():
    """The two ends of a pipe."""
    found = os.pipe()
    yield found
    for fd in found:
        os.close(fd)


def rights(socket, numbers):
    return (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", numbers))


def fds_in(socket, ancdata):
    found = array.array("i")
    for level, kind, data in ancdata:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        found.frombytes(data[:len(data) - len(data) % INT_SIZE])
    return list(found)


# -- descriptors ---------------------------------------------------------------

@pytest.mark.parametrize("into", [False, True])
def test_descriptors_are_passed(socket, pair, fds, into):
    a, b = pair
    assert a.sendmsg([b"x"], [rights(socket, fds)]) == 1
    room = socket.CMSG_SPACE(2 * INT_SIZE)
    result = b.recvmsg_into([bytearray(9)], room) if into else b.recvmsg(9, room)
    assert result[0] == (1 if into else b"x")
    assert result[2] & ~socket.MSG_CMSG_CLOEXEC == 0
    received = fds_in(socket, result[1])
    try:
        assert len(received) == 2 and not set(received) & set(fds)
        for ours, theirs in zip(received, fds):
            assert os.path.sameopenfile(ours, theirs)
    finally:
        for fd in received:
            os.close(fd)


def test_data_of_a_control_message_is_bytes(socket, pair, fds):
    a, b = pair
    a.sendmsg([b"x"], [rights(socket, fds[:1])])
    (level, kind, data), = b.recvmsg(9, 64)[1]
    os.close(struct.unpack("i", data)[0])
    assert type(level) is int and type(kind) is int and type(data) is bytes


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview,
                                  lambda data: array.array("i", data)])
@pytest.mark.parametrize("sequence", [tuple, list])
def test_forms_of_a_control_message(socket, pair, fds, form, sequence):
    a, b = pair
    data = form(struct.pack("i", fds[0]))
    message = sequence([socket.SOL_SOCKET, socket.SCM_RIGHTS, data])
    for messages in ([message], (message,), iter([message])):
        a.sendmsg([b"x"], messages)
        fd, = fds_in(socket, b.recvmsg(9, 64)[1])
        os.close(fd)


def test_send_fds_and_recv_fds(socket, pair, fds):
    a, b = pair
    assert socket.send_fds(a, [b"he", b"llo"], fds) == 5
    data, received, flags, address = socket.recv_fds(b, 99, 2)
    for fd in received:
        os.close(fd)
    assert data == b"hello" and len(received) == 2 and address is None
    assert flags & ~socket.MSG_CMSG_CLOEXEC == 0


def test_several_control_messages_are_packed_one_behind_the_other(socket, pair, fds):
    # The kernel joins several SCM_RIGHTS into one; with a message of one byte less
    # than a whole number of ints, the padding in between would be read wrongly.
    a, b = pair
    a.sendmsg([b"x"], [rights(socket, fds[:1]), rights(socket, fds[1:]), rights(socket, fds)])
    received = fds_in(socket, b.recvmsg(9, 256)[1])
    for fd in received:
        os.close(fd)
    assert len(received) == 4


@pytest.mark.skipif(not LINUX, reason="SCM_CREDENTIALS is Linux's")
def test_several_kinds_of_control_messages_at_once(socket, pair, fds):
    a, b = pair
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    credentials = struct.pack("iII", os.getpid(), os.getuid(), os.getgid())
    a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, credentials),
                       rights(socket, fds)])
    ancdata = b.recvmsg(9, 256)[1]
    found = {kind: data for _, kind, data in ancdata}
    assert len(ancdata) == 2 and found[socket.SCM_CREDENTIALS] == credentials
    received = fds_in(socket, [item for item in ancdata if item[1] == socket.SCM_RIGHTS])
    for fd in received:
        os.close(fd)
    assert len(received) == 2


@pytest.mark.parametrize("room", [0, 1, 8, 15])
def test_no_room_for_control_messages(socket, pair, fds, room):
    a, b = pair
    before = open_fds()
    a.sendmsg([b"x"], [rights(socket, fds)])
    data, ancdata, flags, _ = b.recvmsg(9, room)
    assert data == b"x" and ancdata == []
    assert flags & socket.MSG_CTRUNC
    assert open_fds() == before


@pytest.mark.parametrize("missing", [1, 2, 4])
def test_too_little_room_for_descriptors(socket, pair, fds, missing):
    # The kernel gives those that fit; none may stay open beyond what we are told of.
    a, b = pair
    before = set(open_fds())
    a.sendmsg([b"x"], [rights(socket, [*fds, *fds])])
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        data, ancdata, flags, _ = b.recvmsg(9, socket.CMSG_LEN(4 * INT_SIZE - missing))
    received = fds_in(socket, ancdata)
    assert set(open_fds()) - before == set(received)
    for fd in received:
        os.close(fd)
    assert data == b"x" and len(received) == 3
    assert flags & socket.MSG_CTRUNC


@pytest.mark.skipif(not LINUX, reason="the layout of Linux's truncation")
def test_no_amount_of_room_leaks_descriptors(socket, pair, fds):
    a, b = pair
    b.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    before = set(open_fds())
    for room in range(socket.CMSG_SPACE(12) + socket.CMSG_SPACE(2 * INT_SIZE) + 8):
        a.sendmsg([b"x"], [rights(socket, fds)])
        ancdata = b.recvmsg(9, room)[1]
        received = fds_in(socket, [item for item in ancdata if item[1] == socket.SCM_RIGHTS])
        left = set(open_fds()) - before
        for fd in left:
            os.close(fd)
        assert left == set(received), room


def test_descriptors_are_closed_when_there_is_no_result(socket, python):
    # Each allocation of the call fails once, also those that come after the system
    # call, when the descriptors are there and the program will never hear of them.
    pytest.importorskip("_testcapi", reason="this interpreter can't make allocations fail")
    result = python(code=f"""if True:
        import _testcapi, array, os
        import {socket.__name__} as socket
        a, b = socket.socketpair()
        b.setblocking(False)
        message = socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1])
        buffer = [bytearray(9)]

        def open_fds():
            return len(os.listdir("/proc/self/fd"))

        def attempt(receive, size, number):
            _testcapi.set_nomemory(number, number + 1)
            try:
                return receive(size, 64)
            except MemoryError:
                return None
            finally:
                _testcapi.remove_mem_hooks()

        failures_after = 0
        before = open_fds()
        for receive, size in (b.recvmsg, 9), (b.recvmsg_into, buffer):
            for number in range(60):
                a.sendmsg([b"x"], [message])
                answer = attempt(receive, size, number)
                if answer is not None:
                    for fd in array.array("i", answer[1][0][2]):
                        os.close(fd)
                else:
                    try:
                        b.recv(9)  # it failed before the system call
                    except BlockingIOError:
                        failures_after += 1
                assert open_fds() == before, (receive, number)
        assert failures_after > 0
        print("closed")
        a.close()
        b.close()
    """)
    assert result.stdout == "closed\n"


def test_messages_are_closed_with_the_socket(socket, fds):
    a, b = socket.socketpair()
    with a:
        before = open_fds()
        a.sendmsg([b"x"], [rights(socket, fds)])
        b.close()
        gc.collect()
        assert set(open_fds()) <= set(before)


def test_descriptors_that_are_no_descriptors(socket, pair):
    a, b = pair
    with pytest.raises(OSError) as caught:
        a.sendmsg([b"x"], [rights(socket, [-1])])
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError) as caught:
        a.sendmsg([b"x"], [rights(socket, range(3, 3 + 254))])
    assert caught.value.errno == errno.EINVAL  # SCM_MAX_FD is 253


def test_control_messages_that_are_too_large(socket, pair):
    a, _ = pair
    with pytest.raises(OSError) as caught:
        a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, bytes(1 << 22))])
    assert caught.value.errno == errno.ENOBUFS  # above net.core.optmem_max


@pytest.mark.skipif(not LINUX, reason="memory that is only promised")
def test_control_messages_above_any_size(socket, pair):
    """Known before anything is copied: neither has memory of its own."""
    a, b = pair
    huge = mmap.mmap(-1, (1 << 31) - 1, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    much = bytes(1 << 26)
    with huge:
        for data, times in ((huge, 1), (much, 32)):
            with pytest.raises(OSError, match="too (large|much)") as caught:
                a.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, data)] * times)
            assert caught.value.errno is None
    b.setblocking(False)
    with pytest.raises(BlockingIOError):
        b.recv(1)


def test_malformed_control_messages(pair):
    for messages in [
        None, 5, [None], [5], [()], [(1,)], [(1, 2)], [(1, 2, b"", 4)], [("1", 2, b"")],
        [(1, "2", b"")], [(1, 2, "x")], [(1, 2, None)], [(1, 2, 3)], [(1.0, 2, b"")],
        ["abc"], [b"abc"], [bytearray(b"abc")], [(1, 2, memoryview(bytes(4))[::2])],
        [{1, 2, 3}],
        [(1, 2, b""), None]]:
        a, b = pair
        with pytest.raises((TypeError, BufferError)):
            a.sendmsg([b"x"], messages)
        b.setblocking(False)
        with pytest.raises(BlockingIOError):
            b.recv(9)


def test_control_numbers_out_of_range(pair):
    a, _ = pair
    for message in [(2**31, 1, b""), (1, -2**31 - 1, b""), (2**70, 1, b"")]:
        with pytest.raises(OverflowError):
            a.sendmsg([b"x"], [message])


def test_control_messages_the_kernel_does_not_know(socket, pair):
    a, _ = pair
    with pytest.raises(OSError) as caught:
        a.sendmsg([b"x"], [(socket.SOL_SOCKET, 999, b"1234")])
    assert caught.value.errno == errno.EINVAL


# -- control messages of IP ------------------------------------------------------

@pytest.mark.skipif(not LINUX, reason="Linux's names and forms of IP control messages")
def test_ip_ttl_and_tos(socket, udp):
    ip_recvttl, ip_recvtos = 12, 13  # <linux/in.h>; old interpreters have no names
    udp.setsockopt(socket.IPPROTO_IP, ip_recvttl, 1)
    udp.setsockopt(socket.IPPROTO_IP, ip_recvtos, 1)
    udp.sendmsg([b"x"], [(socket.IPPROTO_IP, socket.IP_TTL, struct.pack("i", 33)),
                         (socket.IPPROTO_IP, socket.IP_TOS, struct.pack("i", 8))])
    data, ancdata, flags, address = udp.recvmsg(9, 256)
    found = {(level, kind): data for level, kind, data in ancdata}
    assert found == {(socket.IPPROTO_IP, socket.IP_TTL): struct.pack("i", 33),
                     (socket.IPPROTO_IP, socket.IP_TOS): b"\x08"}
    assert (data, flags, address) == (b"x", 0, udp.getsockname())


@pytest.mark.skipif(not LINUX, reason="Linux's names and forms of IP control messages")
def test_control_messages_that_are_cut(socket, udp):
    udp.setsockopt(socket.IPPROTO_IP, 12, 1)
    udp.setsockopt(socket.IPPROTO_IP, 13, 1)
    whole = [(0, 2, struct.pack("i", 64)), (0, 1, b"\0")]
    for room in range(socket.CMSG_SPACE(4) + socket.CMSG_SPACE(1) + 1):
        udp.send(b"x")
        with warnings.catch_warnings(record=True):
            warnings.simplefilter("always")
            data, ancdata, flags, _ = udp.recvmsg(9, room)
        assert data == b"x"
        assert bool(flags & socket.MSG_CTRUNC) == (room < socket.CMSG_LEN(1)
                                                   + socket.CMSG_SPACE(4))
        assert all(ours[:2] == theirs[:2] and theirs[2].startswith(ours[2])
                   for ours, theirs in zip(ancdata, whole))
        assert len(ancdata) == (room >= socket.CMSG_LEN(0)) + (
            room >= socket.CMSG_SPACE(4) + socket.CMSG_LEN(0))


@pytest.mark.skipif(not has_ipv6(), reason="::1 can't be bound: no IPv6")
@pytest.mark.skipif(not hasattr(stdlib_socket, "IPV6_RECVHOPLIMIT"), reason="no RFC 3542 here")
def test_ipv6_hop_limit_and_class(socket):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.bind(("::1", 0))
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        messages = {(socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT): struct.pack("i", 77),
                    (socket.IPPROTO_IPV6, socket.IPV6_TCLASS): struct.pack("i", 16)}
        sock.sendmsg([b"x"], [(*key, data) for key, data in messages.items()], 0,
                     sock.getsockname())
        data, ancdata, flags, address = sock.recvmsg(9, 256)
        assert {(level, kind): data for level, kind, data in ancdata} == messages
        assert (data, flags, address) == (b"x", 0, sock.getsockname())
