"""The command: every scenario, a table; the exit status is 1 if something grew or was wrong.

What an interpreter can't measure is said, and is no failure.
"""

import argparse
import json
import sys
import time

import fastsock

from tests.leaks import _measure


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.leaks", description=__doc__)
    parser.add_argument("words", nargs="*",
                        help="run the scenarios with one of these in their name")
    parser.add_argument("--rounds", type=int, default=20, metavar="N",
                        help=f"in each of {_measure.BATCHES} batches, or of more while it grows")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    from tests.leaks._all import all_scenarios
    for what, reason in _measure.not_measured().items():
        print(f"not measured: {what}: {reason}")
    names = list(_measure.USAGE)
    print(f"at least so much more each round:\n{'scenario':50} "
          + " ".join(f"{name:>12}" for name in names), flush=True)
    if hasattr(fastsock.socket, "recvmmsg"):
        _measure.fill_the_cache_of_peers()
    began_s = time.monotonic()
    done = leaking = wrong = 0
    for name, scenario in all_scenarios().items():
        if options.words and not any(word in name for word in options.words):
            continue
        grew, problem = _measure.examine(scenario, options.rounds)
        done += 1
        leaking += bool(grew)
        print(f"{name:50} " + " ".join(f"{grew.get(each, 0):12.4g}" for each in names), flush=True)
        if grew:
            print(f"LEAKS  {name}: {', '.join(grew)}", flush=True)
        if problem is not None:
            wrong += 1
            print(f"WRONG  {name}: {problem}", flush=True)
    took_s = time.monotonic() - began_s
    print(f"{done} scenarios in {took_s:.0f} s, leaking: {leaking}, wrong: {wrong}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"scenarios": done, "rounds_in_a_batch": options.rounds,
                       "leaking": leaking, "wrong": wrong,
                       "references_are_counted": "references" in names,
                       "blocks_are_counted": "blocks" in names,
                       "malloc_is_counted": "malloc bytes" in names,
                       "seconds": round(took_s)}, file, indent=2)
    return 1 if leaking or wrong or not done else 0


if __name__ == "__main__":
    sys.exit(main())
