"""All scenarios: those of this package, and those of others that can be repeated.

Rule: a scenario does the same each time, and leaves nothing.
"""

import functools
import random
import tempfile

import tests.leaks._connections  # noqa: F401 -- names its own
import tests.leaks._misuse  # noqa: F401
import tests.leaks._more  # noqa: F401
from tests.coverage_fuzz import corpus
from tests.coverage_fuzz.targets import TARGETS
from tests.faults import _scenarios, _servers, _waiting  # noqa: F401 -- the last names its own
from tests.fuzz import comparing, search
from tests.leaks._table import SCENARIOS

#: Of random operations, for each seed and number the same.
SEQUENCES = 40
INPUTS = 40


def sequence(seed, *, run):
    """A sequence of tests.fuzz, on fastsock's sockets alone."""
    scenario, setting, operations = search.sequence(random.Random(f"leaks {seed}").choice)
    # numpy is not made for an interpreter that counts references: its own count wrongly.
    operations = [each for each in operations if not any(
        isinstance(argument, str) and argument.startswith("numpy") for argument in each)]
    with tempfile.TemporaryDirectory() as folder:
        comparing.record("fastsock", scenario, setting, operations, folder)


def parsing(name, *, run):
    """Some of what tests.coverage_fuzz keeps for a target, spread over all of it."""
    inputs = list(corpus.read(name))
    with TARGETS[name]() as target:
        for data in inputs[::max(1, len(inputs) // INPUTS)]:
            target.check(data)


def all_scenarios():
    found = dict(SCENARIOS)
    for table in _scenarios.SCENARIOS, _servers.SCENARIOS:
        found |= {f"without faults: {name}": each for name, each in table.items()}
    found |= {f"random operations: {seed}": functools.partial(sequence, seed)
              for seed in range(SEQUENCES)}
    found |= {f"parsing: {name}": functools.partial(parsing, name)
              for name, target in TARGETS.items() if target.why_not() is None}
    return found
