"""The command: a soak of so many seconds. The exit status is 1 if something was wrong."""

import argparse
import json
import secrets
import sys

from tests.soak._run import soak


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", help="any text; a random one if not given")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if sys.platform != "linux":
        print("it reads /proc, which is Linux's")
        return 77
    seed = options.seed if options.seed is not None else secrets.token_hex(4)
    print(f"seed {seed}")
    print(f"{'s':>7} {'conversations':>13} {'sent MB':>8}   servers: {'fds':>4} {'RSS KiB':>8} "
          f"{'malloc':>7} {'blocks':>7}   clients: {'fds':>4} {'RSS KiB':>8} {'malloc':>7} "
          f"{'blocks':>7}   workers: {'fds':>4} {'RSS KiB':>8}", flush=True)
    figures, wrong = soak(options.seconds, seed, row)
    for name, value in figures.items():
        print(f"{name}: {value:,}")
    for line in wrong:
        print(f"WRONG  {line}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"seed": seed, **figures}, file, indent=1)
            file.write("\n")
    return 1 if wrong else 0


def row(running):
    sample = running.samples[-1]
    of_processes = []
    for who in ("servers", "clients"):
        found = sample[who]
        of_processes.append(f"{found['fds']:4} {found['rss_kib']:8} "
                            f"{found.get('malloc_kib', 0):7} {found['python_blocks']:7}")
    print(f"{sample['s']:7.1f} {running.counts.conversations.total():13} "
          f"{running.counts.sent_bytes.total() / 1e6:8.1f}            {of_processes[0]}"
          f"            {of_processes[1]}            {sample['workers']['fds']:4} "
          f"{sample['workers']['rss_kib']:8}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
