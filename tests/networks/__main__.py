"""The command: every scenario on each implementation, a table.

The exit status is 1 if something was wrong, and 77 if there can be no namespaces here.
"""

import argparse
import collections
import json
import secrets
import sys
import time

from tests.networks import scenarios
from tests.networks._child import Child

SUMMED = ("sent_bytes", "received_bytes", "lost_bytes", "duplicated_bytes", "datagrams_sent",
          "datagrams_received", "datagrams_dropped", "datagrams_doubled", "datagrams_unexplained")


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.networks", description=__doc__)
    parser.add_argument("words", nargs="*", help="run the scenarios with one of these in their name")
    parser.add_argument("--seed", help="any text; a random one if not given")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    child = Child()
    try:
        if child.why_not is not None:
            print(f"no network namespaces: {child.why_not}")
            return 77
        totals = run_all(child, options.words, seed)
    finally:
        child.close()
    print("\n".join(f"{name}: {value:,}" for name, value in totals.items()
                    if isinstance(value, (int, float))))
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"seed": seed, **totals}, file, indent=1)
            file.write("\n")
    return 1 if totals["wrong"] else 0


def run_all(child, words, seed):
    began = time.monotonic()
    totals = collections.Counter(dict.fromkeys(
        ("scenarios", "runs", "wrong", "skipped", "errors_met", *SUMMED), 0))
    print(f"{'scenario':62} {'on':8} {'sent':>9} {'received':>9} {'lost':>5} {'twice':>5} "
          f"{'seconds':>7} {'wrong':>5}  errors met", flush=True)
    for name, (_, implementations) in scenarios().items():
        if words and not any(word in name for word in words):
            continue
        totals["scenarios"] += 1
        for on in implementations:
            found = child.run(name, on, seed)
            row(name, on, found)
            totals["runs"] += 1
            totals["skipped"] += found["skipped"] is not None
            totals["wrong"] += bool(found["wrong"])
            totals["errors_met"] += sum(found["errors"].values())
            for summed in SUMMED:
                totals[summed] += found.get(summed, 0)
    totals["seconds"] = round(time.monotonic() - began, 1)
    return totals


def row(name, on, found):
    if found["skipped"]:
        print(f"{name:62} {on:8} skipped: {found['skipped']}", flush=True)
        return
    # Of datagrams: what the wire did to them is no fault.
    errors = ", ".join(f"{count} {error}" for error, count in sorted(found["errors"].items()))
    print(f"{name:62} {on:8} {found.get('sent_bytes', 0):9} {found.get('received_bytes', 0):9} "
          f"{found.get('lost_bytes', 0):5} {found.get('duplicated_bytes', 0):5} "
          f"{found['seconds']:7.2f} {len(found['wrong']):5}  {errors}", flush=True)
    for line in found["wrong"]:
        print(f"WRONG  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
