"""Injected faults: tests.faults as a whole, a few calls of each kind in some scenarios.

FASTSOCK_FAULTS=3 makes so many calls of each kind fail, in nearly all scenarios: a minute.
"""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.faults import _injector
from tests.serving import environment

ROOT = pathlib.Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(_injector.why_not() is not None, reason=str(_injector.why_not()))


def run(*arguments):
    """(the table's last row, all that was said): of a process of its own."""
    result = subprocess.run([sys.executable, "-m", "tests.faults", *arguments], cwd=ROOT,
                            env=environment(), text=True, capture_output=True, timeout=300)
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("all ")]
    assert result.returncode == 0 and rows, result.stdout + result.stderr
    return [int(number) for number in rows[0][1:]], result.stdout


MOST = os.environ.get("FASTSOCK_FAULTS", "")
#: {name: (calls of each kind that fail, scenarios)}
FEW = {"a few": ("1", ["exchange: unix 5", "exchange: tcp N", "descriptors: unix", "makefile",
                       "create connection: 5.0 None N", "create connection: 5.0 0.01",
                       "default timeout"]),
       "later calls": ("4", ["accept: tcp 5", "accept: unix 5"]),
       "servers": ("1", ["making", "serve: lines, by poll"]),
       "relays": ("4", ["relay: unix 4", "Relay: a little"])}
MANY = {"transfers": ["exchange", "gather", "descriptors", "makefile", "stream", "messages",
                      "datagrams"],
        "connections": ["accept", "sockets", "default timeout", "create connection", "waiting",
                        "sendfile", "relay: "],
        "one call": ["making a b", "glued", "with datagrams", "control message", "long line",
                     "one message", "one socket"],
        "servers": ["making", "serve: lines", "Relay: a little"]}
CHOSEN = {name: (MOST, words) for name, words in MANY.items()} if MOST else FEW


@pytest.mark.parametrize("most, words", CHOSEN.values(), ids=CHOSEN)
def test_each_call_may_fail(most, words):
    (calls, faults, unharmed, raised, wrong), said = run("--most", most, *words)
    assert wrong == 0, said
    assert calls > 10 and faults > 40
    # Were nothing injected, nothing would be raised.
    assert raised > 10 and unharmed > 10


def test_memory_may_lack():
    """Each piece that a call asks for, the interpreter's own too."""
    (calls, faults, _, raised, wrong), said = run(
        "--memory", "making a batch", "glued datagrams: as", "one message", "one socket",
        "would wait", "without an end", "can not cut", "file that is none", "may raise")
    assert wrong == 0, said
    assert calls > 15 and faults > 15 and raised > 10


#: The first calloc() of each call fails, which is the one for what is known of an fd.
NO_ENTRY = """
import errno, os, resource, fastsock
from tests.faults._injector import FAILS, Injector

injector = Injector.of_this_process()
watched = injector.watched()

def without_memory(call, *arguments):
    injector.arm("malloc", 1, FAILS, errno.ENOMEM)
    watched[0] = 1
    try:
        return call(*arguments)
    finally:
        watched[0] = 0
        assert injector.fired()
        injector.disarm()

# Numbers of which nothing is known yet.
resource.setrlimit(resource.RLIMIT_NOFILE, (3000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
a, b = fastsock.socketpair()
for number in 2000, 2001:
    os.dup2(b.fileno(), number)
with a, b, without_memory(lambda: fastsock.socket(fileno=2000)) as high:
    a.send(b"first")
    assert without_memory(lambda: high.recv(5)) == b"first"
    try:
        without_memory(lambda: high.set_busy_poll(10))
    except OSError as error:
        assert error.errno == errno.ENOMEM and "fd 2000" in str(error)
    else:
        raise AssertionError
    high.set_busy_poll(10)
    a.send(b"second")
    assert high.recv(6) == b"second"
    with fastsock.socket(fileno=2001) as other:
        try:
            without_memory(lambda: other.set_busy_poll(10))
        except MemoryError:
            pass
        else:
            raise AssertionError
        other.set_busy_poll(10)
        a.send(b"third")
        assert other.recv(5) == b"third"
print("done")
"""


def test_what_is_known_of_a_descriptor_needs_memory(tmp_path):
    """Without it a socket shares what is known of others, and has no busy poll of its own."""
    library = _injector.build(tmp_path)
    preload = _injector.environment(library)["LD_PRELOAD"]
    result = subprocess.run(
        [sys.executable, "-c", NO_ENTRY], cwd=ROOT, text=True, capture_output=True, timeout=60,
        env={**environment(), "LD_PRELOAD": preload})
    assert result.stdout == "done\n", result.stderr
