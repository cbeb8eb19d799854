"""User-space instructions of one send and one receive of 64 bytes, by callgrind:
python -m benchmarks.instructions

What the processor executes outside the kernel, counted and not timed: the same on a
noisy machine. It is the difference of two loop lengths, so that starting up doesn't
count; the loop itself does, as timeit writes it.
"""

import os
import re
import shutil
import subprocess
import sys

from benchmarks.measure import Row

LENGTHS = 1_000, 11_000
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
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-c",
         PROGRAM, module, repr(timeout), str(count)],
        # Hashes of strings differ between processes, and with them the work of dicts.
        env={**os.environ, "PYTHONHASHSEED": "0"}, check=True, capture_output=True, text=True)
    return int(re.search(r"Collected : (\d+)", shown.stderr)[1])


def of_one_round(module, timeout):
    short, long = (instructions(module, timeout, count) for count in LENGTHS)
    return (long - short) / (LENGTHS[1] - LENGTHS[0])


def rows():
    if shutil.which("valgrind") is None:
        print("valgrind is not installed: no instructions are counted")
        return
    for mode, timeout in (("blocking", None), ("timeout set", 5.0), ("non-blocking", 0.0)):
        yield Row(f"instructions of send + recv, {mode}", {
            name: [of_one_round(module, timeout)]
            for name, module in (("stdlib", "socket"), ("fastsock", "fastsock"))},
            unit="instructions")
