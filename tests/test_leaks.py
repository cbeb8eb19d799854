"""Leaks: some scenarios of tests.leaks, that a leak is found, and that each operation is there.

`python -m tests.leaks` runs all of them for longer; on a debug build it counts references, too.
"""

import ctypes
import json
import pathlib
import subprocess
import sys

import pytest

from tests.serving import environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
if sys.platform == "linux":
    from tests.faults._run import Run, once
    from tests.leaks import _measure, _touched
    from tests.leaks._table import SCENARIOS

ROOT = pathlib.Path(__file__).parent.parent

FEW = ["misuse of sockets: stream", "misuse of framings: Lines", "names and settings",
       "receiving exactly", "batches of", "framings: Lines", "streams: LengthPrefix",
       "pollers: epoll", "handlers: epoll", "protocols: epoll", "relay by hand",
       "random operations: 7"]


def test_nothing_grows(tmp_path):
    # In a process of its own: threads and caches of other tests are not its.
    path = tmp_path / "figures.json"
    result = subprocess.run(
        [sys.executable, "-m", "tests.leaks", "--rounds", "2", "--json", path, *FEW], cwd=ROOT,
        env=environment(), text=True, capture_output=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(path.read_text())
    assert figures["scenarios"] >= len(FEW)
    assert figures["leaking"] == figures["wrong"] == 0
    assert figures["references_are_counted"] == hasattr(sys, "gettotalrefcount")


kept = []


def keeps_an_object(*, run):
    kept.append(bytearray(5))


def keeps_memory(*, run):
    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    assert malloc(5000)


def keeps_a_reference(*, run):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


@pytest.mark.parametrize(("scenario", "what", "least"), [
    (keeps_an_object, "blocks", 1), (keeps_memory, "malloc bytes", 5000),
    (keeps_a_reference, "references", 1)])
def test_a_leak_is_found(scenario, what, least):
    import tests.leaks._all  # noqa: F401 -- as it would run
    if what in _measure.not_measured():
        pytest.skip(_measure.not_measured()[what])
    grew, problem = _measure.examine(scenario, 5)
    kept.clear()
    assert problem is None and grew[what] >= least


def test_every_public_operation_is_called():
    import tests.leaks._all  # noqa: F401 -- fills the table
    wanted = _touched.operations()
    assert len(wanted) > 100
    with _touched.recorded() as touched:
        for name, scenario in SCENARIOS.items():
            # What is only refused does not count.
            if "misuse" not in name:
                assert once(scenario, Run(_measure.NoFaults())).problem is None, name
    assert wanted - touched == set()
