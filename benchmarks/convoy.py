"""Sockets beside a thread that computes, and sockets in many threads:
python -m benchmarks.convoy

A call that gives the GIL away waits for it for the switch interval, 5 ms, if
another thread computes."""

import threading
import time

from benchmarks.calls import MESSAGE, send_and_receive
from benchmarks.common import IMPLEMENTATIONS, unix_pair
from benchmarks.measure import header, in_turn


def beside_a_computing_thread(pair):
    work = send_and_receive(pair)

    def measured(count):
        began, ending = threading.Event(), threading.Event()

        def compute():
            number = 0
            began.set()
            while not ending.is_set():
                number += 1

        thread = threading.Thread(target=compute)
        thread.start()
        began.wait()
        try:
            return work(count)
        finally:
            ending.set()
            thread.join()
    return measured


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


def rows():
    yield in_turn("send + recv beside one computing thread", {
        name: beside_a_computing_thread(unix_pair(module))
        for name, module in IMPLEMENTATIONS.items()}, 2000, rounds=3, asked=150)
    yield in_turn("8 threads, send + recv each on its own pair", {
        name: in_threads(module, 8) for name, module in IMPLEMENTATIONS.items()},
        80_000, rounds=9, asked=1.5)


if __name__ == "__main__":
    print(header())
    for row in rows():
        print(row.text(), flush=True)
