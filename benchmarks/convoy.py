"""Sockets beside a thread that computes: python -m benchmarks convoy

A call that gives the GIL away waits for it for the switch interval, 5 ms, if
another thread computes."""

import threading

from benchmarks.calls import send_and_receive
from benchmarks.common import IMPLEMENTATIONS, unix_pair
from benchmarks.measure import in_turn


def beside_a_computing_thread(pair):
    work = send_and_receive(pair)

    def measured(count):
        began, ended = threading.Event(), False

        def compute():
            number = 0
            began.set()
            while not ended:  # a variable: a call would be a chance to change threads
                number += 1

        thread = threading.Thread(target=compute)
        thread.start()
        began.wait()
        try:
            return work(count)
        finally:
            ended = True
            thread.join()
    return measured


def rows():
    yield in_turn("send + recv beside one computing thread", {
        name: beside_a_computing_thread(unix_pair(module))
        for name, module in IMPLEMENTATIONS.items()}, 5000, rounds=5)
