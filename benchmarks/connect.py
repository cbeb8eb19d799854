"""Connecting to a listener on loopback: python -m benchmarks connect"""

import time

from benchmarks.common import IMPLEMENTATIONS
from benchmarks.measure import in_turn


def connect(module):
    listener = module.create_server(("127.0.0.1", 0), backlog=100)
    address = listener.getsockname()

    def measured(count):
        elapsed_ns = 0
        for _ in range(count):
            started = time.perf_counter_ns()
            client = module.create_connection(address)
            elapsed_ns += time.perf_counter_ns() - started
            server, _ = listener.accept()
            client.close()
            server.close()
        return elapsed_ns
    return measured


def rows():
    yield in_turn("create_connection(('127.0.0.1', port))", {
        name: connect(module) for name, module in IMPLEMENTATIONS.items()}, 100)
