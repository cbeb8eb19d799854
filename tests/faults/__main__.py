"""The command: every scenario, every fault, a table.

Builds the library, starts itself again with it, and runs there. The exit status is 1 if
something was wrong, and 77 if there can be no library here.
"""

import argparse
import collections
import json
import logging
import os
import subprocess
import sys
import tempfile
import time

from tests.faults import _injector
from tests.faults._faults import faults_of


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("words", nargs="*", help="run the scenarios with one of these in their name")
    parser.add_argument("--memory", action="store_true",
                        help="each piece of memory fails, Python's too, instead of system calls")
    parser.add_argument("--most", type=int, default=24, metavar="N",
                        help="at most so many calls of a name fail in each scenario")
    parser.add_argument("--verbose", "-v", action="store_true", help="name each fault first")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if reason := _injector.why_not():
        print(f"no faults can be injected: {reason}")
        return 77
    injector = _injector.Injector.of_this_process()
    if injector is not None:
        return run_all(injector, options)
    with tempfile.TemporaryDirectory() as folder:
        library = _injector.build(folder)
        return subprocess.run([sys.executable, "-m", "tests.faults", *sys.argv[1:]],
                              env=_injector.environment(library, options.memory)).returncode


def all_scenarios():
    from tests.faults import _raising, _scenarios, _servers, _small, _waiting  # noqa: F401 -- name their own
    return {**_scenarios.SCENARIOS, **_servers.SCENARIOS}


def run_all(injector, options):
    from tests.faults._run import INTERPRETERS, Run, Usage, examine, once
    from tests.faults._servers import SCENARIOS
    of_servers = list(SCENARIOS.values())
    scenarios = 0
    usage = Usage(injector)
    logging.getLogger("fastsock.server").addHandler(logging.NullHandler())
    totals = collections.Counter()
    began = time.monotonic()
    print(f"{'scenario':40} {'calls':>6} {'faults':>7} {'unharmed':>9} {'raised':>7} {'wrong':>6}")
    for name, scenario in all_scenarios().items():
        if options.words and not any(word in name for word in options.words):
            continue
        scenarios += 1
        for _ in range(2):  # the first fills caches, and imports
            result = once(scenario, Run(injector))
        if result.problem is not None:
            totals["wrong"] += 1
            say_wrong(name, "no fault", result)
            continue
        seen = result.run.seen
        asked = seen.pop("malloc", 0)
        if options.memory:
            seen = {"malloc": asked}
        counts = collections.Counter()
        for fault in faults_of(seen, options.most, scenario in of_servers):
            if options.verbose:
                print(name, fault, flush=True)
            result = examine(scenario, injector, fault, usage)
            counts["wrong" if result.problem is not None else result.outcome] += 1
            if result.problem is not None:
                say_wrong(name, fault, result)
        totals += counts + collections.Counter(calls=sum(seen.values()))
        row(name, sum(seen.values()), counts)
    calls = totals.pop("calls", 0)
    row("all", calls, totals)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"most": options.most, "scenarios": scenarios, "calls": calls, "faults": sum(totals.values()),
                       "unharmed": totals["unharmed"], "raised": totals["raised"],
                       "not_met": totals["not met"], "interpreters_own": totals[INTERPRETERS], "wrong": totals["wrong"],
                       "seconds": round(time.monotonic() - began)}, file, indent=2)
    print(f"{time.monotonic() - began:.0f} s; not met, since the calls went another way: "
          f"{totals['not met']}; the interpreter's own: {totals[INTERPRETERS]}")
    return 1 if totals["wrong"] else 0


def say_wrong(name, fault, result):
    print(f"WRONG  {name}: {fault}: {result.problem}", flush=True)


def row(name, calls, counts):
    print(f"{name:40} {calls:6} {sum(counts.values()):7} {counts['unharmed']:9} "
          f"{counts['raised']:7} {counts['wrong']:6}", flush=True)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # What hangs in a thread is not waited for: it was said.
    os._exit(status)
