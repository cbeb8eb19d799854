"""`python -m fastsock demo`: the same server and clients on the stdlib and on fastsock.

Method: one server process for each of the two, both at the same time; the clients
take turns (stdlib, fastsock, stdlib, ...), so that a machine whose speed drifts
treats both alike; of many short rounds the median counts. What comes back is
compared with what was sent, byte by byte.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import threading
import time
from socket import SHUT_RDWR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from types import ModuleType

    _Rates = dict[tuple[str, str], list[float]]  # of (module, load)

MESSAGE = bytes(range(64))
PIECE = 64 * 1024
TIMEOUT_S = 30.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m fastsock demo",
        description="Start an echo server and clients, first on the stdlib's sockets, then on "
                    "fastsock's, check that both moved the same bytes, and print both rates.")
    parser.add_argument("--rounds", type=int, default=41, metavar="N",
                        help="timed rounds of each workload (default: 41)")
    parser.add_argument("--messages", type=int, default=500, metavar="N",
                        help="messages of 64 bytes a round (default: 500)")
    parser.add_argument("--mib", type=int, default=8, metavar="N",
                        help="MiB a bulk round (default: 8)")
    parser.add_argument("--serve", choices=["stdlib", "fastsock"], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        serve(socket_module(options.serve))
        return 0
    for name in ("rounds", "messages", "mib"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1, not {getattr(options, name)}")
    return compare(options)


def socket_module(name: str) -> ModuleType:
    if name == "fastsock":
        import fastsock
        return fastsock
    import socket
    return socket


def serve(socket: ModuleType) -> None:
    """An echo server, a thread a connection, until standard input ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=accept_all, args=(listener,), daemon=True).start()
        sys.stdin.read()


def accept_all(listener: socket) -> None:
    while True:
        connection, _ = listener.accept()
        connection.settimeout(TIMEOUT_S)
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


def echo(connection: socket) -> None:
    with connection, contextlib.suppress(ConnectionError):  # the client was interrupted
        while data := connection.recv(PIECE):
            connection.sendall(data)


def request_response(connection: socket, count: int) -> bool:
    """`count` messages of 64 bytes, each answered before the next; True if all came back."""
    same = True
    for _ in range(count):
        connection.sendall(MESSAGE)
        reply = connection.recv(PIECE)
        while len(reply) < len(MESSAGE):
            more = connection.recv(PIECE)
            if not more:
                return False
            reply += more
        same = same and reply == MESSAGE
    return same


def bulk(connection: socket, data: bytes, target: bytearray) -> bool:
    """`data` there and back, sent by another thread; True if all came back."""
    def send() -> None:
        with contextlib.suppress(OSError):  # what is missing is noticed below
            connection.sendall(data)

    sender = threading.Thread(target=send)
    sender.start()
    room = memoryview(target)
    received = 0
    while received < len(room):
        count = connection.recv_into(room[received:])
        if count == 0:
            break
        received += count
    sender.join()
    return received == len(data)


def compare(options: argparse.Namespace) -> int:
    servers: dict[str, subprocess.Popen[bytes]] = {}
    connections: dict[str, socket] = {}
    data = os.urandom(1 << 20) * options.mib
    target = bytearray(len(data))
    rates: _Rates = {
        (name, load): [] for name in ("stdlib", "fastsock") for load in ("small", "bulk")}
    try:
        for name in ("stdlib", "fastsock"):
            server = servers[name] = subprocess.Popen(
                [sys.executable, "-P", "-m", "fastsock", "demo", "--serve", name],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                process_group=0)  # Ctrl-C is the parent's, which ends them
            assert server.stdout is not None  # but PIPE
            port = int(server.stdout.readline())
            connections[name] = socket_module(name).create_connection(
                ("127.0.0.1", port), timeout=TIMEOUT_S)
        for round_number in range(options.rounds + 1):
            for name, connection in connections.items():
                started = time.perf_counter()
                same = request_response(connection, options.messages)
                small_s = time.perf_counter() - started
                target[:] = bytes(len(target))
                started = time.perf_counter()
                same = bulk(connection, data, target) and same
                bulk_s = time.perf_counter() - started
                if not same or target != data:
                    print(f"python -m fastsock demo: {name} did not bring back what was sent",
                          file=sys.stderr)
                    return 1
                if round_number:  # the first one warms up
                    rates[name, "small"].append(options.messages / small_s)
                    rates[name, "bulk"].append(options.mib / bulk_s)
    finally:
        for connection in connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(SHUT_RDWR)  # wakes a thread that still sends, after Ctrl-C
            connection.close()
        for server in servers.values():
            assert server.stdin is not None and server.stdout is not None  # but PIPE
            server.stdin.close()
            server.stdout.close()
            server.wait(TIMEOUT_S)
    report(options, rates)
    return 0


def report(options: argparse.Namespace, rates: _Rates) -> None:
    moved = options.rounds * (options.messages * len(MESSAGE) + (options.mib << 20))
    print(f"echo server and client over TCP on 127.0.0.1, timeouts set, "
          f"median of {options.rounds} rounds\n")
    print(f"{'':34}{'stdlib':>12}{'fastsock':>12}{'ratio':>8}")
    for load, title in (("small", "64-byte messages, round trips/s"), ("bulk", "bulk, MiB/s")):
        stdlib, ours = (statistics.median(rates[name, load]) for name in ("stdlib", "fastsock"))
        print(f"{title:34}{stdlib:>12,.0f}{ours:>12,.0f}{ours / stdlib:>8.2f}")
    print(f"\nboth moved the same {moved:,} bytes there and back, checked byte by byte")
