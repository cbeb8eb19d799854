"""What a scenario is: a name, a function of a Run, and what the Run says afterwards.

Rules: a scenario repeats its rounds while `run.goes_on()`, which is at least once. Whatever
is not as it should be is said by `run.expect()`, or raised. A scenario that does not come to
its end is ended from outside, with the tracebacks of all threads.
"""

import functools
import random
import statistics
import time

SCENARIOS = {}

#: Sockets of scenarios give up after this long, if it is their timeout.
TIMEOUT_S = 20.0

#: The most problems of one scenario that are kept.
MOST_WRONG = 5


class Run:
    """One run of a scenario."""

    def __init__(self, name, seconds, seed):
        self.name = name
        self.seconds = seconds
        self.end_s = time.monotonic() + seconds
        self.chance = random.Random(f"{seed} {name}")
        self.rounds = 0
        self.least_rounds = 1
        self.amounts = {}           # what else there was: {unit: how much}
        self.latencies_ns = []
        self.wrong = []

    def goes_on(self):
        """Is there another round? There are some, however short the time."""
        return self.rounds < self.least_rounds or time.monotonic() < self.end_s

    def add(self, **amounts):
        for unit, amount in amounts.items():
            self.amounts[unit] = self.amounts.get(unit, 0) + amount

    def expect(self, is_right, *what):
        if not is_right and len(self.wrong) < MOST_WRONG:
            self.wrong.append(" ".join(map(str, what)))
        return is_right

    @property
    def worst_ms(self):
        return max(self.latencies_ns, default=0) / 1e6

    @property
    def median_ms(self):
        return statistics.median(self.latencies_ns) / 1e6 if self.latencies_ns else 0.0


def scenario(title, *arguments):
    """Name a function as a scenario, with these arguments before its Run."""
    def name(function):
        if title in SCENARIOS:
            raise ValueError(f"two scenarios are {title!r}")
        SCENARIOS[title] = functools.partial(function, *arguments)
        return function
    return name


def perform(title, seconds, seed):
    """Run a scenario; an exception of it is something wrong, too."""
    run = Run(title, seconds, seed)
    try:
        SCENARIOS[title](run)
    except Exception as error:
        run.expect(False, f"{type(error).__name__}: {error}", *where(error))
    return run


def where(error):
    """The lines of these tests that an exception passed, the last ones."""
    found = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        found.append(f"({code.co_name}:{traceback.tb_lineno})")
        traceback = traceback.tb_next
    return found[-4:]
