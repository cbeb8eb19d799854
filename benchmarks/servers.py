"""Servers as processes of their own, the load for them, and the CPU that they took.

Rules: the server stays on the first processor, the load on the second. CPU time is the
server's process's alone, as the kernel accounts for it: the sum is exact, its split
into user and system is sampled every few milliseconds, so that a run of some ten
seconds says it to a few hundredths only.
"""

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys
import time

from benchmarks.common import pin
from benchmarks.measure import native

TICKS_A_S = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass
class Cpu:
    """CPU time of a process, in seconds."""

    user_s: float = 0.0
    system_s: float = 0.0
    total_s: float = 0.0

    def __sub__(self, other):
        return Cpu(self.user_s - other.user_s, self.system_s - other.system_s,
                   self.total_s - other.total_s)

    def __add__(self, other):
        return Cpu(self.user_s + other.user_s, self.system_s + other.system_s,
                   self.total_s + other.total_s)


def cpu_of(pid):
    """What a process has taken so far, all its threads, also those that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    user_s, system_s = int(fields[11]) / TICKS_A_S, int(fields[12]) / TICKS_A_S
    return Cpu(user_s, system_s, user_s + system_s)


def rss_of(pid):
    """Bytes of memory that a process has."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE")


@contextlib.contextmanager
def running(command):
    """A server process that prints its port: (port, pid)."""
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True,
                               preexec_fn=lambda: pin(0))
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def python(code):
    """The command of a server that is written in Python."""
    return [sys.executable, "-P", "-c", code]


def load(port, *, connections=50, size=64, seconds=5, lines=0):
    """Have the native load generator send messages: how many came back."""
    command = [native("echo"), "load", port, connections, size, seconds, lines]
    return int(subprocess.run([*map(str, command)], check=True, capture_output=True, text=True,
                              preexec_fn=lambda: pin(1)).stdout)


def in_turns(commands, rounds, **options):
    """Load servers in turns: {name: (CPU, messages)}, and nothing for those that are None."""
    totals = {name: [Cpu(), 0] for name, command in commands.items() if command}
    with contextlib.ExitStack() as stack:
        started = {name: stack.enter_context(running(commands[name])) for name in totals}
        for _ in range(rounds):
            for name, (port, pid) in started.items():
                before = cpu_of(pid)
                count = load(port, **options)
                time.sleep(0.2)  # until the connections are closed, which counts too
                totals[name][0] += cpu_of(pid) - before
                totals[name][1] += count
    return {name: tuple(total) for name, total in totals.items()}
