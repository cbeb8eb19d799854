"""64 threads on one object: what passes is counted once, by whichever thread.

Rules: the threads wait for each other before they begin. A record is known by its number;
where the kernel may cut records, the bytes are counted by their values.
"""

import collections
import contextlib
import os
import socket
import tempfile
import threading

import fastsock
from fastsock import select
from fastsock.framing import Fixed

from tests.stress._loops import TIMEOUTS
from tests.stress._peers import Thread, pair, tcp_pair
from tests.stress._run import TIMEOUT_S, scenario
from tests.stress._signals import AT_ONCE, DATAGRAM, DATAGRAM_RECEIVERS, number_of

THREADS = 64
RECORD = 64     # bytes
END = b"the end"


def together(function, *arguments):
    """Call it in all threads at once: a list of what each returned."""
    barrier = threading.Barrier(THREADS)

    def begin(number):
        barrier.wait(TIMEOUT_S)
        return function(number, *arguments)

    threads = [Thread(begin, number) for number in range(THREADS)]
    return threads


def exactly_once(run, found, count, what):
    """Is each number there once?"""
    numbers = sorted(number for numbers in found for number in numbers)
    run.expect(numbers == list(range(count)),
               f"of {count} {what} came {len(numbers)}, {len(set(numbers))} different ones")
    run.add(**{what: count})


def receiving_datagrams(name, timeout, run):
    while run.goes_on():
        with pair(timeout, socket.SOCK_DGRAM) as (ours, theirs), theirs.dup() as again:
            def take(_):
                batch = fastsock.DatagramBatch(8)
                came = []
                while True:
                    found = DATAGRAM_RECEIVERS[name](ours, batch)
                    came += [number_of(data) for data in found if data != END]
                    if END in found:
                        again.send(END)  # for the next thread
                        return came

            threads = together(take)
            for number in range(1000):
                theirs.send(DATAGRAM % number)
            theirs.send(END)
            exactly_once(run, [thread.end() for thread in threads], 1000, "datagrams")
        run.rounds += 1


def receiving_records(name, timeout, run):
    """Over AF_UNIX, whose receives take turns and are not cut."""
    receives = {
        "recv": lambda sock: sock.recv(RECORD),
        "recvmsg": lambda sock: sock.recvmsg(RECORD)[0],
        "recv_into": lambda sock: (lambda room: bytes(room[:sock.recv_into(room)]))(
            bytearray(RECORD)),
    }
    while run.goes_on():
        with pair(timeout) as (ours, theirs):
            def take(_):
                came = []
                while data := receives[name](ours):
                    if len(data) != RECORD:
                        raise AssertionError(f"{len(data)} bytes of {RECORD} came")
                    came.append(number_of(data))
                return came

            threads = together(take)
            for number in range(2000):
                theirs.sendall(b"%012d" % number + b"." * (RECORD - 12))
            theirs.shutdown(socket.SHUT_WR)
            exactly_once(run, [thread.end() for thread in threads], 2000, "records")
        run.rounds += 1


def receiving_bytes(timeout, run):
    data = bytes(range(256)) * 3000
    while run.goes_on():
        with tcp_pair(timeout) as (ours, theirs):
            def take(number):
                came = collections.Counter()
                while piece := ours.recv(100 + 50 * number):
                    came.update(piece)
                return came

            threads = together(take)
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            came = sum((thread.end() for thread in threads), collections.Counter())
            run.expect(came == dict.fromkeys(range(256), 3000), f"{came.total()} bytes came")
            run.add(bytes=len(data))
        run.rounds += 1


def sending(name, timeout, run):
    """Each thread sends its own byte, and all of them arrive, as often as was said."""
    size = 10_000
    sends = {
        "sendall": lambda sock, data: sock.sendall(data),
        "sendmsg_all": lambda sock, data: sock.sendmsg_all([data[:7], data[7:]]),
    }

    def send(number, sock):
        for _ in range(5):
            sends[name](sock, bytes([number]) * size)

    while run.goes_on():
        with pair(timeout, room=50_000) as (ours, theirs):
            threads = together(send, ours)
            came = collections.Counter()
            while came.total() < THREADS * 5 * size:
                came.update(theirs.recv(1 << 16))
            for thread in threads:
                thread.end()
            run.expect(came == dict.fromkeys(range(THREADS), 5 * size), "other bytes came")
            run.add(bytes=came.total())
        run.rounds += 1


def sending_datagrams(timeout, run):
    each = 20
    while run.goes_on():
        with pair(timeout, socket.SOCK_DGRAM) as (ours, theirs):
            def send(number):
                numbers = range(number * each, (number + 1) * each)
                sent = 0
                while sent < each:
                    sent += ours.sendmmsg((DATAGRAM % one, None) for one in numbers[sent:])

            threads = together(send)
            came = [number_of(theirs.recv(1000)) for _ in range(THREADS * each)]
            for thread in threads:
                thread.end()
            exactly_once(run, [came], THREADS * each, "datagrams")
        run.rounds += 1


def accepting(method, timeout, run):
    count = 150
    while run.goes_on():
        with tempfile.TemporaryDirectory() as folder, \
                fastsock.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.join(folder, "s"))
            listener.listen(1000)
            listener.settimeout(timeout)

            def accept(_):
                came = []
                while True:
                    found = listener.accept_many(5) if method == "accept_many" else [
                        listener.accept()]
                    # All of them are heard: one that is dropped would break its client's pipe.
                    for connection, _ in found:
                        with connection:
                            came.append(int(connection.recv_exactly(12)))
                    if came[-1] == count:  # one such for each thread, and none after it
                        return [number for number in came if number != count]

            def connect(number, waits=True):
                with socket.socket(socket.AF_UNIX) as client:
                    client.setblocking(waits)
                    client.connect(listener.getsockname())
                    client.sendall(b"%012d" % number)

            threads = together(accept)
            for number in range(count):
                connect(number)
            while any(thread.is_alive() for thread in threads):
                with contextlib.suppress(BlockingIOError):
                    connect(count, False)  # the last one may end before there is room
            exactly_once(run, [thread.end() for thread in threads], count, "connections")
        run.rounds += 1


