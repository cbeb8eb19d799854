"""Draws scenarios and sequences of operations; makes a differing one small, by hypothesis.

How: a seeded generator draws in bulk, since hypothesis takes three times as long for drawing
as the operations take. Of a sequence that differs hypothesis then draws parts, with simpler
arguments, and shrinks those that still differ.

Rules: a seed gives the same sequences again. A sequence is drawn before any of it is run, so
that nothing it does changes what comes after.
"""

import collections
import random
import time

from tests.fuzz import comparing, world
from tests.fuzz.operations import NAMES, OPERATIONS, PLACES

LONGEST = 80

#: One in so many operations that would wait does wait.
PATIENCE = [False] * 29 + [True]


def sequence(choose):
    """(scenario, setting, operations)"""
    scenario, setting = choose(world.SCENARIOS), choose(world.SETTINGS)
    operations = []
    for _ in range(choose(range(1, LONGEST))):
        name = choose(NAMES)
        operations.append((name, choose(PLACES), choose(PATIENCE),
                           *map(choose, OPERATIONS[name][1])))
    return scenario, setting, operations


class Result:
    """What a search did: counts of operations that were made, and what differed."""

    def __init__(self, seed):
        self.seed = seed
        self.counts = collections.Counter()
        self.found = None  # (scenario, setting, operations), (operation, stdlib's, fastsock's)
        self.seconds = 0.0

    @property
    def operations(self):
        return self.counts.total()

    def __str__(self):
        text = (f"{self.operations:,} operations in {self.seconds:.0f} s, seed {self.seed}; "
                f"{len(comparing.unsteady)} differences that did not come again")
        if self.found:
            (scenario, setting, operations), (operation, stdlibs, fastsocks) = self.found
            text += (f"\nthey differ in {operation!r}\n  stdlib    {stdlibs!r}\n"
                     f"  fastsock  {fastsocks!r}\n({scenario!r}, {setting!r}, [")
            text += "".join(f"\n    {each!r}," for each in operations) + "\n])"
        return text


def search(operations, seed):
    """Run at least `operations` operations; stops at a difference, made small."""
    result = Result(seed)
    choose = random.Random(seed).choice
    start = time.monotonic()
    with comparing.Folders() as folders:
        while result.operations < operations:
            drawn = sequence(choose)
            different = comparing.difference(*drawn, folders, result.counts)
            if different:
                smallest = shrunk(drawn, folders)
                again = comparing.difference(*smallest, folders)
                if not again:
                    # It went while it was made small: does it come at all?
                    smallest, again = drawn, comparing.difference(*drawn, folders)
                if again:
                    result.found = smallest, again
                    break
    result.seconds = time.monotonic() - start
    return result


def shrunk(drawn, folders):
    """The smallest sequence that hypothesis makes of one that differs: first the operations
    that it takes, then their simplest arguments."""
    import hypothesis
    from hypothesis import strategies as st

    # Drawn from 0 to 99: 0, which shrinking aims at, leaves out or simplifies.
    odds = st.integers(0, 99)

    @st.composite
    def parts(draw, operations):
        return [operation for operation in operations if draw(odds)]

    @st.composite
    def simpler(draw, operations):
        return [(name, place, is_patient and bool(draw(odds)), *[
            argument if argument == choices[0] or draw(odds) else choices[0]
            for argument, choices in zip(arguments, OPERATIONS[name][1])])
            for name, place, is_patient, *arguments in operations]

    def smallest(scenario, setting, operations, strategy):
        found = operations

        @hypothesis.seed(0)
        @hypothesis.settings(max_examples=200, database=None, deadline=None,
                             suppress_health_check=list(hypothesis.HealthCheck),
                             phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink])
        @hypothesis.given(strategy(operations))
        def agree(candidate):
            nonlocal found
            if comparing.difference(scenario, setting, candidate, folders, turns=2):
                found = candidate
                raise AssertionError("they differ")

        try:
            agree()
        except (AssertionError, hypothesis.errors.Flaky):
            pass  # the last that hypothesis ran is the smallest
        return found

    scenario, setting, operations = drawn
    where = comparing.difference(*drawn, folders)
    if where and where[0] in operations:
        operations = operations[:operations.index(where[0]) + 1]
    for strategy in parts, simpler:
        operations = smallest(scenario, setting, operations, strategy)
    return scenario, setting, operations
