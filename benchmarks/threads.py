"""Sockets in many threads: python -m benchmarks threads"""

import threading
import time

from benchmarks.calls import MESSAGE
from benchmarks.common import IMPLEMENTATIONS, partner, tcp_pair, unix_pair
from benchmarks.measure import in_turn


def in_threads(module, threads):
    """Each thread with a pair of its own; the time for `count` operations of each."""
    pairs = [unix_pair(module) for _ in range(threads)]

    def measured(count):
        ready = threading.Barrier(threads + 1)

        def run(pair):
            a, b = pair
            ready.wait()
            for _ in range(count // threads):
                a.send(MESSAGE)
                b.recv(64)

        workers = [threading.Thread(target=run, args=(pair,)) for pair in pairs]
        for worker in workers:
            worker.start()
        ready.wait()
        started = time.perf_counter_ns()
        for worker in workers:
            worker.join()
        return time.perf_counter_ns() - started
    return measured


def longest_wait_beside_full_duplex(module):
    """A thread sends 64 KiB at a time on one socket, another receives 64 bytes at a time
    on the same; how long is a third one, that counts, kept from the GIL at the worst?"""
    def both_ways(sock):
        def drain():
            target = bytearray(1 << 20)
            while sock.recv_into(target):
                pass

        threading.Thread(target=drain, daemon=True).start()
        try:
            while True:
                sock.sendall(MESSAGE)
        except OSError:
            pass

    sock = partner(tcp_pair(module), both_ways)
    block = bytes(65536)

    def measured(count):
        ended = False

        def send():
            while not ended:
                sock.sendall(block)

        def receive():
            while not ended:
                sock.recv(64)

        threads = [threading.Thread(target=work) for work in (send, receive)]
        for thread in threads:
            thread.start()
        longest_ns, then_ns = 0, time.perf_counter_ns()
        for _ in range(count):
            now_ns = time.perf_counter_ns()
            longest_ns = max(longest_ns, now_ns - then_ns)
            then_ns = now_ns
        ended = True
        for thread in threads:
            thread.join()
        return longest_ns * count
    return measured


def rows():
    yield in_turn("8 threads, send + recv each on its own pair", {
        name: in_threads(module, 8) for name, module in IMPLEMENTATIONS.items()},
        40_000, rounds=31)
    yield in_turn("longest wait of a third thread beside full duplex", {
        name: longest_wait_beside_full_duplex(module)
        for name, module in IMPLEMENTATIONS.items()}, 100_000, rounds=21)
