"""The examples that need fastsock: they use what the stdlib has not."""

import pathlib
import re
import subprocess
import sys

from tests.conftest import TIMEOUT_S

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent / "examples"
NEED_FASTSOCK = {"redis_client.py", "round_trips.py"}


def run(name, *arguments, folder):
    """The output of an example, which must end well."""
    return subprocess.run(
        [sys.executable, "-P", EXAMPLES / name, *map(str, arguments)], cwd=folder, check=True,
        capture_output=True, text=True, timeout=TIMEOUT_S).stdout


def test_round_trips(tmp_path):
    shown = run("round_trips.py", "--count", 200, folder=tmp_path)
    assert re.search(r"^asleep: \d+\.\d us", shown, re.MULTILINE)
    assert re.search(r"^spinning: \d+\.\d us", shown, re.MULTILINE)
    assert re.search(r"\d+ receives, \d+ waits, [1-9]\d* ended while spinning", shown)


def test_the_redis_client_sets_ten_thousand(redis_server, tmp_path):
    shown = run("redis_client.py", "--port", redis_server.port, folder=tmp_path)
    assert re.match(r"10000 of 10000 set in \d+\.\d+ s, 10000 read back\n$", shown)


def test_the_redis_client_is_short():
    assert len((EXAMPLES / "redis_client.py").read_text().splitlines()) < 80
