"""Accepting from a full backlog: python -m benchmarks accept"""

import time

from benchmarks.common import IMPLEMENTATIONS
from benchmarks.measure import in_turn

BACKLOG = 100


def accept_all(module, take):
    """A variant: the time of accepting `count` connections that wait already."""
    listener = module.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    listener.settimeout(5)
    address = listener.getsockname()

    def measured(count):
        clients = [module.create_connection(address) for _ in range(count)]
        started = time.perf_counter_ns()
        connections = take(listener, count)
        elapsed_ns = time.perf_counter_ns() - started
        for sock in (*clients, *connections):
            sock.close()
        return elapsed_ns
    return measured


def one_by_one(listener, count):
    return [listener.accept()[0] for _ in range(count)]


def many(listener, count):
    connections = []
    while len(connections) < count:
        connections += [sock for sock, _ in listener.accept_many(count - len(connections))]
    return connections


def rows():
    stdlib, ours = IMPLEMENTATIONS["stdlib"], IMPLEMENTATIONS["fastsock"]
    yield in_turn("accept, listener with a timeout", {
        "stdlib": accept_all(stdlib, one_by_one), "fastsock": accept_all(ours, one_by_one)},
        BACKLOG)
    yield in_turn("the same by accept_many", {
        "stdlib": accept_all(stdlib, one_by_one), "fastsock": accept_all(ours, many)},
        BACKLOG)
