"""Signals at 1 kHz, whose handler returns, during each loop: what passes is whole.

Rule: the peer of a loop gives it something, or takes something from it, after it has been
interrupted at least twice, more often than not.
"""

import contextlib
import os
import socket
import tempfile

import fastsock

from tests.stress._loops import RECEIVERS, SENDERS, TIMEOUTS
from tests.stress._peers import Source, Thread, Ticks, pair, tcp_pair
from tests.stress._run import TIMEOUT_S, scenario

SIZES = 1, 10, 300, 5000, 60_000


def feed(run, sock, text, ticks):
    """Send a text until the time is over, to the end of its last message: how many bytes."""
    source = Source(text)
    with contextlib.ExitStack() as at_end:
        at_end.callback(sock.shutdown, socket.SHUT_WR)
        while run.goes_on():
            sock.sendall(source.take(run.chance.choice(SIZES)))
            if run.chance.random() < 0.8:
                ticks.wait()
            run.rounds += 1
        sock.sendall(source.take(-source.offset % len(text)))
    return source.offset


def receive_all(receiver, sock):
    """Receive until the end, and compare; how many bytes came."""
    came = Source(receiver.text)
    receive = receiver.make(sock)
    while True:
        try:
            data = receive()
        except fastsock.IncompleteReadError as error:
            came.meet(error.partial)
            return came.offset
        if not data:
            return came.offset
        came.meet(data)


def receiving(name, timeout, run):
    receiver = RECEIVERS[name]
    with (tcp_pair if run.chance.random() < 0.3 else pair)(timeout) as (ours, theirs):
        with Ticks(run) as ticks:
            peer = Thread(feed, run, theirs, receiver.text, ticks)
            came = receive_all(receiver, ours)
        sent = peer.end()
        run.expect(came == sent, f"{came} of {sent} bytes came")
        run.add(bytes=sent)


def drain(sock, ticks, chance):
    """Take what comes, and compare, until the end; how many bytes."""
    came = Source()
    while True:
        if chance.random() < 0.5:
            ticks.wait()
        data = sock.recv(chance.choice(SIZES))
        if not data:
            return came.offset
        came.meet(data)


def sending(name, timeout, run):
    chance = run.chance
    sent = Source()
    with pair(timeout, room=20_000) as (ours, theirs), Ticks(run) as ticks:
        send = SENDERS[name].make(ours)
        peer = Thread(drain, theirs, ticks, type(chance)(run.name))
        while run.goes_on():
            data = sent.take(chance.choice((1, 3000, 200_000)))
            taken = send(data)
            sent.offset -= len(data) - taken
            run.rounds += 1
        ours.shutdown(socket.SHUT_WR)
        came = peer.end()
    run.expect(came == sent.offset, f"{came} of {sent.offset} bytes came")
    run.add(bytes=came)


for kind, timeout in TIMEOUTS.items():
    for name in RECEIVERS:
        scenario(f"signals: {name}, {kind}", name, timeout)(receiving)
    for name in SENDERS:
        scenario(f"signals: {name}, {kind}", name, timeout)(sending)


# -- datagrams ---------------------------------------------------------------------------

def number_of(data):
    return int(bytes(data[:12]))


DATAGRAM = b"%012d" + b"." * 500

#: No more wait in an AF_UNIX queue than net.unix.max_dgram_qlen, 10 where it is lowest.
AT_ONCE = 8

DATAGRAM_RECEIVERS = {
    "recv": lambda sock, batch: [sock.recv(1000)],
    "recvfrom": lambda sock, batch: [sock.recvfrom(1000)[0]],
    "recvmmsg": lambda sock, batch: [data for data, _ in sock.recvmmsg(7)],
    "recvmmsg_into": lambda sock, batch: [bytes(batch[index]) for index in
                                          range(sock.recvmmsg_into(batch))],
}


def receiving_datagrams(name, timeout, run):
    """Over AF_UNIX, where the kernel loses none: each comes once, in its order."""
    def send(theirs, ticks):
        number = 0
        while run.goes_on():
            for _ in range(run.chance.choice((1, 3, 20))):
                theirs.send(DATAGRAM % number)
                number += 1
            if run.chance.random() < 0.8:
                ticks.wait()
            run.rounds += 1
        theirs.send(b"the end")
        return number

    with pair(timeout, socket.SOCK_DGRAM) as (ours, theirs), Ticks(run) as ticks:
        batch = fastsock.DatagramBatch(8)
        peer = Thread(send, theirs, ticks)
        came = []
        while not came or came[-1] != b"the end":
            came += DATAGRAM_RECEIVERS[name](ours, batch)
        sent = peer.end()
    run.expect(list(map(number_of, came[:-1])) == list(range(sent)),
               f"of {sent} datagrams came {len(came) - 1}")
    run.add(datagrams=sent)


