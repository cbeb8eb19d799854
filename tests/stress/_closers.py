"""Another thread closes, detaches or shuts down a socket, or changes its timeout, while a
loop sleeps on it; the number is another file's at once.

Rules: the other file is a canary: a socket with known bytes, of which none may be taken, and
to which none may be written. It takes the number when the loop's thread is seen to sleep in
the kernel: between giving the GIL away and the system call no library can see it. Then the
old file becomes ready, and the loop looks again.
"""

import contextlib
import errno
import os
import socket
import tempfile
import threading

import fastsock

from tests.stress._loops import RECEIVERS, SENDERS, TIMEOUTS
from tests.stress._peers import Source, Thread, fill, pair, take_some
from tests.stress._run import TIMEOUT_S, scenario
from tests.stress._signals import AT_ONCE, DATAGRAM, DATAGRAM_RECEIVERS, DATAGRAM_SENDERS

SONG = b"not for you"


class Canary:
    """A file that takes a number which another had."""

    def __init__(self, kind=socket.SOCK_STREAM):
        self.near, self.far = socket.socketpair(socket.AF_UNIX, kind)
        self.numbers = []
        self.far.send(SONG)

    def take(self, number):
        os.dup2(self.near.fileno(), number)
        self.numbers.append(number)

    def close(self, run):
        """Is it as it was?"""
        for number in self.numbers:
            os.close(number)
        with self.near, self.far:
            run.expect(take_some(self.near) == SONG, "a loop received from a foreign fd")
            run.expect(take_some(self.far) == b"", "a loop sent to a foreign fd")


@contextlib.contextmanager
def canary(run, kind=socket.SOCK_STREAM):
    made = Canary(kind)
    try:
        yield made
    finally:
        made.close(run)
        run.add(fds=len(made.numbers))


def lose(sock, how, canary, held):
    """Take the fd away from a socket object, and give its number to the canary."""
    number = sock.fileno()
    # The thread in the system call still holds the file; the peer must find it open.
    held.enter_context(contextlib.closing(socket.socket(fileno=os.dup(number))))
    if how == "detach":
        sock.detach()
        os.close(number)
    else:
        while sock._io_refs > 0:  # close() would wait for the files of makefile()
            sock._decref_socketios()
        sock.close()
    canary.take(number)


def is_gone(run, thread, allows=()):
    """The call ended with EBADF, or with what the old file still gave to a blocking call."""
    thread.wait()
    error = thread.error
    if error is None:
        return run.expect(thread.result in allows, "it returned", repr(thread.result)[:60])
    run.expect(isinstance(error, (OSError, ValueError)), repr(error))
    if isinstance(error, OSError):
        run.expect(error.errno == errno.EBADF, repr(error))


def closing_a_receiver(name, timeout, run):
    receiver = RECEIVERS[name]
    while run.goes_on():
        with contextlib.ExitStack() as held, canary(run) as other, pair(timeout) as (ours, theirs):
            data = receiver.text[:receiver.needs + 5]
            receive = receiver.make(ours)
            thread = Thread(receive)
            if thread.until_it_sleeps():
                lose(ours, run.chance.choice(("close", "detach")), other, held)
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            # A blocking call was in the kernel, and brings what came from its file.
            allowed = [data[:size] for size in range(len(data) + 1)] if timeout is None else []
            is_gone(run, thread, allowed)
            del receive
        run.rounds += 1


def closing_a_sender(name, timeout, run):
    sender = SENDERS[name]
    while run.goes_on():
        with contextlib.ExitStack() as held, canary(run) as other, \
                pair(timeout, room=20_000) as (ours, theirs):
            send = sender.make(ours)
            data = Source().take(300_000)

            def send_much():
                while True:
                    send(data)

            thread = Thread(send_much)
            if thread.until_it_sleeps():
                lose(ours, run.chance.choice(("close", "detach")), other, held)
            while thread.is_alive():
                take_some(theirs)
            is_gone(run, thread)
            del send, send_much
        run.rounds += 1


def closing_datagrams(name, timeout, run):
    batch = fastsock.DatagramBatch(8)
    while run.goes_on():
        with contextlib.ExitStack() as held, canary(run, socket.SOCK_DGRAM) as other, \
                pair(timeout, socket.SOCK_DGRAM, 8000) as (ours, theirs):
            payloads = [DATAGRAM % number for number in range(AT_ONCE)]

            def work():
                if name in DATAGRAM_RECEIVERS:
                    return DATAGRAM_RECEIVERS[name](ours, batch)
                while True:
                    DATAGRAM_SENDERS[name](ours, payloads)

            thread = Thread(work)
            if thread.until_it_sleeps():
                lose(ours, run.chance.choice(("close", "detach")), other, held)
            if name in DATAGRAM_RECEIVERS:
                theirs.send(b"wake")
            while thread.is_alive():
                take_some(theirs)
            is_gone(run, thread, [[b"wake"]] if timeout is None else [])
        run.rounds += 1


def closing_a_listener(method, timeout, run):
    with tempfile.TemporaryDirectory() as folder:
        while run.goes_on():
            path = os.path.join(folder, str(run.rounds))
            with contextlib.ExitStack() as held, canary(run) as other, \
                    fastsock.socket(socket.AF_UNIX) as listener, \
                    socket.socket(socket.AF_UNIX) as client:
                listener.bind(path)
                listener.listen()
                listener.settimeout(timeout)

                def accept():
                    found = getattr(listener, method)()
                    for connection, _ in found if method == "accept_many" else [found]:
                        connection.close()
                    return "accepted"

                thread = Thread(accept)
                if thread.until_it_sleeps():
                    lose(listener, run.chance.choice(("close", "detach")), other, held)
                client.connect(path)
                is_gone(run, thread, ["accepted"] if timeout is None else [])
            run.rounds += 1


