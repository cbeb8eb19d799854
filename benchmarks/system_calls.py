"""System calls an operation, counted by strace: python -m benchmarks system_calls

Counted and not timed: the same on a noisy machine. It is the difference of two loop
lengths, so that starting up doesn't count. Runs only where it is named.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

from benchmarks.measure import Row

LENGTHS = 100, 300
PAIR = """
a, b = socket.socketpair()
a.settimeout({timeout})
b.settimeout({timeout})
"""
#: Setup and operation of each case: the stdlib's way, and ours where it has another name.
CASES = {
    "send + recv, blocking": (PAIR.format(timeout=None), "a.send(data); b.recv(64)", None),
    "send + recv, timeout set": (PAIR.format(timeout=5), "a.send(data); b.recv(64)", None),
    "send + recv, non-blocking": (PAIR.format(timeout=0), "a.send(data); b.recv(64)", None),
    "settimeout(5) again": (PAIR.format(timeout=5), "a.settimeout(5)", None),
    "8 datagrams sent and received, recvmmsg": (
        PAIR.format(timeout=5).replace(
            "socketpair()", "socketpair(type=socket.SOCK_DGRAM)"),
        "[a.send(data) for _ in range(8)]; [b.recv(64) for _ in range(8)]",
        "[a.send(data) for _ in range(8)]; b.recvmmsg(8, 64)"),
    "connect, accept, close": (
        'listener = socket.create_server(("127.0.0.1", 0), backlog=9)\n'
        "listener.settimeout(5)\naddress = listener.getsockname()",
        "a = socket.create_connection(address); b, _ = listener.accept(); a.close(); b.close()",
        None),
    "socketpair, close": ("", "a, b = socket.socketpair(); a.close(); b.close()", None),
}
PROGRAM = """
import sys
import {module} as socket
data = b"x" * 64
{setup}
for _ in range(int(sys.argv[1])):
    {operation}
"""


def count(program, length):
    """All system calls of a program but those for memory."""
    with tempfile.NamedTemporaryFile("r") as output:
        subprocess.run(
            ["strace", "-f", "-c", "-U", "calls,name", "-o", output.name, "-e",
             "trace=!brk,mmap,munmap,mremap,madvise", sys.executable, "-P", "-c", program,
             str(length)],
            env={**os.environ, "PYTHONHASHSEED": "0"}, check=True)
        return sum(int(calls) for calls, name in
                   re.findall(r"^ *(\d+) (\w+)$", output.read(), re.MULTILINE)
                   if name != "total")


def of_one_round(program):
    short, long = (count(program, length) for length in LENGTHS)
    return (long - short) / (LENGTHS[1] - LENGTHS[0])


def rows():
    if shutil.which("strace") is None:
        print("strace is not installed: no system calls are counted")
        return
    for title, (setup, operation, ours) in CASES.items():
        yield Row(f"system calls of {title}", {
            name: [of_one_round(PROGRAM.format(
                module=module, setup=setup,
                operation=ours if ours and name == "fastsock" else operation))]
            for name, module in (("stdlib", "socket"), ("fastsock", "fastsock"))},
            unit="system calls")
