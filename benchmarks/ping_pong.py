"""64 bytes to another process and back, asleep and spinning: python -m benchmarks.ping_pong"""

import os
import time

from benchmarks.common import IMPLEMENTATIONS, tcp_pair, unix_pair
from benchmarks.measure import header, in_turn

MESSAGE = b"x" * 64


def echo(sock):
    while data := sock.recv(64):
        sock.sendall(data)


def pin(processor):
    """Stay on one of two processors: a partner on the same one is woken ten times as
    fast, and which one it gets is the scheduler's luck."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {allowed[processor % len(allowed)]})


def partner(pair):
    """A process that answers on the second socket; the first one, for us."""
    ours, theirs = pair
    if os.fork() == 0:
        ours.close()
        pin(1)
        try:
            echo(theirs)
        finally:
            os._exit(0)
    theirs.close()
    return ours


def round_trips(pair, spin_us=0):
    if spin_us:
        for sock in pair:
            sock.set_spin(spin_us)
    sock = partner(pair)

    def measured(count):
        allowed = os.sched_getaffinity(0)
        pin(0)
        try:
            started = time.perf_counter_ns()
            for _ in range(count):
                sock.sendall(MESSAGE)
                sock.recv(64)
            return time.perf_counter_ns() - started
        finally:
            os.sched_setaffinity(0, allowed)
    return measured


def rows():
    stdlib, ours = IMPLEMENTATIONS["stdlib"], IMPLEMENTATIONS["fastsock"]
    for title, make, asked in (("AF_UNIX", unix_pair, 7), ("TCP", tcp_pair, 4.5)):
        yield in_turn(f"{title} round trip, no spin", {
            "stdlib": round_trips(make(stdlib)), "fastsock": round_trips(make(ours))}, 300)
        yield in_turn(f"{title} round trip, spin 200 us", {
            "stdlib": round_trips(make(stdlib)),
            "fastsock": round_trips(make(ours), 200)}, 300, asked=asked)


if __name__ == "__main__":
    print(header())
    for row in rows():
        print(row.text(), flush=True)
