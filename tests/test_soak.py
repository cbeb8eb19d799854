"""A soak: servers among clients of every bad kind, for some seconds or, if wanted, hours.

    FASTSOCK_SOAK_S=60 python -m pytest tests/test_soak.py
    python -m tests.soak --seconds 1800

What it does and what must be right is in tests/soak.
"""

import json
import os
import random
import subprocess
import sys

import pytest

import fastsock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
if sys.platform == "linux":
    from tests.soak import _run
    from tests.soak._clients import BAD_FOR, TIMEOUT_S, conversation, say
    from tests.soak._usage import growth

SOAK_S = float(os.environ.get("FASTSOCK_SOAK_S", "8"))
SEED = os.environ.get("FASTSOCK_SOAK_SEED", "1")


def test_soak(tmp_path):
    # In a process of its own: what it holds is measured, too.
    found = tmp_path / "figures.json"
    result = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--seconds", str(SOAK_S), "--seed", SEED, "--json",
         str(found)], cwd=_run.ROOT, env=_run.environment(), text=True, capture_output=True,
        timeout=2 * SOAK_S + 200)
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(found.read_text())
    assert figures["wrong"] == 0 and figures["conversations"] > figures["rounds"] > 1


def test_every_byte_is_accounted_for():
    # Without bad clients the counts are the same, not only no less.
    chance = random.Random(SEED)
    running = _run.Soak(SEED)
    try:
        said = {}
        for name in (*BAD_FOR, "batch"):
            for _ in range(20):
                data, payload = conversation(chance, name)
                with fastsock.create_connection(
                        ("127.0.0.1", running.ports[name]), TIMEOUT_S) as client:
                    assert say(client, data, chance) == data
                    client.shutdown(fastsock.SHUT_WR)
                    assert client.recv(1) == b""
                said[name] = said.get(name, 0) + payload
        found = running.pause(0.0)
        assert {name: found["counts"][name] for name in said} == said
        assert found["written"]["protocol"] == said["protocol"]
        assert found["made"]["protocol"] == found["lost"]["protocol"] == 20
        assert running.wrong == []
    finally:
        running.close()


def test_a_growth_is_seen_and_a_difference_is_not():
    times_s = list(range(20))
    assert growth(times_s, [100.0] * 20) == 0
    noise = [100 + 40 * (number % 3) for number in range(20)]
    assert abs(growth(times_s, noise)) < 10
    assert growth(times_s, [*noise[:10], 9000, *noise[11:]]) < 10
    assert growth(times_s, [a + 5 * b for a, b in zip(noise, times_s)]) > 80
