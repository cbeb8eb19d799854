"""UDP_SEGMENT and UDP_GRO, and what control messages say of a datagram."""

import errno
import os
import select
import struct
import subprocess
import sys
import time

import pytest

import fastsock
from tests.conftest import FACILITIES, TIMEOUT_S, requires_facility, requires_ipv6
from tests.network import link_local_address

pytestmark = pytest.mark.skipif(sys.platform != "linux",
                                reason="options and addresses of Linux")


@pytest.fixture(params=["AF_INET", "AF_INET6"])
def udp(request):
    """(sender, receiver), connected, with a long queue."""
    family = getattr(fastsock, request.param)
    host = "127.0.0.1" if family == fastsock.AF_INET else "::1"
    with fastsock.socket(family, fastsock.SOCK_DGRAM) as sender, \
            fastsock.socket(family, fastsock.SOCK_DGRAM) as receiver:
        try:
            receiver.bind((host, 0))
        except OSError as error:
            pytest.skip(f"{request.param}: {error}")
        receiver.setsockopt(fastsock.SOL_SOCKET, fastsock.SO_RCVBUF, 1 << 20)
        receiver.settimeout(TIMEOUT_S)
        sender.connect(receiver.getsockname())
        yield sender, receiver


def received(receiver, size):
    """Datagrams until so many bytes are there."""
    found = []
    while sum(map(len, found)) < size:
        found += [data for data, _ in receiver.recvmmsg(64, 65536)]
    return found


def pieces(data, size):
    return [data[start:start + size] for start in range(0, len(data), size)]


def test_the_name_is_absent_where_the_system_has_none(udp):
    assert hasattr(udp[0], "enable_gro") == FACILITIES["segmentation"]


@pytest.mark.parametrize("glued", [
    False, pytest.param(True, marks=requires_facility("segmentation"))])
@pytest.mark.parametrize("size, segment", [
    (1, 1), (64, 1), (65, 1), (1000, 7), (1200, 1200), (60000, 1200), (60001, 1200),
    (200_000, 1472), (64999, 65000), (130_001, 65000), (100_000, 40_000)])
def test_the_same_datagrams_however_they_are_cut(udp, size, segment, glued):
    sender, receiver = udp
    if FACILITIES["segmentation"]:
        receiver.enable_gro(glued)
    data = os.urandom(size)
    assert sender.send_segmented(data, segment) == len(pieces(data, segment))
    assert received(receiver, size) == pieces(data, segment)


def test_nothing_to_send(udp):
    sender, receiver = udp
    assert sender.send_segmented(b"", 100) == 0
    receiver.setblocking(False)
    with pytest.raises(BlockingIOError):
        receiver.recvmmsg(1)


def test_to_an_address(udp):
    _, receiver = udp
    with fastsock.socket(receiver.family, fastsock.SOCK_DGRAM) as sender:
        assert sender.send_segmented(b"x" * 10, 4, receiver.getsockname()) == 3
        assert received(receiver, 10) == [b"xxxx", b"xxxx", b"xx"]


def test_where_the_kernel_can_not_cut():
    a, b = fastsock.socketpair(type=fastsock.SOCK_DGRAM)
    with a, b:
        assert a.send_segmented(b"x" * 10, 4) == 3
        assert [data for data, _ in b.recvmmsg(5)] == [b"xxxx", b"xxxx", b"xx"]


@pytest.mark.parametrize("segment", [0, -1, 65001])
def test_bad_segment_sizes(udp, segment):
    with pytest.raises(ValueError, match=str(segment)):
        udp[0].send_segmented(b"x", segment)


@requires_facility("segmentation")
def test_batches_give_out_single_datagrams(udp):
    sender, receiver = udp
    receiver.enable_gro()
    batch = fastsock.DatagramBatch(4)
    data = os.urandom(10_001)
    sender.send_segmented(data, 1000)
    found = []
    while len(found) < 11:
        receiver.recvmmsg_into(batch)
        found += [bytes(view) for view in batch]
        assert {batch.address(index) for index in range(len(batch))} == {sender.getsockname()}
    assert found == pieces(data, 1000)


@requires_facility("segmentation")
def test_glued_datagrams_are_answered_one_by_one(udp):
    sender, receiver = udp
    sender.settimeout(TIMEOUT_S)
    receiver.enable_gro()
    batch = fastsock.DatagramBatch(4)
    sender.send_segmented(b"x" * 2500, 1000)
    answered = 0
    while answered < 3:
        receiver.recvmmsg_into(batch)
        answered += receiver.sendmmsg_from(batch)
    assert received(sender, 2500) == pieces(b"x" * 2500, 1000)


