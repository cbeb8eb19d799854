"""Relays: one that moves much, and many that move little: python -m benchmarks relay

The relay alone on the first processor, source and sink on the other."""

import os
import statistics
import subprocess
import time

from benchmarks.common import pin
from benchmarks.measure import Figure, native
from benchmarks.servers import cpu_of, load, python, running

BYTES = int(float(os.environ.get("FASTSOCK_BENCH_GIB", "4")) * (1 << 30)) // 4
ROUNDS = 4

ACCEPT = """
import socket, sys
import fastsock as sockets
listener = sockets.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
a, _ = listener.accept()
b = sockets.create_connection(("127.0.0.1", {port}))
"""
BULK = {
    "C, splice": lambda port: [native("relay"), "splice", port],
    "relay()": lambda port: python(ACCEPT.format(port=port) + """
import threading
sockets.relay(a, b)
"""),
    "recv_into/sendall": lambda port: python(
        ACCEPT.format(port=port).replace("fastsock as sockets", "socket as sockets") + """
buffer = memoryview(bytearray(65536))
while size := a.recv_into(buffer):
    b.sendall(buffer[:size])
"""),
}
THREADS = """
import socket, threading
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print(listener.getsockname()[1], flush=True)
def pump(a, b):
    buffer = memoryview(bytearray(65536))
    try:
        while size := a.recv_into(buffer):
            b.sendall(buffer[:size])
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
while True:
    a, _ = listener.accept()
    b = socket.create_connection(("127.0.0.1", {port}))
    for pair in ((a, b), (b, a)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""
RELAY = """
import fastsock
relay = fastsock.Relay(("127.0.0.1", 0), ("127.0.0.1", {port}))
print(relay.addresses[0][1], flush=True)
relay.serve_forever()
"""


def on(processor, command):
    return subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True,
                            preexec_fn=lambda: pin(processor))


def bulk(make):
    """Move BYTES through one relay: (seconds, CPU seconds of the relay)."""
    sink = on(1, [native("relay"), "sink"])
    relay = on(0, make(int(sink.stdout.readline())))
    port = int(relay.stdout.readline())
    began_s = time.monotonic()
    source = on(1, [native("relay"), "source", port, BYTES])
    for process in (source, sink):
        process.wait()
    elapsed_s = time.monotonic() - began_s
    _, _, used = os.wait4(relay.pid, 0)
    relay.returncode = 0
    for process in (source, sink, relay):
        process.stdout.close()
    return elapsed_s, used.ru_utime + used.ru_stime




def rows():
    if native("relay") is None:
        return
    found = {name: [] for name in BULK}
    for _ in range(ROUNDS):
        for name, make in BULK.items():
            found[name].append(bulk(make))
    start_s = statistics.median(bulk_start() for _ in range(3))
    seconds = {name: statistics.median(one[0] for one in runs) for name, runs in found.items()}
    cpu = {name: statistics.median(one[1] for one in runs)
           - (0 if name.startswith("C") else start_s) for name, runs in found.items()}
    for name in BULK:
        yield Figure(f"{name}: rate", BYTES / seconds[name] / 1e9, "GB/s")
        yield Figure(f"{name}: CPU a MiB", 1e6 * cpu[name] / BYTES * (1 << 20), "us")
    yield Figure("relay(): time of C's splice relay",
                 seconds["relay()"] / seconds["C, splice"])
    yield Figure("relay(): CPU of C's", cpu["relay()"] / cpu["C, splice"])
    yield Figure("relay(): CPU of a recv_into/sendall loop",
                cpu["relay()"] / cpu["recv_into/sendall"])
    yield from many()


def bulk_start():
    """CPU seconds of an interpreter that imports fastsock and ends."""
    process = subprocess.Popen(python("import socket, sys, threading, fastsock as sockets"))
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return used.ru_utime + used.ru_stime


def many():
    """200 connections of 1 KiB there and back, through Relay and through threads."""
    cost = {}
    with running([native("echo"), "serve"]) as (behind, _):
        for name, code in (("threads", THREADS), ("Relay", RELAY)):
            with running(python(code.replace("{port}", str(behind)))) as (port, pid):
                load(port, connections=200, size=1024, seconds=1)
                before = cpu_of(pid)
                count = load(port, connections=200, size=1024, seconds=5)
                cost[name] = (cpu_of(pid) - before).total_s / count
                yield Figure(f"200 connections of 1 KiB, {name}: CPU a message",
                             1e6 * cost[name], "us")
    yield Figure("Relay, 200 connections: CPU of two threads a connection",
                 cost["Relay"] / cost["threads"])
