"""makefile, recv_exactly and sendmsg_all: python -m benchmarks files_and_buffers"""

import time

from benchmarks.common import IMPLEMENTATIONS, on_processor, partner, unix_pair
from benchmarks.measure import in_turn, timed


def readline(module):
    a, b = unix_pair(module, 5)
    file = b.makefile("rb")
    line = b"x" * 63 + b"\n"

    @timed
    def work(count):
        for _ in range(count):
            a.send(line)
            file.readline()
    return work


def usual_loop(sock, size):
    data = bytearray(size)
    view = memoryview(data)
    received = 0
    while received < size:
        count = sock.recv_into(view[received:])
        if not count:
            raise EOFError
        received += count
    return bytes(data)


def frames(module, exactly):
    a, b = unix_pair(module)
    frame = b"\0\0\0\x40" + b"x" * 64

    def measured(count):
        a.sendall(frame * count)
        started = time.perf_counter_ns()
        for _ in range(count):
            exactly(b, 4)
            exactly(b, 64)
        return time.perf_counter_ns() - started
    return measured


def gathered_at_once(module, buffers, send):
    """What fits into the socket's buffer: only the sending is timed."""
    a, b = unix_pair(module)
    target = bytearray(sum(map(len, buffers)))

    def measured(count):
        elapsed_ns = 0
        for _ in range(count):
            started = time.perf_counter_ns()
            send(a, buffers)
            elapsed_ns += time.perf_counter_ns() - started
            left = len(target)
            while left:
                left -= b.recv_into(target, left)
        return elapsed_ns
    return measured


def gathered(module, buffers, send):
    """What a reader on another processor has to take away meanwhile."""
    def drain(sock):
        target = bytearray(1 << 20)
        while sock.recv_into(target):
            pass

    sock = partner(unix_pair(module), drain)

    @timed
    def work(count):
        for _ in range(count):
            send(sock, buffers)
    return on_processor(0, work)


def joined(sock, buffers):
    sock.sendall(b"".join(buffers))


def all_of(sock, buffers):
    sock.sendmsg_all(buffers)


def rows():
    stdlib, ours = IMPLEMENTATIONS["stdlib"], IMPLEMENTATIONS["fastsock"]
    yield in_turn("makefile('rb').readline() after a send, timeout set", {
        name: readline(module) for name, module in IMPLEMENTATIONS.items()}, 500)
    yield in_turn("recv_exactly(4) + recv_exactly(64), usual loop", {
        "stdlib": frames(stdlib, usual_loop),
        "fastsock": frames(ours, type(ours.socketpair()[0]).recv_exactly)}, 200)
    for number, size, gather in ((1000, 64, gathered_at_once), (100, 16384, gathered)):
        buffers = [b"x" * size] * number
        yield in_turn(f"sendmsg_all of {number} x {size} B, join + sendall", {
            "stdlib": gather(stdlib, buffers, joined),
            "fastsock": gather(ours, buffers, all_of)}, 20)
