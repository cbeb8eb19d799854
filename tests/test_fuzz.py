"""A few thousand random operations on the stdlib's sockets and on ours: both say the same.

FASTSOCK_FUZZ=2000000 runs so many, by a seed that is new each time; `python -m tests.fuzz`
does the same without pytest. The seed stands in what a failure prints.
"""

import os
import secrets

import pytest

from tests.fuzz import search, world
from tests.fuzz.operations import OPERATIONS

FEW = 5_000


def test_both_say_the_same(capsys):
    wanted = int(os.environ.get("FASTSOCK_FUZZ", FEW))
    seed = "a fixed one" if wanted <= FEW else secrets.token_hex(4)
    with capsys.disabled():
        if wanted > FEW:
            print(f"\nseed {seed}", flush=True)
    result = search.search(wanted, seed)
    assert result.found is None, str(result)
    assert result.operations >= wanted
    # Each operation, and none so often that the others are lost in it.
    assert set(result.counts) == set(OPERATIONS)
    assert max(result.counts.values()) < wanted / 4


@pytest.fixture
def a_broken_recv(monkeypatch):
    """Ours, with a fault: what was peeked at is told wrongly."""
    right = world.fastsock.socket.recv_into

    def wrong(sock, buffer, nbytes=0, flags=0):
        count = right(sock, buffer, nbytes, flags)
        return count + 1 if flags == 2 and count > 3 else count
    monkeypatch.setattr(world.fastsock.socket, "recv_into", wrong)


def test_a_fault_is_found_and_made_small(a_broken_recv):
    pytest.importorskip("hypothesis")
    result = search.search(200_000, "a fault")
    (scenario, setting, operations), (operation, stdlibs, fastsocks) = result.found
    # What sends, and what peeks: shrinking may leave little else.
    assert operation[0] == "recv_into" and operation[-1] == 2
    assert operations[-1] == operation
    assert len(operations) <= 4
    assert world.stdlib is not world.fastsock and stdlibs != fastsocks
    assert repr(operations[-1]) in str(result) and "a fault" in str(result)


def test_a_seed_gives_the_same_again():
    first, second = (search.sequence(search.random.Random("x").choice) for _ in range(2))
    assert repr(first) == repr(second)
    assert repr(first) != repr(search.sequence(search.random.Random("y").choice))
