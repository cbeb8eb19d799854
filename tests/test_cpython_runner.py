"""`python -m tests.cpython`: the runner of the interpreter's own tests, on small ones.

The whole takes minutes and is a step of `.ci/run`.
"""

import importlib.util
import pathlib
import re
import subprocess
import sys
import unittest

import pytest

from tests.conftest import FACILITIES
from tests.cpython import exclusions
from tests.cpython.__main__ import compare, MODULES
from tests.cpython.worker import Outcomes

ROOT = pathlib.Path(__file__).parent.parent

needs_tests = pytest.mark.skipif(
    importlib.util.find_spec("test") is None
    or importlib.util.find_spec("test.test_select") is None,
    reason="this interpreter comes without its tests")


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "tests.cpython", *arguments],
                          cwd=ROOT, capture_output=True, text=True, timeout=120)


@needs_tests
def test_three_equal_columns():
    result = run("test_select", "test_poll")
    assert result.returncode == 0, result.stdout
    columns = re.search(r"^test_select\s+(\S+)\s+(\S+)\s+(\S+)$", result.stdout, re.MULTILINE)
    assert len(set(columns.groups())) == 1
    assert int(columns[1].split("/")[0]) > 0
    assert "the same in the three columns" in result.stdout


def test_nothing_run_is_no_success():
    result = run("test_no_such_module")
    assert result.returncode == 1
    assert "nothing was run" in result.stdout


def test_a_difference_is_found():
    everything = {"m/stdlib": {"a": ["ok", ""], "b": ["ok", ""]},
                  "m/module": {"a": ["ok", ""], "b": ["failed", "why"]},
                  "m/install": {"a": ["ok", ""]}}
    assert compare("m", everything) == [
        "b on module: ok -> failed\nwhy", "b on install: ok -> absent\n"]


def test_outcomes_are_counted():
    class Sample(unittest.TestCase):
        def test_ok(self): pass
        def test_failed(self): self.fail()
        def test_error(self): raise ValueError
        def test_skipped(self): self.skipTest("why")
        def test_subtests(self):
            for number in range(2):
                with self.subTest(number):
                    self.assertEqual(number, 0)

    outcomes = Outcomes()
    unittest.defaultTestLoader.loadTestsFromTestCase(Sample).run(outcomes)
    found = {name.rpartition(".")[2]: outcome for name, (outcome, _) in outcomes.outcomes.items()}
    assert found == {"test_ok": "ok", "test_failed": "failed", "test_error": "error",
                     "test_skipped": "skipped", "test_subtests": "failed"}


def test_few_tests_are_left_out():
    assert len(exclusions.NOT_APPLICABLE) <= 5
    assert all(reason for reason in [*exclusions.LEFT_OUT.values(),
                                     *exclusions.NOT_APPLICABLE.values()])
    assert exclusions.LOCAL_NETWORK <= set(MODULES)


def test_what_is_left_out_of_a_portable_build_is_about_what_it_lacks():
    assert {*exclusions.OF_A_FACILITY} <= {*FACILITIES}
    assert exclusions.not_applicable(dict.fromkeys(FACILITIES, True)) == exclusions.NOT_APPLICABLE
    left_out = exclusions.not_applicable({**FACILITIES, "abstract_addresses": False})
    assert sum("AbstractNamespace" in test for test in left_out) == 5
