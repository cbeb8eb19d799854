"""fork() in the middle: parent and child both go on, each with what it has.

Rules: what forks runs in a process of its own, by `_programs.py`, whose exit status says
whether it was right: a child that goes wrong must not go on as the command.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

import fastsock

from tests.stress._run import TIMEOUT_S, scenario

PROGRAMS = pathlib.Path(__file__).with_name("_programs.py")
ROOT = pathlib.Path(__file__).parents[2]

#: What a process may take in all. One that hangs says by SIGABRT where.
LIMIT_S = 3 * TIMEOUT_S


def environment():
    """The same fastsock, and a hang that ends by itself."""
    found = pathlib.Path(fastsock.__file__).parents[1]
    return {**os.environ, "PYTHONPATH": f"{found}{os.pathsep}{ROOT}", "PYTHONFAULTHANDLER": "1"}


def program(run, *arguments, says=None):
    """Run one of the programs; how long its end took is what it prints itself."""
    process = subprocess.Popen(
        [sys.executable, "-P", PROGRAMS, *map(str, arguments)], env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        shown, complaints = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGABRT)
        complaints = process.communicate()[1]
        return run.expect(False, "it hangs:", complaints[-2000:])
    ended_ns = time.monotonic_ns()
    run.expect(process.returncode == 0, f"exit status {process.returncode}:",
               complaints[-2000:])
    run.expect(complaints == "" or process.returncode, "it complains:", complaints[-2000:])
    run.expect(says is None or says in shown, f"it says {shown!r}")
    return ended_ns, shown


def forking(name, run):
    while run.goes_on():
        found = program(run, name)
        if found:
            run.add(forks=int(found[1].split()[-1]) if found[1].split() else 0)
        run.rounds += 1


for name in ("conversation", "streams", "waiting_threads", "server", "server_left_by_child",
             "server_goes_on_in_child", "in_a_callback", "in_a_signal_handler",
             "multiprocess", "busy_threads"):
    scenario(f"forks: {name.replace('_', ' ')}", name)(forking)
