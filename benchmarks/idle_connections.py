"""What idle connections cost a server: python -m benchmarks idle_connections

Memory of the process a connection, and the CPU a message of 50 active ones among them."""

import contextlib
import resource
import socket
import statistics
import time

from benchmarks.echo_server import ON_ASYNCIO, ON_SERVER, SERVERS
from benchmarks.measure import QUICK, Figure, native
from benchmarks.servers import cpu_of, load, python, rss_of, running

ROUNDS, LOAD_S = (3, 1) if QUICK else (5, 2)
RAISE_LIMIT = """
import resource
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
"""
SERVER = python(RAISE_LIMIT + ON_SERVER)


def most_connections():
    """15,000, or what the limit of open files allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(15_000, hard - 200)


@contextlib.contextmanager
def idle(port, count):
    """So many connections, each of which was answered once."""
    connections = []
    try:
        for _ in range(count):
            connections.append(socket.create_connection(("127.0.0.1", port)))
        for connection in connections[-1:]:
            connection.sendall(b"x")
            connection.recv(1)
        yield
    finally:
        for connection in connections:
            connection.close()


def memory_each(command, count):
    """Bytes of the process's memory that one connection takes."""
    with running(command) as (port, pid):
        load(port, seconds=0.2)
        before = rss_of(pid)
        with idle(port, count):
            return (rss_of(pid) - before) / count


def cost_among(count):
    """CPU a message of 50 active connections, with idle ones over without: a ratio."""
    costs = {False: [], True: []}
    with running(SERVER) as (port, pid):
        for _ in range(ROUNDS):
            for among in (False, True):
                with idle(port, count) if among else contextlib.nullcontext():
                    time.sleep(0.5)
                    before = cpu_of(pid)
                    messages = load(port, seconds=LOAD_S)
                    costs[among].append((cpu_of(pid) - before).total_s / messages)
                time.sleep(0.5)
    return statistics.median(costs[True]) / statistics.median(costs[False])


def rows():
    if native("echo") is None:
        return
    count = most_connections()
    others = {"asyncio": python(RAISE_LIMIT + ON_ASYNCIO + "asyncio.run(main())")}
    if "uvloop" in SERVERS:
        others["uvloop"] = python(RAISE_LIMIT + ON_ASYNCIO
                                  + "import uvloop; uvloop.run(main())")
    for name, command in others.items():
        yield Figure(f"{name}: memory a connection, {count:,} idle",
                     memory_each(command, count), "bytes")
    yield Figure(f"Server: memory a connection, {count:,} idle", memory_each(SERVER, count),
                "bytes")
    yield Figure(f"Server: CPU a message, 50 active among {count:,} idle, of without",
                cost_among(count))
