"""The process with the namespaces: runs scenarios that it is told by name.

Job: `python -m tests.networks._child` says in a line of JSON whether it can, and answers each
line with the figures of a scenario. `Child` is that process as seen by who asks.

Rule: after each scenario there are as many descriptors and threads as before.
"""

import gc
import json
import logging
import os
import pathlib
import random
import select
import signal
import subprocess
import sys
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).parent.parent.parent

#: A scenario that takes longer hangs.
LIMIT_S = 90.0


class Child:
    def __init__(self):
        self.process = None
        self.why_not = None
        self.start()

    def start(self):
        from tests.serving import environment
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.networks._child"], cwd=ROOT, env=environment(),
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.why_not = self.answer().get("why_not")

    def answer(self):
        if not select.select([self.process.stdout], [], [], LIMIT_S)[0]:
            self.stop()
            return {"wrong": [f"it hangs: no answer in {LIMIT_S:.0f} s"]}
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"wrong": ["the process ended"]}

    def run(self, name, on, seed):
        """The figures of a scenario: those of Tally, and "seconds", "skipped"."""
        if self.process.poll() is not None:
            self.start()
        self.process.stdin.write(json.dumps([name, on, seed]) + "\n")
        self.process.stdin.flush()
        return {"seconds": LIMIT_S, "errors": {}, "skipped": None, **self.answer()}

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.close()

    def close(self):
        """It ends when its input does, and the namespaces with it."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def main():
    from tests.networks import _namespaces
    try:
        _namespaces.enter()
    except _namespaces.NotPermitted as error:
        print(json.dumps({"why_not": str(error)}), flush=True)
        return
    from tests.networks import scenarios
    logging.getLogger("fastsock.server").addHandler(logging.NullHandler())
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        name, on, seed = json.loads(line)
        print(json.dumps(run(scenarios(), name, on, seed)), flush=True)


def run(found, name, on, seed):
    from tests.networks._namespaces import NotPermitted
    from tests.networks._tally import IMPLEMENTATIONS, Tally
    tally, skipped = Tally(), None
    function, _ = found[name]
    before = usage()
    began = time.monotonic()
    try:
        function(IMPLEMENTATIONS.get(on), tally, random.Random(f"{seed} {name}"))
    except NotPermitted as error:
        skipped = str(error)
    except Exception as error:
        tally.wrong.append(f"{error!r}")
        tally.wrong += traceback.format_exception(error)[-4:]
    seconds = time.monotonic() - began
    if usage() != before:
        gc.collect()
    tally.check(skipped or usage()[0] <= before[0] and usage()[1] <= before[1],
                f"(descriptors, threads) were {before}, and are {usage()}")
    return {**tally.figures(), "skipped": skipped, "seconds": round(seconds, 3)}


def usage():
    from tests.networks._namespaces import Namespace
    return (len(os.listdir("/proc/self/fd")) - (Namespace.home is not None),
            threading.active_count())


if __name__ == "__main__":
    main()