def closing_a_connect(run):
    """connect() with a timeout: to a full backlog, which then gets room."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        while run.goes_on():
            with contextlib.ExitStack() as held, canary(run) as other, \
                    socket.create_connection(address, TIMEOUT_S), fastsock.socket() as sock:
                sock.settimeout(TIMEOUT_S)
                thread = Thread(sock.connect, address)
                if thread.until_it_sleeps():
                    lose(sock, "close", other, held)
                listener.accept()[0].close()
                is_gone(run, thread)
                listener.accept()[0].close()
            run.rounds += 1


for kind, timeout in TIMEOUTS.items():
    for name, receiver in RECEIVERS.items():
        if "elect" not in name:  # those wait for fds, as the stdlib's do
            scenario(f"closing: {name}, {kind}", name, timeout)(closing_a_receiver)
    for name in SENDERS:
        if "elect" not in name:
            scenario(f"closing: {name}, {kind}", name, timeout)(closing_a_sender)
    for name in [*DATAGRAM_RECEIVERS, *DATAGRAM_SENDERS]:
        scenario(f"closing: datagrams, {name}, {kind}", name, timeout)(closing_datagrams)
    for name in "accept", "accept_many":
        scenario(f"closing: {name}, {kind}", name, timeout)(closing_a_listener)
scenario("closing: connect, timeout")(closing_a_connect)


@scenario("closing: relay()")
def closing_a_relay(run):
    """One of its sockets, now and then while bytes are kept for it."""
    while run.goes_on():
        with contextlib.ExitStack() as held, canary(run) as other, \
                pair(None, room=20_000) as (near, client), pair(None, room=20_000) as (far, target):
            if run.chance.random() < 0.5:
                fill_both = fill(client)  # it reads, and can't write all of it
                run.add(bytes=fill_both)
            thread = Thread(fastsock.relay, near, far)
            if thread.until_it_sleeps():
                lose(run.chance.choice((near, far)), run.chance.choice(("close", "detach")),
                     other, held)
            while thread.is_alive():
                for sock in client, target:
                    with contextlib.suppress(BlockingIOError, BrokenPipeError):
                        take_some(sock)
                        sock.settimeout(0)
                        sock.send(b"wake")
            is_gone(run, thread)
        run.rounds += 1


# -- what is not the end of the fd ---------------------------------------------------------

def changing_timeouts(name, timeout, run):
    """settimeout() in another thread is for the next call: this one gets all the same."""
    receiver = RECEIVERS[name]
    with pair(timeout) as (ours, theirs):
        sent, came = Source(receiver.text), Source(receiver.text)
        receive = receiver.make(ours)
        while run.goes_on():
            ours.settimeout(timeout)
            thread = Thread(receive)
            if thread.until_it_sleeps():
                ours.settimeout(run.chance.choice((0, 0.01, TIMEOUT_S, None)))
                ours.settimeout(run.chance.choice((TIMEOUT_S, None)))
            theirs.sendall(sent.take(receiver.end_after(came.offset) - sent.offset))
            came.meet(thread.end())
            while came.offset < sent.offset:
                came.meet(receive())
            run.rounds += 1


def racing_timeouts(name, timeout, run):
    """settimeout() in another thread while calls begin, wait and end: never BlockingIOError, nor
    an end that there is not. 0 is not among the timeouts, and none of them passes."""
    receiver = RECEIVERS[name]
    with pair(timeout) as (ours, theirs):
        sent, came = Source(receiver.text), Source(receiver.text)
        receive = receiver.make(ours)
        over = threading.Event()

        def change():
            while not over.is_set():
                for later in TIMEOUT_S, None, 2 * TIMEOUT_S, TIMEOUT_S, None, None:
                    ours.settimeout(later)
                    ours.set_busy_poll(10 if later is None else 0)
        changer = Thread(change)
        try:
            while run.goes_on():
                thread = Thread(receive)
                for _ in range(run.chance.randrange(5)):
                    os.sched_yield()
                theirs.sendall(sent.take(receiver.end_after(came.offset) - sent.offset))
                data = thread.end()
                run.expect(data != b"", "it returned an end")
                came.meet(data)
                while came.offset < sent.offset:
                    came.meet(receive())
                run.rounds += 1
        finally:
            over.set()
            changer.end()


def shutting_down(name, timeout, run):
    """shutdown() in another thread ends a receive: with what had come, and then the end."""
    receiver = RECEIVERS[name]
    while run.goes_on():
        with pair(timeout) as (ours, theirs):
            thread = Thread(receiver.make(ours))
            if thread.until_it_sleeps():
                ours.shutdown(run.chance.choice((socket.SHUT_RD, socket.SHUT_RDWR)))
            thread.wait()
            partial = getattr(thread.error, "partial", None)
            run.expect(thread.result == b"" or partial == b"",
                       f"it returned {thread.result!r}, and raised {thread.error!r}")
        run.rounds += 1


CHANGED = ("recv", "recv_into", "recvmsg", "recv_exactly", "recv_exactly_into", "Stream.read",
           "Stream.readexactly", "Stream.readline", "Stream.recv_message: lines", "makefile, raw")

for kind, timeout in TIMEOUTS.items():
    for name in CHANGED:
        scenario(f"settimeout: {name}, {kind}", name, timeout)(changing_timeouts)
        scenario(f"settimeout: races, {name}, {kind}", name, timeout)(racing_timeouts)
        scenario(f"shutdown: {name}, {kind}", name, timeout)(shutting_down)