for kind, timeout in TIMEOUTS.items():
    for name in DATAGRAM_RECEIVERS:
        scenario(f"threads: datagrams, {name}, {kind}", name, timeout)(receiving_datagrams)
    for name in "recv", "recvmsg", "recv_into":
        scenario(f"threads: records, {name}, {kind}", name, timeout)(receiving_records)
    scenario(f"threads: bytes over TCP, {kind}", timeout)(receiving_bytes)
    for name in "sendall", "sendmsg_all":
        scenario(f"threads: {name}, {kind}", name, timeout)(sending)
    scenario(f"threads: datagrams, sendmmsg, {kind}", timeout)(sending_datagrams)
    scenario(f"threads: accept, {kind}", "accept", timeout)(accepting)
# A blocking accept_many() may take the last one just before another thread would: with a
# listener that blocks it then waits, with those it has, for the next. With a timeout not.
scenario("threads: accept_many, timeout", "accept_many", TIMEOUT_S)(accepting)


@scenario("threads: close")
def closing(run):
    """Of those who close one socket at once, one does: a second close(2) would meet EBADF, or
    another thread's file that has the number by then."""
    while run.goes_on():
        sockets = [one for _ in range(100) for one in fastsock.socketpair()]

        def close(_):
            for one in sockets:
                one.close()

        for thread in together(close):
            thread.end()
        run.expect(all(one.fileno() == -1 for one in sockets), "one is still open")
        run.add(fds=len(sockets))
        run.rounds += 1


@scenario("threads: one Stream")
def reading_a_stream(run):
    """A second reader is refused; whoever has its turn takes a whole message."""
    while run.goes_on():
        with pair(TIMEOUT_S) as (ours, theirs), \
                fastsock.Stream(ours, framing=Fixed(RECORD)) as stream:
            refused = []

            def take(_):
                came = []
                while True:
                    try:
                        came.append(number_of(stream.recv_message()))
                    except RuntimeError:
                        refused.append(1)
                        os.sched_yield()
                    except EOFError:
                        return came

            threads = together(take)
            for number in range(1000):
                theirs.sendall(b"%012d" % number + b"." * (RECORD - 12))
            theirs.shutdown(socket.SHUT_WR)
            exactly_once(run, [thread.end() for thread in threads], 1000, "records")
            run.add(refused=len(refused))
        run.rounds += 1


@scenario("threads: one DatagramBatch")
def sharing_a_batch(run):
    """Whoever finds it in use is refused, and nothing is written into it meanwhile."""
    while run.goes_on():
        batch = fastsock.DatagramBatch(AT_ONCE, 600)

        def work(number):
            refused = 0
            with pair(TIMEOUT_S, socket.SOCK_DGRAM) as (ours, theirs):
                for _ in range(30):
                    theirs.send(DATAGRAM % number)
                    try:
                        ours.recvmmsg_into(batch)
                    except RuntimeError:
                        refused += 1
                        ours.recv(1000)
                    # What is there may be another thread's by now, or be gone.
                    with contextlib.suppress(IndexError, RuntimeError):
                        for index, data in enumerate(batch):
                            run.expect(len(data) == len(DATAGRAM % number),
                                       f"a datagram of {len(data)} bytes")
                            batch.address(index)
                            batch.ancillary(index)
                        batch.clear()
            return refused

        run.add(refused=sum(thread.end() for thread in together(work)))
        run.rounds += 1


def waiting_on_one_epoll(run):
    while run.goes_on():
        with contextlib.ExitStack() as stack:
            pairs = [stack.enter_context(pair(TIMEOUT_S)) for _ in range(THREADS)]
            epoll = stack.enter_context(select.epoll())
            by_fd = {ours.fileno(): ours for ours, _ in pairs}
            for fd in by_fd:
                epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
            left = threading.Semaphore(0)

            def take(_):
                came = []
                is_over = False
                while not is_over:
                    # All of them are heard: one that is left out would stay off for everybody.
                    for fd, _ in epoll.poll(TIMEOUT_S, 3):
                        data = by_fd[fd].recv_exactly(12)
                        epoll.modify(fd, select.EPOLLIN | select.EPOLLONESHOT)
                        if data == b"%012d" % 999_999:
                            is_over = True
                        else:
                            came.append(int(data))
                            left.release()
                return came

            threads = together(take)
            for number in range(1000):
                pairs[number % THREADS][1].sendall(b"%012d" % number)
            for _ in range(1000):
                if not left.acquire(timeout=TIMEOUT_S):
                    raise TimeoutError("not all came")
            for _, theirs in pairs:
                theirs.setblocking(False)  # the last one that reads may end before there is room
            while any(thread.is_alive() for thread in threads):
                with contextlib.suppress(BlockingIOError):
                    pairs[run.chance.randrange(THREADS)][1].sendall(b"%012d" % 999_999)
            exactly_once(run, [thread.end() for thread in threads], 1000, "records")
        run.rounds += 1


if hasattr(select, "epoll"):
    scenario("threads: one epoll object")(waiting_on_one_epoll)
