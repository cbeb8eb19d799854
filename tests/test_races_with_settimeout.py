"""settimeout() of another thread at the worst moment: between the release of the GIL and the
system call, or between the system call and the time when the GIL is taken again."""

import pathlib
import subprocess
import sys

import pytest

from tests.faults import _injector
from tests.interposed.program import CALLS
from tests.serving import environment

pytestmark = pytest.mark.skipif(_injector.why_not() is not None, reason=str(_injector.why_not()))

ROOT = pathlib.Path(__file__).parent.parent
OURS = {"recv_exactly", "Stream.readline", "sendmsg_all", "accept_many"}
BLOCKED = "BlockingIOError False"

#: Timeouts: at the start, set before the first system call, set after it; and what comes of it.
RACES = [
    ("None", "[20.0]", "[]", "done True 20.0"), ("None", "[0]", "[]", f"{BLOCKED} 0.0"),
    ("None", "[0]", "[20.0]", "done True 20.0"), ("None", "[20.0]", "[0]", f"{BLOCKED} 0.0"),
    # The stdlib raises: on the page "Differences".
    ("None", "[20.0]", "[None]", "done True None"), ("None", "[0]", "[None]", "done True None")]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    target = tmp_path_factory.mktemp("interposed") / "interpose.so"
    subprocess.run([_injector.compiler(), "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
                    "-o", target, ROOT / "tests" / "interposed" / "interpose.c", "-ldl"],
                   check=True)
    return target


def outcome(library, *arguments):
    """What the program prints of the call, with "done" for its result."""
    shown = subprocess.run(
        [sys.executable, "-m", "tests.interposed.program", *arguments], cwd=ROOT, text=True,
        env={**environment(), **_injector.environment(library)}, capture_output=True, timeout=15)
    assert shown.returncode == 0, shown.stderr
    *result, was_repeated, timeout = shown.stdout.split("\n")[-2].split(" ")
    result = " ".join(result)
    expected = {"send": "9", "sendmsg": "9", "sendall": "None", "sendmsg_all": "None",
                "accept": "1", "accept_many": "1"}.get(arguments[1], r"b'the data\n'")
    return f"{'done' if result == expected else result} {was_repeated} {timeout}"


@pytest.mark.parametrize("start, before, after, expected", RACES)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("module", ["stdlib", "fastsock"])
def test_a_race(library, module, name, start, before, after, expected):
    if module == "stdlib" and name in OURS:
        pytest.skip("the stdlib has no such call")
    if module == "stdlib" and after == "[None]":
        expected = f"{BLOCKED} None"
    if name == "readline":  # a file reads nothing, where it would block
        expected = expected.replace("BlockingIOError", "b''")
    assert outcome(library, module, name, start, before, after) == expected
