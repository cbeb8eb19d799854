"""How cost grows: with the size of a message, connections, the size of a batch, threads.

Each sweep is a case with one curve a variant: python -m benchmarks sweeps"""

import dataclasses
import socket as stdlib_socket
import threading
import time

import fastsock
from benchmarks.common import unix_pair
from benchmarks.datagrams import by_recvfrom, fill_with, timed_receiving
from benchmarks.echo_server import SERVERS
from benchmarks.measure import QUICK, in_turn, native, with_c
from benchmarks.servers import cpu_of, load, running

ROUNDS = 7


@dataclasses.dataclass
class Sweep:
    """Curves over one variable."""

    case: str
    x: str
    unit: str
    xs: list
    curves: dict

    def as_data(self):
        return dataclasses.asdict(self)


def grown(case, x, xs, row_at, unit="ns a message", per=lambda x: 1):
    """A Sweep of the medians of a Row at each x, each divided by `per(x)`."""
    curves = {}
    for value in xs:
        row = row_at(value)
        for name in row.samples:
            curves.setdefault(name, []).append(row.median(name) / per(value))
    return Sweep(case, x, unit, list(xs), curves)


def there_and_back(module, size):
    """Send and receive one message of `size` bytes, by a thread where it does not fit."""
    a, b = unix_pair(module, 30)
    message = b"x" * size
    target = bytearray(size)

    def plain(count):
        started = time.perf_counter_ns()
        for _ in range(count):
            a.send(message)
            b.recv_into(target)
        return time.perf_counter_ns() - started

    def receive(count):
        for _ in range(count):
            view = memoryview(target)
            while view:
                view = view[b.recv_into(view):]

    def threaded(count):
        thread = threading.Thread(target=receive, args=(count,))
        started = time.perf_counter_ns()
        thread.start()
        for _ in range(count):
            a.sendall(message)
        thread.join()
        return time.perf_counter_ns() - started

    return plain if size <= 65536 else threaded


def sizes():
    def row_at(size):
        variants = {"stdlib": there_and_back(stdlib_socket, size),
                    "fastsock": there_and_back(fastsock, size)}
        if size <= 65536:
            variants = with_c(variants, "calls", "unix", size)
        return in_turn(f"{size}", variants, max(4, min(300, (4 << 20) // size)), rounds=ROUNDS)
    sweep = grown("send + receive over AF_UNIX with a timeout", "bytes a message",
                  [1, 16, 256, 1024, 4096, 16384, 65536, 262144, 1 << 20, 4 << 20, 16 << 20],
                  row_at)
    for curve in sweep.curves.values():  # C stops where one call does not take it all
        curve += [None] * (len(sweep.xs) - len(curve))
    return sweep


def batches():
    def row_at(count):
        def by(receiver):
            def take(total):
                taken = 0
                while taken < total:
                    taken += len(receiver.recvmmsg(count))
            return take
        return in_turn(f"{count}", {
            "stdlib recvfrom": timed_receiving(stdlib_socket, fill_with(64), by_recvfrom),
            "recvmmsg": timed_receiving(fastsock, fill_with(64), by)}, 1024, rounds=ROUNDS)
    return grown("64 B datagrams off a full queue", "datagrams a call",
                 [1, 4, 16, 64, 256, 1024], row_at, "ns a datagram")


def threads():
    def in_threads(module, number):
        pairs = [unix_pair(module) for _ in range(number)]

        def measured(count):
            def work(a, b):
                for _ in range(count // number):
                    a.send(b"x" * 64)
                    b.recv(64)
            workers = [threading.Thread(target=work, args=pair) for pair in pairs]
            started = time.perf_counter_ns()
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            return time.perf_counter_ns() - started
        return measured

    return grown("send + recv in threads, each on its own pair", "threads",
                 [1, 2, 4, 8, 16, 32, 64], lambda number: in_turn(f"{number}", {
                     "stdlib": in_threads(stdlib_socket, number),
                     "fastsock": in_threads(fastsock, number)}, 6400, rounds=ROUNDS))


def connections():
    """CPU of an echo server a message, by connections that are all active."""
    xs = [1, 10, 100, 1000] + ([] if QUICK else [5000, 15000])
    SERVERS["C"] = [native("echo"), "serve"]
    curves = {}
    for name in ("asyncio", "uvloop", "Server", "C"):
        if name not in SERVERS:
            continue
        curves[name] = []
        for count in xs:
            with running(SERVERS[name]) as (port, pid):
                before = cpu_of(pid)
                messages = load(port, connections=count, seconds=1 if QUICK else 3)
                curves[name].append(1e6 * (cpu_of(pid) - before).total_s / messages)
    return Sweep("echo server, its CPU a message of 64 B", "connections",
                 "us of CPU a message", xs, curves)


def rows():
    yield sizes()
    yield batches()
    yield threads()
    if native("echo") is not None:
        yield connections()
