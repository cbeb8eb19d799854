"""python -m tests.fuzz [--operations N] [--seed SEED]: exit status 1 if the two differ.

Prints the seed, how many operations of each kind were run on each implementation, and the
smallest sequence that differs.
"""

import argparse
import pprint
import secrets
import sys

from tests.fuzz import search, world


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--operations", type=int, default=200_000)
    parser.add_argument("--seed", default=None, help="any text; a random one if not given")
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else secrets.token_hex(4)
    print(f"seed {seed}", flush=True)
    result = search.search(options.operations, seed)
    for name, count in sorted(result.counts.items()):
        print(f"{count:9,} {name}")
    print(f"{result.operations:9,} operations in {result.seconds:.0f} s, seed {seed}; "
          f"{len(world.unsteady)} differences that did not come again")
    if result.found is None:
        return 0
    scenario, setting, operations, (operation, ours, theirs) = result.found
    print(f"\nThey differ ({scenario!r}, {setting!r}) in {operation!r}:")
    pprint.pp({"stdlib": ours, "fastsock": theirs}, width=99)
    print("after:")
    pprint.pp(operations, width=99)
    return 1


if __name__ == "__main__":
    sys.exit(main())
