"""python -m tests.fuzz [--operations N] [--seed SEED]: exit status 1 if the two differ.

Prints the seed, how many operations of each kind were run on each implementation, and the
smallest sequence that differs, as tests/test_found_by_fuzzing.py takes it.
"""

import argparse
import json
import secrets
import sys

from tests.fuzz import comparing, search, world


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", type=int, default=200_000)
    parser.add_argument("--seed", help="any text; a random one if not given")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    result = search.search(options.operations, seed)
    for name, count in sorted(result.counts.items()):
        print(f"{count:9,} {name}")
    print(result)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"seed": seed, "operations": result.operations,
                       "kinds_of_operations": len(result.counts),
                       "kinds_of_sockets": len(world.SCENARIOS),
                       "differences": int(result.found is not None),
                       "differences_that_did_not_come_again": len(comparing.unsteady),
                       "seconds": round(result.seconds)}, file, indent=2)
    return result.found is not None


if __name__ == "__main__":
    sys.exit(main())
