"""makefile, recv_exactly, sendmsg_all and bulk transfers:
python -m benchmarks.files_and_buffers"""

import threading
import time

from benchmarks.common import IMPLEMENTATIONS, tcp_pair, unix_pair
from benchmarks.measure import header, in_turn, timed, with_c


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


def gathered(module, buffers, send):
    a, b = unix_pair(module)
    size = sum(map(len, buffers))

    def drain(count):
        target = bytearray(size)
        for _ in range(count):
            left = size
            while left:
                left -= b.recv_into(target, left)

    def measured(count):
        reader = threading.Thread(target=drain, args=(count,))
        reader.start()
        started = time.perf_counter_ns()
        for _ in range(count):
            send(a, buffers)
        elapsed_ns = time.perf_counter_ns() - started
        reader.join()
        return elapsed_ns
    return measured


def bulk(module, size):
    a, b = tcp_pair(module)
    data, target = bytes(size), bytearray(size)

    @timed
    def work(count):
        def send():
            for _ in range(count):
                a.sendall(data)

        sender = threading.Thread(target=send)
        sender.start()
        left = size * count
        while left:
            left -= b.recv_into(target)
        sender.join()
    return work


def joined(sock, buffers):
    sock.sendall(b"".join(buffers))


def all_of(sock, buffers):
    sock.sendmsg_all(buffers)


def rows():
    stdlib, ours = IMPLEMENTATIONS["stdlib"], IMPLEMENTATIONS["fastsock"]
    yield in_turn("makefile('rb').readline() after a send, timeout set", {
        name: readline(module) for name, module in IMPLEMENTATIONS.items()}, 500, asked=1.7)
    yield in_turn("recv_exactly(4) + recv_exactly(64), usual loop", {
        "stdlib": frames(stdlib, usual_loop),
        "fastsock": frames(ours, type(ours.socketpair()[0]).recv_exactly)}, 200, asked=2.0)
    for number, size, asked in ((1000, 64, 0.95), (100, 16384, 1.2)):
        buffers = [b"x" * size] * number
        yield in_turn(f"sendmsg_all of {number} x {size} B, join + sendall", {
            "stdlib": gathered(stdlib, buffers, joined),
            "fastsock": gathered(ours, buffers, all_of)}, 20, asked=asked)
    for size in (64 << 10, 1 << 20):
        variants = {name: bulk(module, size) for name, module in IMPLEMENTATIONS.items()}
        yield in_turn(f"bulk over TCP, pieces of {size >> 10} KiB",
                      with_c(variants, "calls", "bulk", size), (64 << 20) // size, rounds=15)


if __name__ == "__main__":
    print(header())
    for row in rows():
        print(row.text(), flush=True)
