"""Every subject, one after the other: python -m benchmarks

Needs a quiet machine: nothing else may run meanwhile."""

import importlib
import sys

from benchmarks.measure import header

SUBJECTS = ["instructions", "calls", "receive_sizes", "convoy", "accept", "files_and_buffers",
            "streams", "datagrams", "ping_pong", "idle", "selectors", "echo_server", "relay",
            "idle_connections", "computing"]


def main():
    missed = []
    for subject in sys.argv[1:] or SUBJECTS:
        print(f"\n{subject}\n{header()}")
        for row in importlib.import_module(f"benchmarks.{subject}").rows():
            print(row.text(), flush=True)
            if row.missed:
                missed.append(row.case)
    print(f"\nmissed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