@requires_facility("segmentation")
def test_another_has_switched_gluing_on(udp):
    """A socket that others have set up: it is asked for what it is."""
    sender, receiver = udp
    receiver.enable_gro()
    timeout = receiver.gettimeout()
    with fastsock.socket(fileno=receiver.detach()) as ours:
        ours.settimeout(timeout)
        sender.send_segmented(b"x" * 2500, 1000)
        assert received(ours, 2500) == pieces(b"x" * 2500, 1000)


@requires_facility("segmentation")
def test_in_place_of_a_glued_datagram_goes_no_more_than_it_was(udp):
    """Behind it is the next one."""
    sender, receiver = udp
    receiver.enable_gro()
    batch = fastsock.DatagramBatch(2)
    sender.send_segmented(b"a" * 10 + b"b" * 10 + b"c" * 5, 10)
    if receiver.recvmmsg_into(batch) < 3:
        pytest.skip("this kernel did not glue them")
    with pytest.raises(ValueError, match="11 bytes don't fit into the 10 of datagram 0"):
        batch[0] = b"x" * 11
    batch[0] = b"x" * 7
    assert [bytes(view) for view in batch] == [b"x" * 7, b"b" * 10, b"c" * 5]


@requires_facility("segmentation")
def test_what_the_kernel_refuses_is_not_cut_by_us():
    """Where there is nobody to send to, there is no use in another way."""
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sender:
        with pytest.raises(OSError) as caught:
            sender.send_segmented(b"x" * 100, 10)
        assert caught.value.errno == errno.EDESTADDRREQ and caught.value.pieces_accepted == 0


def test_the_kernel_says_when_where_and_how(udp):
    sender, receiver = udp
    is_ipv6 = receiver.family == fastsock.AF_INET6
    receiver.setsockopt(fastsock.SOL_SOCKET, fastsock.SO_TIMESTAMPNS, 1)
    if is_ipv6:
        receiver.setsockopt(fastsock.IPPROTO_IPV6, fastsock.IPV6_RECVPKTINFO, 1)
        receiver.setsockopt(fastsock.IPPROTO_IPV6, fastsock.IPV6_RECVHOPLIMIT, 1)
    else:
        receiver.setsockopt(fastsock.IPPROTO_IP, fastsock.IP_PKTINFO, 1)
        receiver.setsockopt(fastsock.IPPROTO_IP, fastsock.IP_RECVTTL, 1)
    before_ns = time.time_ns()
    sender.send(b"x")
    (_, ancillary, flags, address), = receiver.recvmmsg(1, ancillary=True)
    info = fastsock.PacketInfo.from_ancillary(ancillary)
    assert address == sender.getsockname() and flags & fastsock.MSG_CTRUNC == 0
    assert info.destination == info.local == receiver.getsockname()[0]
    assert info.interface == fastsock.if_nametoindex("lo")
    assert info.ttl == 64
    assert before_ns - 10**9 < info.timestamp_ns < time.time_ns() + 10**9
    assert info.segment_size is None and info.dropped is None


@pytest.mark.parametrize("how", ["batch", "sendmsg"])
def test_an_answer_comes_from_the_address_that_was_asked(how):
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as server, \
            fastsock.socket(type=fastsock.SOCK_DGRAM) as client:
        server.bind(("0.0.0.0", 0))
        server.setsockopt(fastsock.IPPROTO_IP, fastsock.IP_PKTINFO, 1)
        client.bind(("127.0.0.1", 0))
        client.settimeout(TIMEOUT_S)
        client.sendto(b"x", ("127.0.0.7", server.getsockname()[1]))
        if how == "batch":
            batch = fastsock.DatagramBatch(2)
            server.recvmmsg_into(batch, ancillary=True)
            server.sendmmsg_from(batch)
        else:
            (data, ancillary, _, address), = server.recvmmsg(1, ancillary=True)
            info = fastsock.PacketInfo.from_ancillary(ancillary)
            server.sendmsg([data], info.ancillary(), 0, address)
        assert client.recvfrom(10) == (b"x", ("127.0.0.7", server.getsockname()[1]))


def answered(server, client, port_and_host):
    """Ask by one datagram and have it answered from a batch: who the answer is from."""
    client.settimeout(TIMEOUT_S)
    client.sendto(b"x", port_and_host)
    batch = fastsock.DatagramBatch(2)
    server.settimeout(TIMEOUT_S)
    server.recvmmsg_into(batch, ancillary=True)
    assert server.sendmmsg_from(batch) == 1
    data, address = client.recvfrom(10)
    assert data == b"x" and address[1] == server.getsockname()[1]
    return address


