"""What `python -m tests.fuzz` found, as it printed it: once a difference, now none."""

import pytest

from tests.fuzz import world

FOUND = {
    "a level that overflows, beside a length": ("unix stream", (0, False), [
        ("setsockopt", 0, False, (1 << 31, 1), (None, -1)),
    ]),
    "sendfile() with a float as offset": ("unix stream", (None, False), [
        ("sendfile", 0, False, "file", 8193, 0.0, 8193),
    ]),
    "sendfile() with a text as offset": ("unix stream", (None, False), [
        ("sendfile", 0, False, "file", 5, "0", None),
    ]),
    "sendfile() on a closed socket": ("tcp", (None, False), [
        ("close", 0, False),
        ("sendfile", 0, False, "file", 8193, 0, None),
    ]),
    "sendfile() on a closed socket, from beyond any file": ("tcp", (None, False), [
        ("detach_and_reopen", 0, False, 3),
        ("sendfile", 0, False, "file", 8193, 1 << 63, 50000),
    ]),
}


@pytest.mark.parametrize("name", FOUND)
def test_found(name):
    scenario, setting, operations = FOUND[name]
    with world.Folders() as folders:
        assert world.difference(scenario, setting, operations, folders) is None
        # And none of them is left out: that would make them the same, too.
        done = world.record("fastsock", scenario, setting, operations, folders["fastsock"])
    assert not any(isinstance(outcome, str) for outcome in done)
