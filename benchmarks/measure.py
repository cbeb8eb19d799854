"""How the benchmarks measure: variants in turn, many short samples, medians.

Rules: a variant is a function that does its work `count` times; all variants of a
case run in one process, one after the other in each round, so that a machine whose
speed drifts treats them alike; the first round warms up and does not count. What
is quoted is the ratio of medians.
"""

import atexit
import dataclasses
import functools
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

#: A quick run has fewer rounds where these take long, and shorter loads.
QUICK = os.environ.get("FASTSOCK_BENCH_QUICK") == "1"
LEAST_ROUNDS, QUICK_S = 5, 0.5
#: Samples whose tenth and ninetieth percentile are further apart say little.
NOISY = 2.0


@dataclasses.dataclass
class Row:
    """One case: samples of each variant, such as nanoseconds an operation."""

    case: str
    samples: dict
    unit: str = "ns"

    def median(self, variant):
        return statistics.median(self.samples[variant]) if self.samples.get(variant) else None

    def spread(self, variant):
        """The tenth and the ninetieth percentile."""
        samples = self.samples[variant]
        if len(samples) < 2:
            return samples[0], samples[0]
        cuts = statistics.quantiles(samples, n=10)
        return cuts[0], cuts[-1]

    @property
    def ratio(self):
        """How many times the stdlib's rate; None where nothing is left."""
        ours = self.median("fastsock")
        return self.median("stdlib") / ours if ours else None

    @property
    def of_c(self):
        """What share of the rate of the same system calls in C, or None."""
        floor = self.median("C")
        return None if floor is None else floor / self.median("fastsock")

    @property
    def overhead_gone(self):
        """What share of the stdlib's avoidable time, that above C's, is gone; or None."""
        floor, stdlib = self.median("C"), self.median("stdlib")
        if floor is None or stdlib <= floor:
            return None
        return (stdlib - self.median("fastsock")) / (stdlib - floor)

    @property
    def is_noisy(self):
        return any(high > NOISY * low for low, high in map(self.spread, self.samples))


@dataclasses.dataclass
class Figure:
    """One number, such as a share or a count of bytes."""

    case: str
    value: float
    unit: str = ""


def in_turn(case, variants, count, rounds=31):
    """Time the variants in turn: a Row."""
    ends_s = time.perf_counter() + QUICK_S
    samples = {name: [] for name in variants}
    for round_number in range(rounds + 1):
        for name, work in variants.items():
            elapsed_ns = work(count)
            if elapsed_ns is None:
                raise ValueError(f"{name} of {case} returned no time")
            if round_number:
                samples[name].append(elapsed_ns / count)
        if QUICK and round_number >= LEAST_ROUNDS and time.perf_counter() > ends_s:
            break
    return Row(case, samples)


def timed(work):
    """A variant out of a function of `count`: returns the nanoseconds that it took."""
    @functools.wraps(work)
    def measured(count):
        started = time.perf_counter_ns()
        work(count)
        return time.perf_counter_ns() - started
    return measured


@functools.cache
def native(name):
    """The path of a compiled program of native/, or None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    source = pathlib.Path(__file__).parent / "native" / f"{name}.c"
    folder = tempfile.mkdtemp(prefix="fastsock-bench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = pathlib.Path(folder, name)
    subprocess.run([compiler, "-O2", "-pthread", "-o", program, source], check=True)
    return program


def in_c(name, *arguments):
    """A variant that runs a C program: it prints the nanoseconds that `count` took."""
    def measured(count):
        shown = subprocess.run([native(name), *map(str, arguments), str(count)],
                               check=True, capture_output=True, text=True).stdout
        return float(shown)
    return measured


def with_c(variants, name, *arguments):
    """The variants, and the C program where there is a compiler."""
    if native(name) is None:
        return variants
    return {**variants, "C": in_c(name, *arguments)}