def send_from_batch(sock, payloads):
    """By sendmmsg_from(): of a batch that was received before."""
    batch = fastsock.DatagramBatch(len(payloads))
    giver, taker = fastsock.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with giver, taker:
        for payload in payloads:
            giver.send(payload)
        taker.recvmmsg_into(batch)
    return sock.sendmmsg_from(batch)


DATAGRAM_SENDERS = {
    "sendmmsg": lambda sock, payloads: sock.sendmmsg((one, None) for one in payloads),
    "sendmmsg_from": send_from_batch,
    "send of datagrams": lambda sock, payloads: bool(sock.send(payloads[0])),
}


def sending_datagrams(name, timeout, run):
    def take(theirs, ticks):
        came = 0
        while True:
            if run.chance.random() < 0.3:
                ticks.wait()
            data = theirs.recv(1000)
            if data == b"the end":
                return came
            if number_of(data) != came:
                raise AssertionError(f"{number_of(data)} came, not {came}")
            came += 1

    with pair(timeout, socket.SOCK_DGRAM, room=10_000) as (ours, theirs), Ticks(run) as ticks:
        peer = Thread(take, theirs, ticks)
        sent = 0
        while run.goes_on():
            payloads = [DATAGRAM % (sent + index) for index in range(AT_ONCE)]
            sent += DATAGRAM_SENDERS[name](ours, payloads)
            run.rounds += 1
        ours.send(b"the end")
        came = peer.end()
    run.expect(came == sent, f"{came} of {sent} datagrams came")
    run.add(datagrams=sent)


for kind, timeout in TIMEOUTS.items():
    for name in DATAGRAM_RECEIVERS:
        scenario(f"signals: datagrams, {name}, {kind}", name, timeout)(receiving_datagrams)
    for name in DATAGRAM_SENDERS:
        scenario(f"signals: datagrams, {name}, {kind}", name, timeout)(sending_datagrams)


# -- connections -------------------------------------------------------------------------

def accepting(method, timeout, run):
    """Who connected is accepted once, and is who said so."""
    def connect(address, ticks):
        count = 0
        while run.goes_on():
            with contextlib.ExitStack() as stack:
                for _ in range(run.chance.choice((1, 1, 5))):
                    if run.chance.random() < 0.8:
                        ticks.wait()
                    client = stack.enter_context(socket.socket(socket.AF_UNIX))
                    client.connect(address)
                    client.sendall(b"%08d" % count)
                    count += 1
            run.rounds += 1
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(address)
            client.sendall(b"the end.")
        return count

    with tempfile.TemporaryDirectory() as folder, fastsock.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(folder, "s"))
        listener.listen(100)
        listener.settimeout(timeout)
        came = []
        with Ticks(run) as ticks:
            peer = Thread(connect, listener.getsockname(), ticks)
            while not came or came[-1] != b"the end.":
                found = listener.accept_many(3) if method == "accept_many" else [listener.accept()]
                for connection, _ in found:
                    with connection:
                        came.append(connection.recv_exactly(8))
        count = peer.end()
        run.expect(came[:-1] == [b"%08d" % number for number in range(count)],
                   f"of {count} connections came {len(came) - 1}")
        run.add(connections=count)


for kind, timeout in TIMEOUTS.items():
    for name in "accept", "accept_many":
        scenario(f"signals: {name}, {kind}", name, timeout)(accepting)


def connecting(method, timeout, run):
    """To a listener whose backlog is full until the loop has been interrupted: the kernel
    tries again after a second, so a round takes that long."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()

        def make_room(ticks):
            ticks.wait(20)
            accepted = listener.accept()[0]
            last, _ = listener.accept()
            with accepted, last:
                last.sendall(b"welcome")

        while run.goes_on():
            with socket.create_connection(address, TIMEOUT_S), Ticks(run) as ticks:
                peer = Thread(make_room, ticks)
                if method == "connect":
                    sock = fastsock.socket()
                    sock.settimeout(timeout)
                    sock.connect(address)
                else:
                    options = {"happy_eyeballs_delay": 0.05} if method == "race" else {}
                    sock = fastsock.create_connection(address, timeout, **options)
                with sock:
                    run.expect(sock.recv_exactly(7) == b"welcome", "another answered")
                peer.end()
            run.rounds += 1


for kind, timeout in TIMEOUTS.items():
    for name, title in (("connect", "connect"), ("create", "create_connection"),
                        ("race", "create_connection by happy eyeballs")):
        if name != "connect" and timeout is None:
            continue  # it waits as with a timeout, but without an end
        scenario(f"signals: {title}, {kind}", name, timeout)(connecting)
