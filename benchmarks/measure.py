"""How the benchmarks measure: variants in turn, many short samples, medians.

Rules: a variant is a function that does its work `count` times; all variants of a
case run in one process, one after the other in each round, so that a machine whose
speed drifts treats them alike; the first round warms up and does not count. What
is quoted is the ratio of medians.
"""

import dataclasses
import functools
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time


@dataclasses.dataclass
class Row:
    """One case: samples of each variant, in nanoseconds an operation."""

    case: str
    samples: dict
    asked: float | None = None      # the least ratio stdlib / fastsock that is asked for
    asked_of_c: float | None = None  # the least ratio C / fastsock

    def median(self, variant):
        return statistics.median(self.samples[variant]) if self.samples.get(variant) else None

    @property
    def ratio(self):
        return self.median("stdlib") / self.median("fastsock")

    @property
    def missed(self):
        return (self.asked is not None and self.ratio < self.asked
                or self.asked_of_c is not None and "C" in self.samples
                and self.median("C") / self.median("fastsock") < self.asked_of_c)

    def text(self):
        c = self.median("C")
        samples = self.samples["fastsock"]
        spread = statistics.quantiles(samples, n=10) if len(samples) > 1 else samples
        noisy = " noisy" if spread[-1] > 2 * spread[0] else ""
        asked = "" if self.asked is None else f"  asked {self.asked:<5}"
        if self.asked_of_c is not None and c is not None:
            asked += f"  of C {c / self.median('fastsock'):.2f}, asked {self.asked_of_c:.2f}  "
        if asked:
            asked += "MISSED" if self.missed else "holds"
        return (f"{self.case:52}{self.median('stdlib'):>12,.0f}{self.median('fastsock'):>12,.0f}"
                f"{'' if c is None else f'{c:,.0f}':>10}{self.ratio:>9.2f}{asked}{noisy}")


@dataclasses.dataclass
class Limit:
    """One figure that must stay below another."""

    case: str
    value: float
    most: float
    unit: str = ""

    @property
    def missed(self):
        return self.value >= self.most

    def text(self):
        return (f"{self.case:64}{self.value:>12.3f} {self.unit}  asked below {self.most}  "
                f"{'MISSED' if self.missed else 'holds'}")


def header():
    return f"{'ns an operation':52}{'stdlib':>12}{'fastsock':>12}{'C':>10}{'ratio':>9}"


def in_turn(case, variants, count, rounds=31, asked=None, asked_of_c=None):
    """Time the variants in turn: a Row."""
    samples = {name: [] for name in variants}
    for round_number in range(rounds + 1):
        for name, work in variants.items():
            elapsed_ns = work(count)
            if elapsed_ns is None:
                raise ValueError(f"{name} of {case} returned no time")
            if round_number:
                samples[name].append(elapsed_ns / count)
    return Row(case, samples, asked, asked_of_c)


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
    program = pathlib.Path(tempfile.mkdtemp(prefix="fastsock-bench-"), name)
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
