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
FEW = {"a few": ["exchange: unix 5", "exchange: tcp N", "descriptors", "accept: tcp 5", "makefile",
                 "create connection: 5.0 0.01"],
       "servers": ["making", "serve: lines, by poll"]}
MANY = {"transfers": ["exchange", "gather", "descriptors", "makefile", "stream", "messages",
                      "datagrams"],
        "connections": ["accept", "sockets", "default timeout", "create connection", "waiting",
                        "sendfile", "relay: "],
        "servers": ["making", "serve: lines", "Relay: a little"]}


@pytest.mark.parametrize("words", (MANY if MOST else FEW).values(), ids=MANY if MOST else FEW)
def test_each_call_may_fail(words):
    (calls, faults, unharmed, raised, wrong), said = run("--most", MOST or "1", *words)
    assert wrong == 0, said
    assert calls > 40 and faults > 40
    # Were nothing injected, nothing would be raised.
    assert raised > 10 and unharmed > 10
