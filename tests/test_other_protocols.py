"""Sockets of other families and protocols than TCP, UDP and AF_UNIX: what is not known of them
is left to the kernel and to the inherited methods, and what is ours holds all the same."""

import errno
import fcntl
import os
import struct
import sys

import pytest

import fastsock
from tests.conftest import TIMEOUT_S

IPPROTO_MPTCP, IPPROTO_UDPLITE = 262, 136
#: RTM_GETLINK, dump: the kernel answers with the list of interfaces.
LINKS = struct.pack("=IHHII", 20, 18, 0x301, 0, 0) + bytes(4)


def opened(module, *arguments):
    try:
        return module.socket(*arguments)
    except OSError as error:
        pytest.skip(f"this system has no such sockets: {error}")


@pytest.fixture
def netlink():
    if not hasattr(fastsock, "AF_NETLINK"):
        pytest.skip("no AF_NETLINK here")
    with opened(fastsock, fastsock.AF_NETLINK, fastsock.SOCK_RAW, 0) as sock:
        sock.settimeout(TIMEOUT_S)
        yield sock


def test_many_messages_of_the_kernels(netlink):
    """An address of a family that is not ours is (family, 14 bytes), as the stdlib has it."""
    netlink.send(LINKS)
    found = netlink.recvmmsg(8, 65536)
    assert found and all(int.from_bytes(data[4:6], sys.byteorder) in (3, 16)
                         for data, _ in found)
    assert {address for _, address in found} == {(fastsock.AF_NETLINK, bytes(14))}


def test_addresses_of_another_family_are_not_made(netlink):
    with pytest.raises(OSError, match="bad family") as caught:
        netlink.sendmmsg([(LINKS, (0, 0))])
    assert caught.value.pieces_accepted == 0


def test_no_connections_of_another_family(netlink):
    netlink.setblocking(False)
    with pytest.raises(OSError) as caught:
        netlink.accept_many()
    assert caught.value.errno == errno.EOPNOTSUPP


@pytest.mark.skipif(sys.platform != "linux", reason="a protocol of Linux")
@pytest.mark.parametrize("way", ["recv", "recv_into"])
def test_a_stream_of_another_protocol(socket, way):
    with opened(socket, socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as listener, \
            opened(socket, socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP) as client:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        for sock in listener, client:
            sock.settimeout(TIMEOUT_S)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        with server:
            assert client.proto == IPPROTO_MPTCP
            server.settimeout(0.001)
            with pytest.raises(TimeoutError):
                server.recv(1)
            server.settimeout(TIMEOUT_S)
            client.sendall(b"hello")
            buffer = bytearray(5)
            if way == "recv":
                buffer[:] = server.recv(5)
            else:
                assert server.recv_into(buffer) == 5
            assert buffer == b"hello"
            client.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""


@pytest.mark.skipif(sys.platform != "linux", reason="a protocol of Linux")
def test_datagrams_of_another_protocol(socket):
    with opened(socket, socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_UDPLITE) as receiver, \
            opened(socket, socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_UDPLITE) as sender:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(TIMEOUT_S)
        sender.connect(receiver.getsockname())
        sender.send(b"hello")
        assert receiver.recvfrom(10) == (b"hello", sender.getsockname())


@pytest.mark.skipif(sys.platform != "linux", reason="a protocol of Linux")
def test_datagrams_of_another_protocol_are_cut_by_us():
    with opened(fastsock, fastsock.AF_INET, fastsock.SOCK_DGRAM, IPPROTO_UDPLITE) as receiver, \
            opened(fastsock, fastsock.AF_INET, fastsock.SOCK_DGRAM, IPPROTO_UDPLITE) as sender:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(TIMEOUT_S)
        sender.connect(receiver.getsockname())
        assert sender.send_segmented(b"x" * 10, 4) == 3
        assert [receiver.recv(100) for _ in range(3)] == [b"xxxx", b"xxxx", b"xx"]


# -- packets in sequence -------------------------------------------------------------

@pytest.fixture
def packets():
    if not hasattr(fastsock, "SOCK_SEQPACKET"):
        pytest.skip("no SOCK_SEQPACKET here")
    a, b = fastsock.socketpair(type=fastsock.SOCK_SEQPACKET)
    with a, b:
        a.settimeout(TIMEOUT_S)
        b.settimeout(TIMEOUT_S)
        yield a, b


def test_packets_are_cut_by_us(packets):
    a, b = packets
    assert a.send_segmented(b"x" * 10, 4) == 3
    assert [data for data, _ in b.recvmmsg(5)] == [b"xxxx", b"xxxx", b"xx"]


def test_one_packet_is_no_end(packets):
    a, b = packets
    a.send(b"")
    assert b.recvmmsg(5) == [(b"", None)]


@pytest.mark.parametrize("more", [0, 1])
def test_packets_without_data_are_no_end(packets, more):
    a, b = packets
    for _ in range(3 + more):
        a.send(b"")
    assert b.recvmmsg(3) == [(b"", None)] * 3
    a.send(b"after them")
    assert b.recvmmsg(5) == [(b"", None)] * more + [(b"after them", None)]


def test_the_end_is_told_once_behind_the_last_packet(packets):
    a, b = packets
    a.send(b"last")
    a.close()
    assert b.recvmmsg(5) == [(b"last", None), (b"", None)]
    assert b.recvmmsg(5) == [(b"", None)]


def test_a_packet_without_data_that_brings_descriptors_is_no_end(packets):
    a, b = packets
    a.send(b"")
    fastsock.send_fds(a, [b""], [a.fileno()])
    a.close()
    (_, first, _, _), (_, [(level, kind, data)], _, _) = b.recvmmsg(5, ancillary=True)
    os.close(struct.unpack("i", data)[0])
    assert first == [] and (level, kind) == (fastsock.SOL_SOCKET, fastsock.SCM_RIGHTS)
    assert b.recvmmsg(5) == [(b"", None)]


# -- AF_VSOCK --------------------------------------------------------------------------

def test_options_of_vsock(socket):
    """Its options are of 8 bytes, and the inherited methods' affair."""
    if not hasattr(socket, "AF_VSOCK"):
        pytest.skip("no AF_VSOCK here")
    with opened(socket, socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
        assert sock.getsockopt(socket.AF_VSOCK, socket.SO_VM_SOCKETS_BUFFER_SIZE) > 0
        sock.setsockopt(socket.AF_VSOCK, socket.SO_VM_SOCKETS_BUFFER_SIZE, 1 << 15)
        assert sock.getsockopt(socket.AF_VSOCK, socket.SO_VM_SOCKETS_BUFFER_SIZE) == 1 << 15
        with pytest.raises(OSError) as caught:
            sock.setsockopt(socket.AF_VSOCK, 99, 1)
        assert caught.value.errno == errno.ENOPROTOOPT


def test_numbers_that_have_no_name(socket):
    """What fileno= is told of the socket is believed."""
    a, b = socket.socketpair()
    with a, b:
        for family, kind in (1 << 20, 77), (63, 64), (64, 63), (-5, 9):
            fd = fcntl.fcntl(a.fileno(), fcntl.F_DUPFD_CLOEXEC, 0)
            with socket.socket(family, kind, 0, fileno=fd) as odd:
                assert (odd.family, odd.type) == (family, kind)
                assert type(odd.family) is int and type(odd.type) is int