@pytest.mark.parametrize("option", [None, "IP_RECVTTL"])
def test_where_nobody_knows_which_address_was_asked(option):
    """Control messages of another kind say nothing of it."""
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as server, \
            fastsock.socket(type=fastsock.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.1", 0))
        if option is not None:
            server.setsockopt(fastsock.IPPROTO_IP, getattr(fastsock, option), 1)
        assert answered(server, client, server.getsockname()) == server.getsockname()


def ipv6_pair():
    """(server on all addresses, client)."""
    pair = [fastsock.socket(fastsock.AF_INET6, fastsock.SOCK_DGRAM) for _ in range(2)]
    pair[0].bind(("::", 0))
    return pair


@requires_ipv6
@pytest.mark.parametrize("options", [
    ["IPV6_RECVPKTINFO"], ["IPV6_RECVHOPLIMIT"], ["IPV6_RECVPKTINFO", "IPV6_RECVHOPLIMIT"]])
def test_an_answer_over_ipv6(options):
    server, client = ipv6_pair()
    with server, client:
        for option in options:
            server.setsockopt(fastsock.IPPROTO_IPV6, getattr(fastsock, option), 1)
        port = server.getsockname()[1]
        assert answered(server, client, ("::1", port)) == ("::1", port, 0, 0)


@requires_ipv6
def test_an_answer_from_an_address_of_a_link():
    """Such an address means one of its interface, which goes with it."""
    found = link_local_address()
    if found is None:
        pytest.skip("no link-local address here")
    host, scope_id = found
    server, client = ipv6_pair()
    with server, client:
        server.setsockopt(fastsock.IPPROTO_IPV6, fastsock.IPV6_RECVPKTINFO, 1)
        port = server.getsockname()[1]
        assert answered(server, client, (host, port, 0, scope_id)) == (host, port, 0, scope_id)


def test_packet_info_of_nothing():
    info = fastsock.PacketInfo.from_ancillary([(0, 8, b"cut"), (99, 99, b"x")])
    assert info == fastsock.PacketInfo() and info.ancillary() == []


@pytest.mark.parametrize(("local", "interface"), [
    ("fe80::1", 7), ("febf::1", 7), ("fec0::1", 0), ("2001:db8::1", 0)])
def test_only_link_local_addresses_name_their_interface(local, interface):
    info = fastsock.PacketInfo(local=local, interface=7)
    (level, kind, data), = info.ancillary()
    assert (level, kind) == (fastsock.IPPROTO_IPV6, fastsock.IPV6_PKTINFO)
    assert data == fastsock.inet_pton(fastsock.AF_INET6, local) + interface.to_bytes(
        4, sys.byteorder)


def test_a_system_that_lacks_packet_info(monkeypatch):
    from fastsock import _packet_info
    monkeypatch.setattr(_packet_info, "_PKTINFO4", (0, None))
    with pytest.raises(OSError, match="this system has no IP_PKTINFO"):
        fastsock.PacketInfo(local="127.0.0.1").ancillary()


@requires_facility("segmentation")
def test_a_system_that_lacks_an_option(monkeypatch):
    from fastsock import _datagrams
    monkeypatch.delitem(_datagrams._numbers, "UDP_GRO")
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as sock, \
            pytest.raises(OSError, match="this system has no UDP_GRO"):
        sock.enable_gro()


SENDER = """
import struct, sys, time, fastsock
sock = fastsock.socket(type=fastsock.SOCK_DGRAM)
sock.connect(("127.0.0.1", int(sys.argv[1])))
count, sent, began_s = int(sys.argv[2]), 0, time.perf_counter()
while sent < count:
    sent += sock.sendmmsg([struct.pack("!Q", number).ljust(64) for number in range(
        sent, min(sent + 64, count))])
    while sent > 500_000 * (time.perf_counter() - began_s):  # its pace
        pass
print(sent, flush=True)
sys.stdin.readline()        # until the receiver has emptied its queue
sock.send(b"last")          # says how many were dropped before it
"""


def test_each_of_a_million_is_accounted_for(tmp_path):
    count = 1_000_000
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(fastsock.SOL_SOCKET, fastsock.SO_RCVBUF, 4 << 20)
        receiver.setsockopt(fastsock.SOL_SOCKET, fastsock.SO_RXQ_OVFL, 1)
        sender = subprocess.Popen(
            [sys.executable, "-P", "-c", SENDER, str(receiver.getsockname()[1]), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path)
        with sender:
            received, last_number, has_ended = 0, -1, False
            batch = fastsock.DatagramBatch(64, 64)
            receiver.settimeout(0.05)
            while True:
                try:
                    received += receiver.recvmmsg_into(batch)
                except TimeoutError:
                    if has_ended:
                        break  # its queue is empty, and no more will come
                    has_ended = bool(select.select([sender.stdout], [], [], 0)[0])
                    continue
                number, = struct.unpack("!Q", batch[-1][:8])
                assert number > last_number
                last_number = number
            assert int(sender.stdout.readline()) == count
            sender.stdin.write(b"\n")
            sender.stdin.flush()
            receiver.settimeout(TIMEOUT_S)
            (data, ancillary, _, _), = receiver.recvmmsg(1, ancillary=True)
        assert data == b"last"
        dropped = fastsock.PacketInfo.from_ancillary(ancillary).dropped or 0
        assert received + dropped == count
