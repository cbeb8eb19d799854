"""hypothesis draws scenarios and sequences of operations, and makes a differing one small.

Rule: a seed gives the same sequences again, on the same version of hypothesis.
"""

import collections
import time

import hypothesis
from hypothesis import strategies as st

from tests.fuzz import world
from tests.fuzz.operations import NAMES, OPERATIONS, PLACES

LONGEST = 80

#: One in so many operations that would wait does wait.
PATIENCE = [False] * 29 + [True]

_drawn = {name: tuple(st.sampled_from(choices) for choices in arguments)
          for name, (_, arguments, _) in OPERATIONS.items()}
_names, _places, _patience = map(st.sampled_from, (NAMES, PLACES, PATIENCE))
_lengths = st.integers(1, LONGEST)


@st.composite
def sequences(draw):
    """(scenario, setting, operations)"""
    scenario = draw(st.sampled_from(world.SCENARIOS))
    setting = draw(st.sampled_from(world.SETTINGS))
    operations = []
    for _ in range(draw(_lengths)):
        name = draw(_names)
        operations.append((name, draw(_places), draw(_patience),
                           *[draw(strategy) for strategy in _drawn[name]]))
    return scenario, setting, operations


class Result:
    """What a search did: counts of operations and outcomes, and what differed."""

    def __init__(self):
        self.counts = collections.Counter()
        self.found = None
        self.seconds = 0.0

    @property
    def operations(self):
        return self.counts.total()


def search(operations, seed):
    """Run at least `operations` operations; stops at a difference, made small."""
    result = Result()
    start = time.monotonic()
    with world.Folders() as folders:
        for part in range(1 << 20):
            if result.operations >= operations or result.found:
                break
            _search_part(result, f"{seed}-{part}", operations, folders)
    result.seconds = time.monotonic() - start
    return result


def _search_part(result, seed, operations, folders):
    # In parts: hypothesis remembers every sequence of a run, to draw none twice.
    examples = max(1, min(250, (operations - result.operations) // (LONGEST // 2)))

    @hypothesis.seed(seed)
    @hypothesis.settings(max_examples=examples, database=None, deadline=None,
                         suppress_health_check=list(hypothesis.HealthCheck),
                         phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink])
    @hypothesis.given(sequences())
    def agree(drawn):
        scenario, setting, sequence = drawn
        found = world.difference(scenario, setting, sequence, folders)
        if found:
            result.found = scenario, setting, sequence, found
            raise AssertionError("they differ")
        if result.found is None:  # not what is tried while shrinking
            result.counts.update(operation[0] for operation in sequence)

    try:
        agree()
    except AssertionError:
        pass
