"""User-space instructions of one send and one receive of 64 bytes, and of a message that
an echo server meets, by callgrind: python -m benchmarks instructions

What the processor executes outside the kernel, counted and not timed: the same on a
noisy machine. It is the difference of two loop lengths, or of two times under load, so
that starting up doesn't count; the loop itself does, as timeit writes it.
"""

import os
import re
import shutil
import subprocess
import sys

from benchmarks.echo_server import LINES, SERVERS
from benchmarks.measure import QUICK, Figure, Row, native
from benchmarks.servers import load

MODES = [("blocking", None), ("timeout set", 5.0)] + [("non-blocking", 0.0)] * (not QUICK)
LENGTHS = 1_000, 11_000
LOADS_S = (1, 2) if QUICK else (1, 5)
CALLGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
#: The echo servers; other libraries only where they are installed.
COUNTED = ("Server", "serve", "uvloop") if QUICK else (
    "Server", "serve", "asyncio", "uvloop", "aiofastnet")
PROGRAM = """
import itertools, sys
module, timeout, count = sys.argv[1], eval(sys.argv[2]), int(sys.argv[3])
socket = __import__(module)
a, b = socket.socketpair()
a.settimeout(timeout)
b.settimeout(timeout)

def loop(send, recv, message):
    for _ in itertools.repeat(None, count):
        send(message)
        recv(64)

loop(a.send, b.recv, b"x" * 64)
"""


def instructions(module, timeout, count):
    shown = subprocess.run(
        [*CALLGRIND, sys.executable, "-c", PROGRAM, module, repr(timeout), str(count)],
        # Hashes of strings differ between processes, and with them the work of dicts.
        env={**os.environ, "PYTHONHASHSEED": "0"}, check=True, capture_output=True, text=True)
    return collected(shown.stderr)


def collected(report):
    return int(re.search(r"Collected : (\d+)", report)[1])


def of_one_round(module, timeout):
    short, long = (instructions(module, timeout, count) for count in LENGTHS)
    return (long - short) / (LENGTHS[1] - LENGTHS[0])


def under_load(command, seconds, **options):
    """Instructions that a server executed, and messages that it answered."""
    server = subprocess.Popen([*CALLGRIND, *command], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    answered = load(int(server.stdout.readline()), seconds=seconds, **options)
    server.terminate()
    _, report = server.communicate(timeout=60)
    return collected(report), answered


def of_one_message(command, **options):
    (less, few), (more, many) = (under_load(command, seconds, **options) for seconds in LOADS_S)
    return (more - less) / (many - few)


def server_rows():
    found = {}
    for name in COUNTED:
        if name in SERVERS:
            found[name] = of_one_message(SERVERS[name])
            yield Figure(f"{name}: instructions a message of 64 B", found[name])
    if "uvloop" in found:
        for name in ("Server", "serve"):
            yield Figure(f"{name}: instructions a message, of uvloop's",
                         found[name] / found["uvloop"])
    yield Figure("serve_batches: instructions a line of 64 B, 16 a write",
                 of_one_message(LINES["batch"], lines=16))


def rows():
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instructions are counted")
        return
    for mode, timeout in MODES:
        yield Row(f"instructions of send + recv, {mode}", {
            name: [of_one_round(module, timeout)]
            for name, module in (("stdlib", "socket"), ("fastsock", "fastsock"))},
            unit="instructions")
    if native("echo") is not None:
        yield from server_rows()
