"""The command: every scenario, a table; the exit status is 1 if something was wrong.

Each scenario runs in this process, one after the other. One that hangs ends the process,
and the tracebacks of all threads say where.
"""

import argparse
import faulthandler
import json
import secrets
import signal
import sys
import time

from tests.stress import _peers
from tests.stress._figures import figures_of
from tests.stress._run import SCENARIOS, TIMEOUT_S, perform

#: What a scenario may take beyond its time, before it counts as hanging.
GRACE_S = 6 * TIMEOUT_S


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*",
                        help="run the scenarios with one of these in their name")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each scenario")
    parser.add_argument("--seed", help="any text; a random one if not given")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if reason := _peers.why_not():
        print(f"no stress can be made: {reason}")
        return 77
    # A shell's background job ignores SIGINT, and so would what is to be interrupted by it.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    seed = options.seed if options.seed is not None else secrets.token_hex(4)
    print(f"seed {seed}")
    import tests.stress._all  # noqa: F401
    print(f"{'scenario':56} {'rounds':>7} {'and':28} {'median':>7} {'worst':>8} {'wrong':>5}")
    began_s = time.monotonic()
    runs = []
    for title in SCENARIOS:
        if options.words and not any(word in title for word in options.words):
            continue
        faulthandler.dump_traceback_later(options.seconds + GRACE_S, exit=True)
        run = perform(title, options.seconds, seed)
        faulthandler.cancel_dump_traceback_later()
        runs.append(run)
        amounts = ", ".join(f"{amount} {unit}" for unit, amount in run.amounts.items())
        print(f"{title:56} {run.rounds:7} {amounts:28} {run.median_ms:7.2f} "
              f"{run.worst_ms:5.1f} ms {len(run.wrong):5}", flush=True)
        for problem in run.wrong:
            print(f"WRONG  {title}: {problem}", flush=True)
    wrong = sum(len(run.wrong) for run in runs)
    print(f"{len(runs)} scenarios, {sum(run.rounds for run in runs)} rounds, "
          f"{time.monotonic() - began_s:.0f} s, wrong: {wrong}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(figures_of(runs), file, indent=2)
    return 1 if wrong or not runs else 0


if __name__ == "__main__":
    sys.exit(main())
