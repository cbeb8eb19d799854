"""tests.stress as a whole, for a moment each; and that its scenarios can fail."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.serving import environment
from tests.stress import _peers, _run

ROOT = pathlib.Path(__file__).parent.parent
SEED = os.environ.get("FASTSOCK_STRESS_SEED", "1")

pytestmark = pytest.mark.skipif(_peers.why_not() is not None, reason=str(_peers.why_not()))

#: The groups, and how many scenarios each has at least.
GROUPS = {"signals": 130, "interrupts": 100, "closing": 90, "settimeout": 40, "shutdown": 20,
          "handlers": 70, "threads": 25, "forks": 10, "ends": 8}

#: Each end of the interpreter takes a process: not all of them here.
WORDS = {"ends": ["ends: waiting", "ends: busy, sys", "ends: exiting", "ends: using",
                  "ends: sub", "ends: serving, sys"]}


@pytest.mark.parametrize("group", GROUPS)
def test_for_a_moment(group, tmp_path):
    path = tmp_path / "figures.json"
    result = subprocess.run(
        [sys.executable, "-m", "tests.stress", *WORDS.get(group, [f"{group}:"]),
         "--seconds", "0.01", "--seed", SEED, "--json", path], cwd=ROOT, env=environment(), text=True, capture_output=True,
        timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(path.read_text())
    assert figures[f"{group}_wrong"] == 0
    assert figures[f"{group}_scenarios"] >= GROUPS[group]
    assert figures[f"{group}_rounds"] >= GROUPS[group]


def test_a_byte_that_is_not_the_next_one_is_found():
    source = _peers.Source()
    source.meet(_peers.PATTERN[:1000])
    for wrong in (_peers.PATTERN[1001:1100], _peers.PATTERN[990:1100],
                  _peers.PATTERN[1000:1050] + b"?"):
        with pytest.raises(AssertionError, match="came"):
            source.meet(wrong)
        source.offset = 1000


def test_a_canary_that_was_touched_is_found():
    from tests.stress._closers import canary
    for touch in (lambda other: other.near.recv(1), lambda other: other.near.send(b"x")):
        run = _run.Run("canary", 0, SEED)
        with canary(run) as other:
            touch(other)
        assert len(run.wrong) == 1 and "foreign fd" in run.wrong[0]


def test_a_scenario_that_raises_is_wrong():
    title = "raises"
    _run.scenario(title)(lambda run: run.expect(1 == 2, "one is not two") or 1 / 0)
    try:
        run = _run.perform(title, 0, SEED)
    finally:
        del _run.SCENARIOS[title]
    assert len(run.wrong) == 2 and "ZeroDivisionError" in run.wrong[1]
