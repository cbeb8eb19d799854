"""recvmmsg, sendmmsg, batches: what they bring is what single calls would have."""

import array
import errno
import os
import pickle
import struct
import tempfile
import threading

import pytest

import fastsock
from tests.conftest import TIMEOUT_S, open_fds
from tests.workers import Worker, needs_to_see_sleepers

SEQPACKET = getattr(fastsock, "SOCK_SEQPACKET", None)


def named_pair(family, path):
    """(sender, receiver) of datagrams, with addresses."""
    host = {fastsock.AF_INET: ("127.0.0.1", 0), fastsock.AF_INET6: ("::1", 0)}
    sockets = []
    for number in range(2):
        sock = fastsock.socket(family, fastsock.SOCK_DGRAM)
        sock.bind(host.get(family, str(path / f"{number}")))
        sock.settimeout(TIMEOUT_S)
        sockets.append(sock)
    return sockets


@pytest.fixture(params=["AF_INET", "AF_INET6", "AF_UNIX"])
def datagrams(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a short path
    try:
        sender, receiver = named_pair(getattr(fastsock, request.param), tmp_path)
    except OSError as error:
        pytest.skip(f"{request.param}: {error}")
    with sender, receiver:
        yield sender, receiver


@pytest.fixture
def udp(tmp_path):
    sender, receiver = named_pair(fastsock.AF_INET, tmp_path)
    with sender, receiver:
        yield sender, receiver


PAYLOADS = [b"", b"x", b"y" * 500, b"z" * 2048]


def test_what_single_calls_send_comes_in_one(datagrams):
    sender, receiver = datagrams
    for payload in PAYLOADS:
        sender.sendto(payload, receiver.getsockname())
    before = fastsock.stats()["system_calls"]["recvmmsg"]
    assert receiver.recvmmsg(10) == [(payload, sender.getsockname()) for payload in PAYLOADS]
    assert fastsock.stats()["system_calls"]["recvmmsg"] == before + 1


def test_what_goes_in_one_comes_by_single_calls(datagrams):
    sender, receiver = datagrams
    assert sender.sendmmsg((payload, receiver.getsockname()) for payload in PAYLOADS) == 4
    assert [receiver.recvfrom(4096) for _ in PAYLOADS] == [
        (payload, sender.getsockname()) for payload in PAYLOADS]


@pytest.mark.parametrize("timeout", [None, TIMEOUT_S])
def test_many_more_than_a_queue_holds(timeout):
    """A sender waits where the kernel has it wait, and all arrive in order."""
    sender, receiver = fastsock.socketpair(type=fastsock.SOCK_DGRAM)
    receiver.settimeout(TIMEOUT_S)
    sender.settimeout(timeout)
    received = []

    def receive():
        while len(received) < 1000:
            received.extend(data for data, _ in receiver.recvmmsg(64))

    reader = threading.Thread(target=receive)
    reader.start()
    payloads = [b"%d" % number for number in range(1000)]
    with sender, receiver:
        assert sender.sendmmsg(payloads) == 1000
        reader.join(TIMEOUT_S)
    assert received == payloads


def test_at_most_count(udp):
    sender, receiver = udp
    sender.sendmmsg([(b"%d" % number, receiver.getsockname()) for number in range(10)])
    assert [len(receiver.recvmmsg(4)) for _ in range(3)] == [4, 4, 2]


def test_a_timeout_and_a_non_blocking_socket(udp):
    _, receiver = udp
    receiver.settimeout(0.001)
    with pytest.raises(TimeoutError):
        receiver.recvmmsg(4)
    receiver.settimeout(0)
    with pytest.raises(BlockingIOError):
        receiver.recvmmsg_into(fastsock.DatagramBatch(4))


@needs_to_see_sleepers
def test_it_waits_for_one_and_no_more(udp):
    sender, receiver = udp
    worker = Worker("poll", receiver.recvmmsg, 10)
    sender.sendto(b"one", receiver.getsockname())
    worker.join()
    assert worker.result == [(b"one", sender.getsockname())]


def test_what_is_cut_off_is_marked(datagrams):
    sender, receiver = datagrams
    sender.sendmmsg([(b"x" * size, receiver.getsockname()) for size in (99, 100, 101, 2000)])
    found = [data for data, _ in receiver.recvmmsg(10, 100)]
    assert [len(data) for data in found] == [99, 100, 100, 100]
    assert [isinstance(data, fastsock.TruncatedDatagram) for data in found] == [
        False, False, True, True]
    assert [data.full_size for data in found[2:]] == [101, 2000]
    assert found[2] == b"x" * 100


def test_what_is_cut_off_in_a_batch(udp):
    sender, receiver = udp
    batch = fastsock.DatagramBatch(4, 10)
    sender.sendmmsg([(b"x" * size, receiver.getsockname()) for size in (10, 11)])
    assert receiver.recvmmsg_into(batch) == 2
    assert [batch.truncated(index) for index in range(2)] == [False, True]
    assert [batch.full_size(index) for index in range(2)] == [10, 11]


@pytest.mark.skipif(SEQPACKET is None, reason="no SOCK_SEQPACKET")
def test_packets_in_sequence_and_their_end():
    a, b = fastsock.socketpair(type=SEQPACKET)
    with a, b:
        assert a.sendmmsg([b"one", [b"t", b"w", b"o"]]) == 2
        assert b.recvmmsg(5) == [(b"one", None), (b"two", None)]
        a.close()
        assert b.recvmmsg(5) == [(b"", None)]


def test_messages_of_many_kinds(udp):
    sender, receiver = udp
    sender.connect(receiver.getsockname())
    address = receiver.getsockname()
    assert sender.sendmmsg([
        b"bytes", bytearray(b"bytearray"), memoryview(b"view"), array.array("B", b"array"),
        [b"se", bytearray(b"veral")], [], (b"to", address), (b"none", None)]) == 8
    assert [data for data, _ in receiver.recvmmsg(10)] == [
        b"bytes", b"bytearray", b"view", b"array", b"several", b"", b"to", b"none"]


def test_several_peers_each_with_one_tuple(udp):
    sender, receiver = udp
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as other:
        for number in range(6):
            (sender if number % 2 else other).sendto(b"x", receiver.getsockname())
        batch = fastsock.DatagramBatch(10)
        assert receiver.recvmmsg_into(batch) == 6
        names = [batch.address(index) for index in range(6)]
        assert names == [("127.0.0.1", other.getsockname()[1]), sender.getsockname()] * 3
        assert names[1] is names[3] is names[5] and names[0] is names[2] is names[4]


@pytest.mark.parametrize("bad, error", [
    (3, TypeError), ("text", TypeError), ((b"x",), TypeError), ((b"x", 3), TypeError),
    ((b"x", ("127.0.0.1", 99999)), OverflowError), ((b"x", ("127.0.0.1",)), TypeError)])
@pytest.mark.parametrize("place", [0, 5, 64, 70])
def test_an_item_that_is_no_message_is_named(udp, bad, error, place):
    """And those before it were sent."""
    sender, receiver = udp
    good = [(b"%d" % number, receiver.getsockname()) for number in range(100)]
    with pytest.raises(error) as caught:
        sender.sendmmsg([*good[:place], bad, *good[place:]])
    assert caught.value.pieces_accepted == place
    receiver.setblocking(False)
    if place:
        assert [data for data, _ in receiver.recvmmsg(100)] == [
            data for data, _ in good[:place]]
    with pytest.raises(BlockingIOError):
        receiver.recvmmsg(1)


def test_what_the_kernel_refuses_has_the_stdlibs_class(udp):
    sender, receiver = udp
    address = receiver.getsockname()
    with pytest.raises(OSError) as caught:
        sender.sendmmsg([(b"good", address), (b"x" * 70000, address), (b"never", address)])
    assert caught.value.errno == errno.EMSGSIZE
    assert caught.value.pieces_accepted == 1
    assert receiver.recvmmsg(5) == [(b"good", sender.getsockname())]


def test_a_refusal_of_an_earlier_datagram(udp):
    sender, receiver = udp
    sender.connect(receiver.getsockname())
    receiver.close()
    with pytest.raises(ConnectionRefusedError):
        sender.sendmmsg([b"x"] * 100)
    sender.send(b"x")
    with pytest.raises(ConnectionRefusedError):
        sender.recvmmsg(1)


def test_streams_are_refused(pair):
    a, _ = (fastsock.adopt(sock) for sock in pair)
    for call in (lambda: a.recvmmsg(1), lambda: a.sendmmsg([b"x"]),
                 lambda: a.recvmmsg_into(fastsock.DatagramBatch(1)),
                 lambda: a.sendmmsg_from(fastsock.DatagramBatch(1)),
                 lambda: a.send_segmented(b"x", 1)):
        with pytest.raises(ValueError, match="stream"):
            call()


def test_answers_in_place(udp):
    client, server = udp
    client.sendmmsg([(b"%d" % number, server.getsockname()) for number in range(100)])
    batch = fastsock.DatagramBatch(100, 50)
    assert server.recvmmsg_into(batch) == len(batch) == 100
    for index in range(100):
        batch[index] = b"<" + batch[index] + b">"
    batch[0][:2] = b"[0"
    assert server.sendmmsg_from(batch) == 100
    assert [data for data, _ in client.recvmmsg(100)] == [
        b"[0>", *(b"<%d>" % number for number in range(1, 100))]


def test_a_batch_as_a_sequence(udp):
    sender, receiver = udp
    sender.sendmmsg([(data, receiver.getsockname()) for data in (b"a", b"b", b"c")])
    batch = fastsock.DatagramBatch(3, 5)
    assert (batch.count, batch.size) == (3, 5)
    receiver.recvmmsg_into(batch)
    assert [bytes(view) for view in batch] == [b"a", b"b", b"c"]
    assert bytes(batch[-1]) == b"c"
    for wrong in (3, -4):
        with pytest.raises(IndexError):
            batch[wrong]
        with pytest.raises(IndexError):
            batch.address(wrong)
    with pytest.raises(ValueError, match="6 bytes"):
        batch[0] = b"x" * 6
    kept = batch[1]
    batch.clear()
    assert len(batch) == 0 and list(batch) == []
    assert bytes(kept) == b"b"


@pytest.mark.parametrize("arguments, error", [
    ((0,), ValueError), ((1025,), ValueError), ((1, 0), ValueError), ((1, 65537), ValueError),
    (("1",), TypeError), ((1.5,), TypeError)])
def test_bad_batches(arguments, error, udp):
    with pytest.raises(error):
        fastsock.DatagramBatch(*arguments)
    with pytest.raises(error):
        udp[1].recvmmsg(*arguments)


def test_a_batch_that_was_never_made(udp):
    empty = fastsock.DatagramBatch.__new__(fastsock.DatagramBatch)
    with pytest.raises(ValueError):
        udp[1].recvmmsg_into(empty)
    with pytest.raises(ValueError):
        udp[1].sendmmsg_from(empty)
    assert len(empty) == 0


def test_a_batch_is_made_once(udp):
    sender, receiver = udp
    batch = fastsock.DatagramBatch(3, 5)
    sender.sendto(b"x", receiver.getsockname())
    receiver.recvmmsg_into(batch)
    with pytest.raises(RuntimeError, match="made once"):
        batch.__init__(100)
    assert (batch.count, batch.size) == (3, 5) and bytes(batch[0]) == b"x"


def test_one_address_in_each_of_many_places(udp):
    """The same tuple is converted once, wherever in the list it comes again."""
    sender, receiver = udp
    place = receiver.getsockname()
    sender.connect(place)
    # 64 go in a call: the 65th is where the first was.
    messages = [(b"0", place), *(b"%d" % number for number in range(1, 64)), (b"64", place),
                (b"65", place), (b"66", (place[0].encode(), place[1])), (b"67", place)]
    assert sender.sendmmsg(messages) == 68
    found = []
    while len(found) < 68:
        found += receiver.recvmmsg(68)
    assert found == [(b"%d" % number, sender.getsockname()) for number in range(68)]


@needs_to_see_sleepers
def test_one_call_at_a_time_uses_a_batch(udp):
    sender, receiver = udp
    batch = fastsock.DatagramBatch(4)
    worker = Worker("poll", receiver.recvmmsg_into, batch)
    for call in (sender.recvmmsg_into, sender.sendmmsg_from):
        with pytest.raises(RuntimeError, match="another call"):
            call(batch)
    sender.sendto(b"x", receiver.getsockname())
    worker.join()
    assert worker.result == 1


def test_peeking_returns_one(udp):
    sender, receiver = udp
    sender.sendmmsg([(b"a", receiver.getsockname()), (b"b", receiver.getsockname())])
    assert [data for data, _ in receiver.recvmmsg(5, 100, fastsock.MSG_PEEK)] == [b"a"]
    assert [data for data, _ in receiver.recvmmsg(5)] == [b"a", b"b"]


def test_descriptors_come_along_and_none_is_left():
    a, b = fastsock.socketpair(type=fastsock.SOCK_DGRAM)
    with a, b:
        reading, writing = os.pipe()
        for _ in range(2):
            a.sendmsg([b"x"], [(fastsock.SOL_SOCKET, fastsock.SCM_RIGHTS,
                                struct.pack("i", reading))])
        (_, ((_, _, data),), _, _), = b.recvmmsg(1, ancillary=True)
        os.close(struct.unpack("i", data)[0])
        assert b.recvmmsg(1) == [(b"x", None)]  # not asked for: the kernel closes it
        os.close(reading)
        os.close(writing)


def test_truncated_datagrams_pickle():
    found = fastsock.TruncatedDatagram(b"abc")
    found.full_size = 10
    copy = pickle.loads(pickle.dumps(found))
    assert copy == b"abc" and copy.full_size == 10


@pytest.mark.parametrize("end", ["received into again", "cleared", "freed"])
def test_descriptors_that_nobody_asks_for_are_closed(end):
    a, b = fastsock.socketpair(fastsock.AF_UNIX, fastsock.SOCK_DGRAM)
    with a, b, tempfile.TemporaryFile() as file:
        batch = fastsock.DatagramBatch(3)
        before = len(open_fds())
        for _ in range(2):
            fastsock.send_fds(a, [b"x"], [file.fileno(), file.fileno()])
        assert b.recvmmsg_into(batch, ancillary=True) == 2
        assert len(open_fds()) == before + 4
        [(_, _, data)] = batch.ancillary(1)
        ours = array.array("i", data)
        if end == "received into again":
            a.send(b"y")
            b.recvmmsg_into(batch)
        elif end == "cleared":
            batch.clear()
        else:
            del batch
        assert len(open_fds()) == before + 2
        for fd in ours:
            assert not os.get_inheritable(fd)
            assert os.path.sameopenfile(fd, file.fileno())
            os.close(fd)
