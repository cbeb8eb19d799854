"""`python -m fastsock COMMAND`: its mistakes, Ctrl-C, and output that no process reads."""

import contextlib
import os
import re
import signal
import subprocess
import sys

import pytest

from tests.conftest import TIMEOUT_S
from tests.serving import environment

DEMO = ["demo", "--rounds", "100000"]
#: What a command is when it can be interrupted: what it prints first, or None.
LONG = {
    "bench": (["bench"], "send + recv"),
    "bench beside": (["bench"], "the same by recv"),     # two threads
    "demo": (DEMO, None),
    "demo bulk": ([*DEMO, "--mib", "64"], None),         # two threads
    "serve echo": (["serve", "echo", "--listen", "127.0.0.1:0"], "listening on "),
    "serve echo by workers": (
        ["serve", "echo", "--listen", "127.0.0.1:0", "--workers", "2"], "listening on "),
    "serve http": (["serve", "http", ".", "--listen", "127.0.0.1:0"], "listening on "),
    "serve relay": (["serve", "relay", "127.0.0.1:0", "127.0.0.1:1"], "listening on ")}
SHORT = {
    "info": ["info"], "help": ["--help"], "version": ["--version"], "bench": ["bench", "--rounds", "3"],
    "demo": ["demo", "--rounds", "1", "--mib", "1", "--messages", "1"],
    "help of serve": ["serve", "--help"], "help of demo": ["demo", "--help"],
    "serve echo": ["serve", "echo", "--listen", "127.0.0.1:0"],
    "serve echo by workers": ["serve", "echo", "--listen", "127.0.0.1:0", "--workers", "2"],
    "serve http": ["serve", "http", ".", "--listen", "127.0.0.1:0"]}


@contextlib.contextmanager
def started(arguments, unbuffered=False, **keywords):
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "fastsock", *arguments], stderr=subprocess.PIPE, text=True,
        env={**environment(), "PYTHONUNBUFFERED": "1" if unbuffered else ""}, **keywords)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def is_connected(pid):
    """Has the process two sockets, the connections of the demo?"""
    names = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            names.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return sum(name.startswith("socket:") for name in names) >= 2


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c(name):
    # In a group of its own, all of which a terminal would interrupt.
    arguments, first = LONG[name]
    if first is None and not os.path.exists("/proc/self/task"):
        pytest.skip("no /proc")
    with started(arguments, stdout=subprocess.PIPE, process_group=0) as process:
        if first is None:
            while not is_connected(process.pid):
                assert process.poll() is None
        else:
            while first not in (line := process.stdout.readline()):
                assert line, process.stderr.read()
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=2 * TIMEOUT_S)
    assert (process.returncode, errors) == (130, "")


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no /proc")
def test_ctrl_c_ends_the_servers_of_the_demo():
    with started(DEMO, stdout=subprocess.PIPE) as process:
        while not is_connected(process.pid):
            assert process.poll() is None
        servers = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=2 * TIMEOUT_S)
    assert len(servers) == 2 and not any(os.path.exists(f"/proc/{pid}") for pid in servers)


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("name", SHORT)
def test_output_that_is_not_read(name, unbuffered):
    # `python -m fastsock bench | head -1`: as a program that SIGPIPE ends, without a word.
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as output, started(SHORT[name], unbuffered, stdout=output) as process:
        _, errors = process.communicate(timeout=2 * TIMEOUT_S)
    # argparse ignores it where its help is written at once.
    statuses = (0, 141) if name.startswith("help of") else (141,)
    assert process.returncode in statuses and errors == ""


def test_head():
    with started(["bench", "--rounds", "3"], stdout=subprocess.PIPE) as process:
        assert "stdlib" in process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        _, errors = process.communicate(timeout=2 * TIMEOUT_S)
    assert (process.returncode, errors) == (141, "")


def test_no_output_at_all():
    with started(["info"], preexec_fn=lambda: os.close(1)) as process:
        _, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize("prepare", ["", "import io; sys.stdout = io.StringIO()"])
def test_a_broken_pipe_of_something_else(python, prepare):
    # A server that is gone is not the end of the output.
    code = f"""
import sys
{prepare}
from fastsock import __main__
from fastsock.commands import info
def main(arguments):
    raise BrokenPipeError("of a socket")
info.main = main
__main__.main(["info"])
"""
    result = python(code=code, check=False)
    assert result.returncode == 1 and "BrokenPipeError: of a socket" in result.stderr


@pytest.mark.parametrize("arguments, prog, text", [
    ([], "", "a COMMAND is required"), (["dance"], "", "unknown command 'dance'"),
    (["run"], "run", "a SCRIPT or -m MODULE is required"),
    (["run", "--stats"], "run", "a SCRIPT or -m MODULE is required"),
    (["run", "-m"], "run", "option -m: a MODULE is required"),
    (["run", "--no-such", "app.py"], "run", "unrecognized option: --no-such"),
    (["serve"], "serve", "COMMAND"), (["serve", "ftp"], "serve", "'ftp'"),
    (["serve", "echo", "--no-such"], "serve", "unrecognized arguments: --no-such"),
    (["serve", "http"], "serve http", "DIR"),
    (["serve", "http", "/nowhere"], "serve http", "/nowhere is no folder"),
    (["serve", "echo", "--workers", "0"], "serve echo", "workers must be 1 or more, not 0"),
    (["serve", "echo", "--workers", "x"], "serve echo", "'x'"),
    (["bench", "--rounds", "2"], "bench", "--rounds must be at least 3, not 2"),
    (["demo", "--mib", "0"], "demo", "--mib must be at least 1, not 0"),
    (["demo", "--mib", "x"], "demo", "'x'"), (["info", "x"], "info", "unrecognized arguments: x"),
])
def test_mistakes(python, arguments, prog, text):
    result = python("-m", "fastsock", *arguments, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    last = result.stderr.splitlines()[-1]
    assert re.match(re.escape(f"python -m fastsock {prog}".rstrip()) + ": error: ", last)
    assert text in last
