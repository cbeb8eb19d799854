"""What this process holds, and whether it grows.

Rules: a scenario is repeated in batches, after a warm-up that fills caches. What grows in each
of them by one or more in two rounds leaks; what grows less, or not in one of them, does not: a
cache whose places are found by hashing is full only after many rounds. References are counted by
debug builds of the interpreter only, malloc() by glibc only: `measured()` says what is not
measured here.
"""

import array
import contextlib
import ctypes
import gc
import os
import sys

import fastsock

from tests.faults._run import TIMEOUT_S, Run, once

WARM_UP_ROUNDS = 8
BATCHES = 4
#: Caches (addresses of peers, memory for receives) may be full later: so many batches more.
MORE_BATCHES = 16
CACHE_OF_PEERS = 256
#: One that was made for more datagrams is used again for fewer.
LARGEST_BATCH = 16
#: All of 127.0.0.0/8 is this machine on Linux; elsewhere the ports alone differ.
ONE_MACHINES_ADDRESSES = sys.platform == "linux"


class _Mallinfo2(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]


def _mallinfo2():
    """glibc's function, or None."""
    with contextlib.suppress(OSError, AttributeError):
        function = ctypes.CDLL(None).mallinfo2
        function.restype = _Mallinfo2
        return function
    return None


MALLINFO2 = _mallinfo2()
# Another malloc() that is loaded in its place does not answer for glibc's.
if MALLINFO2 is not None and not MALLINFO2().uordblks:
    MALLINFO2 = None


def malloc_bytes():
    info = MALLINFO2()
    return info.uordblks + info.hblkhd


def open_fds():
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))


#: {what: how much of it there is}
USAGE = {"fds": open_fds}
# With PYTHONMALLOC=malloc the interpreter has no blocks of its own.
if sys.getallocatedblocks():
    USAGE = {"blocks": sys.getallocatedblocks, **USAGE}
if hasattr(sys, "gettotalrefcount"):
    USAGE = {"references": sys.gettotalrefcount, **USAGE}
if MALLINFO2 is not None:
    USAGE["malloc bytes"] = malloc_bytes

ALL = ["references", "blocks", "fds", "malloc bytes"]


def not_measured():
    """{what: why not here}"""
    reasons = {"references": "this interpreter does not count them: it is no debug build",
               "blocks": "the interpreter's memory is all malloc()'s",
               "malloc bytes": "this malloc() has no mallinfo2()"}
    return {name: reasons[name] for name in ALL if name not in USAGE}


class NoFaults:
    """In the place of tests.faults' preloaded library: nothing fails."""

    def disarm(self):
        pass

    def seen(self):
        return {}

    def fired(self):
        return 0

    def watched(self):
        return [0]


class Notes:
    """What was in use after each batch."""

    def __init__(self):
        # In memory of its own, so that the notes themselves do not grow.
        self.notes = {name: array.array("q", bytes(8 * (BATCHES + MORE_BATCHES + 1)))
                      for name in USAGE}
        self.count = 0

    def take(self):
        gc.collect()
        for name, function in USAGE.items():
            self.notes[name][self.count] = function()
        self.count += 1

    def growth(self, name):
        """The least that it grew by in a batch: 0 or less if it is flat."""
        values = self.notes[name][:self.count]
        return min(after - before for before, after in zip(values, values[1:]))

    def growing(self, rounds):
        return [name for name in USAGE if self.growth(name) >= rounds / 2]


def fill_the_cache_of_peers():
    """That of recvmmsg(): it keeps one address for each of its places, whoever it was."""
    with fastsock.socket(type=fastsock.SOCK_DGRAM) as target:
        target.bind(("127.0.0.1", 0))
        target.settimeout(TIMEOUT_S)
        for number in range(CACHE_OF_PEERS * 8):
            with fastsock.socket(type=fastsock.SOCK_DGRAM) as source:
                if ONE_MACHINES_ADDRESSES:
                    source.bind((f"127.0.{number >> 7}.{number % 128 + 1}", 0))
                source.sendto(b"x", target.getsockname())
                target.recvmmsg(LARGEST_BATCH)


def examine(scenario, rounds):
    """Repeat a scenario: ({what grew: by how much each round, at least}, problem or None)."""
    def run_some(count):
        for _ in range(count):
            problem = once(scenario, Run(NoFaults())).problem
            if problem is not None:
                return problem
        return None

    notes = Notes()
    problem = run_some(WARM_UP_ROUNDS)
    notes.take()
    while problem is None and notes.count <= BATCHES + MORE_BATCHES:
        if notes.count > BATCHES and not notes.growing(rounds):
            break
        problem = run_some(rounds)
        notes.take()
    if problem is not None:
        return {}, problem
    return {name: notes.growth(name) / rounds for name in notes.growing(rounds)}, None
