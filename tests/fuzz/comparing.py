"""The same operations in a world of each implementation: where do they differ?

Rules: a difference that does not come again when the same is run again is one of time, and
counted, not reported. Each world leaves the descriptors of the process as they were.
"""

import contextlib
import os
import shutil
import tempfile
import time
import warnings

from tests.fuzz.world import MODULES, World


def open_fds():
    return sorted(map(int, os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd")
                                      else "/dev/fd")))


def record(name, scenario, setting, operations, folder):
    """What `operations` did in a fresh world: one outcome each, then what was left."""
    before = open_fds()
    world = World(name, scenario, setting, folder)
    with warnings.catch_warnings(), contextlib.chdir(folder):  # a path may be a relative one
        warnings.simplefilter("ignore")
        # Malformed control messages warn: as an exception it is an outcome.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            world.open()
            outcomes = [world.do(operation) for operation in operations]
            outcomes.append(world.end())
        finally:
            world.close()
    outcomes.append(open_fds() == before)
    return outcomes


class Folders:
    """A folder for each implementation's files, with names of the same length."""

    def __init__(self):
        self.root = tempfile.mkdtemp(prefix="fuzz")
        self.of = {name: f"{self.root}/{index}" for index, name in enumerate(MODULES)}
        for folder in self.of.values():
            os.mkdir(folder)

    def __enter__(self):
        return self.of

    def __exit__(self, *exception):
        shutil.rmtree(self.root)


def difference(scenario, setting, operations, folders, counts=None, turns=8):
    """Where the two implementations differ: (operation, stdlib's, fastsock's), or None.
    The names of the operations that were made, and not left out, are added to `counts`.
    It must differ in so many turns.

    A difference that does not come back when the same is run again is not one of theirs,
    but of time: `unsteady` keeps it.
    """
    seen = None
    for turn in range(turns):
        time.sleep(turn / 50)  # what else the machine does may be over by then
        first, second = (record(name, scenario, setting, operations, folders[name])
                         for name in MODULES)
        if counts is not None and seen is None:
            counts.update(operation[0] for operation, outcome in zip(operations, first)
                          if not isinstance(outcome, str))
        names = [*operations, "what is left", "all descriptors are closed"]
        different = next(
            ((operation, *found) for operation, *found in zip(names, first, second)
             if repr(found[0]) != repr(found[1])), None)
        if different is None:
            if seen:
                unsteady.append((scenario, setting, seen))
            return None
        seen = different
    return seen


#: What differed once and not again.
unsteady = []
