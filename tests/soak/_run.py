"""A soak from beginning to end: its processes, its rounds, and what must be right after it."""

import collections
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import fastsock

from tests.serving import environment
from tests.soak._clients import BAD_FOR, GOOD_FOR, MISBEHAVIOUR, PORT_OF, TIMEOUT_S, Clients, Counts
from tests.soak._usage import growth, rss_kib, usage

ROOT = pathlib.Path(__file__).parent.parent.parent

MOST_ROUNDS = 60
#: However slow the machine, and short the time: a growth is seen between two that are warm.
LEAST_ROUNDS = 3
#: What is measured in this part of the rounds is warming up.
WARM_UP = 1 / 3

#: What glibc's malloc() keeps for each thread counts as given out, and fills for hours.
WITHOUT_CACHES = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"}

#: By how much what is left may grow over all rounds, however many connections there were. Of
#: blocks and malloc() some are caches that fill; pages that are not full differ by megabytes
#: from round to round.
MOST_GROWTH = {"python_blocks": 3000, "malloc_kib": 512, "rss_kib": 16 * 1024}


class Soak:
    """The processes. `wrong` lists what is not as it must be."""

    def __init__(self, seed):
        self.seed = seed
        self.counts = Counts()
        self.wrong = []
        self.samples = []       # of each pause: {"s", "servers", "clients", "workers"}
        self.stack = contextlib.ExitStack()
        try:
            self.start()
        except BaseException:
            self.stack.close()
            raise

    def start(self):
        folder = pathlib.Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.authority, key = self.certificates(folder)
        self.servers = self.process(key)
        self.workers = self.process("workers")
        self.ports = {**json.loads(self.servers.stdout.readline()),
                      "workers": json.loads(self.workers.stdout.readline())}
        self.before = fastsock.stats()

    @staticmethod
    def certificates(folder):
        """Paths of the authority's and of the server's; without trustme there is no TLS."""
        try:
            import trustme
        except ImportError:
            return None, "none"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "authority.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(
            folder / "key.pem")
        return str(folder / "authority.pem"), str(folder / "key.pem")

    def process(self, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak._servers", *arguments], cwd=ROOT,
            env=environment() | WITHOUT_CACHES, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.stack.callback(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        process.stdin.close()
        process.stdout.close()

    def close(self):
        """End both in their own way, and see that they do."""
        try:
            self.workers.send_signal(signal.SIGTERM)
            self.servers.stdin.close()
            for name, process in (("servers", self.servers), ("workers", self.workers)):
                status = process.wait(TIMEOUT_S)
                self.check(status == 0, f"the {name} ended with status {status}")
        finally:
            self.stack.close()

    def check(self, is_right, what):
        if not is_right:
            self.wrong.append(str(what))

    # Asking.

    def ask(self):
        self.servers.stdin.write("?\n")
        self.servers.stdin.flush()
        return json.loads(self.servers.stdout.readline())

    def of_workers(self):
        """Of the parent and its processes: how many descriptors, and how much memory."""
        parent = self.workers.pid
        children = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        pids = [parent, *map(int, children)]
        return {"fds": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
                "rss_kib": sum(map(rss_kib, pids)), "processes": len(pids)}

    def pause(self, elapsed_s):
        """Measure, when nobody is left."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            found, of_workers = self.ask(), self.of_workers()
            settled = not self.samples or of_workers["fds"] <= self.samples[0]["workers"]["fds"]
            if not found["connections"] and settled:
                break
            if time.monotonic() > deadline_s:
                self.check(False, f"connections are left: {found['connections']}, {of_workers}")
                break
        self.samples.append({"s": elapsed_s, "servers": found["usage"], "clients": usage(),
                             "workers": of_workers})
        return found

    # The whole.

    def run(self, seconds, say=None):
        began = time.monotonic()
        self.pause(0.0)
        round_s = max(1.0, seconds / MOST_ROUNDS)
        number = 0
        while not self.counts.errors:
            left_s = seconds - (time.monotonic() - began)
            if left_s <= 0 and number >= LEAST_ROUNDS:
                break
            clients = Clients(self.ports, self.authority, f"{self.seed} {number}", self.counts)
            try:
                # Nobody sets it.
                clients.is_over.wait(min(round_s, left_s) if left_s > 0 else round_s)
            finally:
                clients.stop()
            number += 1
            found = self.pause(time.monotonic() - began)
            if say is not None:
                say(self)
        self.wrong += self.counts.errors
        self.check_counts(found)
        return self.figures(found, time.monotonic() - began)

    def check_counts(self, found):
        """What the servers counted, beside what the clients did."""
        counts, counted = self.counts, found["counts"]
        paid = collections.Counter()
        for name, size in counts.payload_bytes.items():
            paid[PORT_OF.get(name, name)] += size
        for name in BAD_FOR:  # bad ones said something, too
            self.check(0 < paid[name] <= counted[name],
                       f"{name}: {paid[name]} bytes acknowledged, {counted[name]} counted")
        said = counts.sent_bytes
        equal = {
            "batch": (paid["batch"], counted["batch"]),
            "relay": (said["relay"], counted["behind"], found["written"]["behind"],
                      *found["relayed"]),
            "protocol": (counted["protocol"], found["written"]["protocol"]),
            "datagrams": (said["datagrams"], *found["datagrams"]),
            "relay()": (said["relay()"], counts.own_bytes["relayed", "forth"],
                        counts.own_bytes["relayed", "back"]),
            **{f"connections of {name}": (found["made"][name], found["lost"][name])
               for name in found["made"] if name in self.ports}}
        if self.authority is not None:
            equal["tls"] = said["tls"], counted["tls"], found["written"]["tls"]
        stats = fastsock.stats()
        for way in ("in", "out"):
            own = sum(size for (direction, _), size in counts.own_bytes.items() if direction == way)
            equal[f"fastsock.stats(), {way}"] = own, (stats[f"bytes_{way}"]
                                                      - self.before[f"bytes_{way}"])
        for name, values in equal.items():
            self.check(len(set(values)) == 1 and values[0] > 0, f"{name} does not add up: {values}")
        for name in GOOD_FOR:
            if name == "tls" and self.authority is None:
                continue
            self.check(counts.conversations[name] > 0, f"no conversation with {name}")
        done = {name for name, _ in counts.misbehaved}
        self.check(done == {one.__name__ for one in MISBEHAVIOUR}, f"only {done}")

    def growths(self):
        """{(process, what): growth}, and a check of each."""
        warm = self.samples[int(len(self.samples) * WARM_UP):]
        times_s = [sample["s"] for sample in warm]
        found = {}
        for who in ("servers", "clients", "workers"):
            fds = [sample[who]["fds"] for sample in self.samples]
            # Before the first round some things are not yet there (a random generator's).
            self.check(max(fds[1:]) == min(fds[1:]), f"descriptors of the {who}: {fds}")
            for what, most in MOST_GROWTH.items():
                # The clients' pages are of their own messages and of new threads each round:
                # reported, and not judged. What they have in use is.
                if what in warm[0][who] and (who, what) != ("clients", "rss_kib"):
                    grown = growth(times_s, [sample[who][what] for sample in warm])
                    found[who, what] = round(grown, 1)
                    self.check(grown < most, f"{what} of the {who} grew by {grown:.0f}: "
                               f"{[sample[who][what] for sample in self.samples]}")
        return found

    def figures(self, found, seconds):
        counts, first, last = self.counts, self.samples[0], self.samples[-1]
        figures = {
            "seconds": round(seconds, 1), "rounds": len(self.samples) - 1,
            "conversations": counts.conversations.total(),
            "conversations_of_bad_clients": counts.misbehaved.total(),
            "sent_bytes": counts.sent_bytes.total(),
            "received_bytes": counts.received_bytes.total(),
            "connections_of_protocols": sum(found["made"].values())}
        for who in ("servers", "clients", "workers"):
            warm = self.samples[int(len(self.samples) * WARM_UP)]
            for what in last[who]:
                figures |= {f"{who}_{what}_at_start": first[who][what],
                            f"{who}_{what}_when_warm": warm[who][what],
                            f"{who}_{what}_at_end": last[who][what]}
        figures |= {f"{who}_{what}_growth": grown for (who, what), grown in self.growths().items()}
        return figures


def soak(seconds, seed, say=None):
    """(figures, what is wrong)"""
    running = Soak(seed)
    try:
        figures = running.run(seconds, say)
    finally:
        running.close()
    return {**figures, "wrong": len(running.wrong)}, running.wrong
