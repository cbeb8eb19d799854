"""KeyboardInterrupt in each loop: how soon it comes, and that nothing received is lost.

Rules: SIGINT is sent when the main thread is seen to sleep in the kernel, so the time until
the exception is the loop's. After it, what had arrived is found where the documentation
says, and what was sent is what was said.
"""

import contextlib
import fcntl
import signal
import socket
import struct
import termios
import threading
import time

import fastsock

from tests.stress._loops import RECEIVERS, SENDERS, TIMEOUTS
from tests.stress._peers import Source, Thread, fill, pair, sleeps, take_some, until
from tests.stress._run import TIMEOUT_S, scenario
from tests.stress._signals import (
    AT_ONCE, DATAGRAM, DATAGRAM_RECEIVERS, DATAGRAM_SENDERS, number_of,
)

#: What is promised.
LATE_MS = 50

#: A round may wait for a processor on a loaded machine: what counts is the median.
LEAST_ROUNDS = 9


def unread(sock):
    """How many bytes wait in a stream socket."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]


class Interrupter:
    """Interrupts calls of the main thread, and measures how soon they end."""

    def __init__(self, run):
        self.run = run
        self.sent_ns = None
        run.least_rounds = LEAST_ROUNDS

    def act(self, before, is_met):
        main = threading.main_thread()
        if before is not None:
            until(lambda: sleeps(main.native_id), "the main thread's sleep")
            before()
        until(lambda: is_met() and sleeps(main.native_id), "the main thread's sleep")
        self.sent_ns = time.monotonic_ns()
        signal.pthread_kill(main.ident, signal.SIGINT)

    def __call__(self, call, before=None, is_met=lambda: True):
        """Interrupt a call, after `before()` was done while it slept and `is_met()` is true;
        the exception."""
        thread = Thread(self.act, before, is_met)
        try:
            found = call()
        except KeyboardInterrupt as error:
            self.run.latencies_ns.append(time.monotonic_ns() - self.sent_ns)
            self.run.add(interrupts=1)
            thread.end()
            return error
        thread.end()
        raise AssertionError(f"it returned {found!r}")


def in_time(run):
    """Is the promise kept in most rounds?"""
    late = sum(latency_ns > LATE_MS * 1e6 for latency_ns in run.latencies_ns)
    if late:
        run.add(late=late)
    run.expect(run.median_ms < LATE_MS, f"KeyboardInterrupt came after {run.median_ms} ms")


def interrupting_receives(name, timeout, run):
    receiver = RECEIVERS[name]
    interrupt = Interrupter(run)
    with pair(timeout) as (ours, theirs):
        sent, came = Source(receiver.text), Source(receiver.text)
        receive = receiver.make(ours)

        while run.goes_on():
            # A part of what it needs, which it takes, to wait for the rest.
            part = 0
            if receiver.needs > 1:
                part = run.chance.randrange(receiver.end_after(came.offset) - sent.offset)
            error = interrupt(receive, lambda: theirs.sendall(sent.take(part)),
                              lambda: unread(ours) == 0)
            came.meet(getattr(error, "partial", b""))
            # The rest: the next calls find what came before it, too.
            theirs.sendall(sent.take(receiver.end_after(came.offset) - sent.offset))
            while came.offset < sent.offset:
                came.meet(receive())
            run.rounds += 1
        theirs.shutdown(socket.SHUT_WR)
        with contextlib.suppress(fastsock.IncompleteReadError):
            came.meet(receive())
        run.expect(came.offset == sent.offset, f"{came.offset} of {sent.offset} bytes came")
    in_time(run)


def interrupting_sends(name, timeout, run):
    interrupt = Interrupter(run)
    while run.goes_on():
        with pair(timeout, room=20_000) as (ours, theirs):
            send = SENDERS[name].make(ours)
            if SENDERS[name].sends_all:
                came = Source()
                taken = []

                def take():
                    taken.append(theirs.recv(run.chance.choice((1, 5000))))

                data = Source().take(1_000_000)
                error = interrupt(lambda: send(data), take)
                while piece := take_some(theirs):
                    taken.append(piece)
                for piece in taken:
                    came.meet(piece)
                run.expect(error.bytes_sent == came.offset,
                           f"it says {error.bytes_sent}, and {came.offset} came")
                run.add(bytes=came.offset)
            else:
                filled = fill(ours)
                interrupt(lambda: send(b"not yet"))
                came = 0
                while piece := take_some(theirs):
                    came += len(piece)
                run.expect(came == filled, f"{came} of {filled} came")
        run.rounds += 1
    in_time(run)


for kind, timeout in TIMEOUTS.items():
    for name, receiver in RECEIVERS.items():
        if receiver.keeps:
            scenario(f"interrupts: {name}, {kind}", name, timeout)(interrupting_receives)
    for name, sender in SENDERS.items():
        if sender.keeps:
            scenario(f"interrupts: {name}, {kind}", name, timeout)(interrupting_sends)


def interrupting_datagrams(name, timeout, run):
    interrupt = Interrupter(run)
    batch = fastsock.DatagramBatch(8)
    with pair(timeout, socket.SOCK_DGRAM) as (ours, theirs):
        while run.goes_on():
            interrupt(lambda: DATAGRAM_RECEIVERS[name](ours, batch))
            for number in range(AT_ONCE):
                theirs.send(DATAGRAM % number)
            came = []
            while len(came) < AT_ONCE:
                came += DATAGRAM_RECEIVERS[name](ours, batch)
            run.expect(list(map(number_of, came)) == list(range(AT_ONCE)), "datagrams", came)
            run.rounds += 1
    in_time(run)


def interrupting_datagrams_sent(name, timeout, run):
    """Of a batch that does not fit: as many came as the exception says."""
    interrupt = Interrupter(run)
    while run.goes_on():
        with pair(timeout, socket.SOCK_DGRAM, room=8000) as (ours, theirs):
            sent = 0

            def send():
                nonlocal sent
                while True:
                    sent += DATAGRAM_SENDERS[name](
                        ours, [DATAGRAM % (sent + index) for index in range(AT_ONCE)])

            error = interrupt(send)
            sent += getattr(error, "pieces_accepted", 0)
            came = []
            while piece := take_some(theirs):
                came.append(number_of(piece))
            run.expect(came == list(range(sent)), f"{sent} were sent, and there came", came)
        run.rounds += 1
    in_time(run)


def interrupting_accepts(method, timeout, run):
    interrupt = Interrupter(run)
    with fastsock.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(timeout)
        while run.goes_on():
            interrupt(getattr(listener, method))
            with socket.create_connection(listener.getsockname(), TIMEOUT_S) as client:
                found = getattr(listener, method)()
                accepted, address = found[0] if method == "accept_many" else found
                with accepted:
                    run.expect(address == client.getsockname(), "another came:", address)
            run.rounds += 1
    in_time(run)


def interrupting_connects(method, timeout, run):
    """A connect() to a full backlog: no fd is left behind."""
    interrupt = Interrupter(run)
    options = {"happy_eyeballs_delay": 0.01} if method == "race" else {}
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, TIMEOUT_S):
            while run.goes_on():
                if method == "connect":
                    with fastsock.socket() as sock:
                        sock.settimeout(timeout)
                        interrupt(lambda: sock.connect(address))
                else:
                    interrupt(lambda: fastsock.create_connection(address, timeout, **options))
                run.rounds += 1
    in_time(run)


for kind, timeout in TIMEOUTS.items():
    for name in DATAGRAM_RECEIVERS:
        scenario(f"interrupts: datagrams, {name}, {kind}", name, timeout)(interrupting_datagrams)
    for name in DATAGRAM_SENDERS:
        scenario(f"interrupts: datagrams, {name}, {kind}",
                 name, timeout)(interrupting_datagrams_sent)
    for name in "accept", "accept_many":
        scenario(f"interrupts: {name}, {kind}", name, timeout)(interrupting_accepts)
    for name, title in (("connect", "connect"), ("create", "create_connection"),
                        ("race", "create_connection by happy eyeballs")):
        scenario(f"interrupts: {title}, {kind}", name, timeout)(interrupting_connects)
