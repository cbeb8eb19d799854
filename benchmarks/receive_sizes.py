"""recv(n) of n from 1 KiB to 16 MiB, with 1 byte to all of it there:
python -m benchmarks receive_sizes"""

import time

from benchmarks.common import IMPLEMENTATIONS, unix_pair
from benchmarks.measure import in_turn


def receive(pair, there, asked):
    """A variant: time `count` receives of `asked` bytes with `there` bytes ready."""
    a, b = pair
    data = b"x" * there

    def work(count):
        elapsed_ns = 0
        for _ in range(count):
            a.sendall(data)
            started = time.perf_counter_ns()
            received = b.recv(asked)
            elapsed_ns += time.perf_counter_ns() - started
            left = there - len(received)
            del received
            while left:
                left -= len(b.recv(left))
        return elapsed_ns
    return work


def rows():
    yield in_turn("recv(1 MiB), 64 B there", {
        name: receive(unix_pair(module), 64, 1 << 20)
        for name, module in IMPLEMENTATIONS.items()}, 100)
    for asked in (1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 24):
        for there in sorted({1, 64, asked // 16, asked // 4, asked // 2, asked}):
            if there > 150_000:
                continue  # more than a socket's buffer holds while nobody reads
            yield in_turn(f"recv({asked:,}), {there:,} B there", {
                name: receive(unix_pair(module), there, asked)
                for name, module in IMPLEMENTATIONS.items()}, 40)
