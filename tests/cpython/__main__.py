"""The interpreter's own tests on three variants of `socket`, side by side.

    python -m tests.cpython [MODULE ...] [--jobs N] [--timeout SECONDS] [--json FILE]

Each module runs three times, each time in a process of its own: on the stdlib,
with fastsock's modules in the place of `socket`, `select` and `selectors`, and after
`fastsock.install()`. Exit
status 1 if a test's outcome differs between the columns. What is left out, and
why, is in exclusions.py and printed at the end.
"""

import argparse
import collections
import concurrent.futures
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from fastsock._platform_facts import facts
from tests.cpython import exclusions

VARIANTS = ["stdlib", "module", "install"]
OUTCOMES = ["ok", "failed", "error", "skipped"]
MODULES = [
    "test_socket", "test_timeout", "test_socketserver", "test_select", "test_selectors",
    "test_epoll", "test_poll", "test_ssl", "test_httplib", "test_httpservers", "test_ftplib",
    "test_smtplib", "test_poplib", "test_imaplib", "test_urllib2_localnet", "test_xmlrpc",
    "test_wsgiref", "test_asyncio",
    # Gone from 3.12 or 3.13 on:
    "test_asyncore", "test_telnetlib", "test_nntplib",
]


def pieces(module):
    """The runs that a module takes: a package (test_asyncio) is one a file, since its
    tests collect garbage in loops, which takes minutes beside all the other files."""
    folder = pathlib.Path(importlib.util.find_spec(f"test.{module}").origin).parent
    if folder.name != module:
        return [module]
    return [f"{module}.{path.stem}" for path in sorted(folder.glob("test_*.py"))]


def run(module, variant, timeout_s):
    """Outcomes of one module on one variant: ({test id: [outcome, text]}, problem)."""
    worker = pathlib.Path(__file__).with_name("worker.py")
    with tempfile.TemporaryDirectory(prefix="fastsock-cpython-") as folder:
        result = pathlib.Path(folder, "result.json")
        # A session of its own, so that what a test leaves running ends with it.
        process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", str(worker), variant, module, str(result)],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, start_new_session=True)
        try:
            _, output = process.communicate(timeout=timeout_s)
            problem = None
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            _, output = process.communicate()
            problem = f"did not end within {timeout_s} s"
        if result.exists():
            return json.loads(result.read_text()), None
        tail = output.decode(errors="replace").strip()[-2000:]
        return {}, problem or f"exit status {process.returncode}: {tail}"


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.cpython", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1,
                        help="runs at a time (default: one a processor)")
    parser.add_argument("--timeout", type=int, default=900, metavar="SECONDS",
                        help="the most that one run may take (default: 900)")
    parser.add_argument("--json", metavar="FILE", help="write every outcome to FILE")
    options = parser.parse_args()
    modules, absent = [], []
    for module in options.modules or MODULES:
        found = importlib.util.find_spec("test") and importlib.util.find_spec(f"test.{module}")
        (modules if found else absent).append(module)

    print(f"CPython {sys.version.split()[0]}: {sys.executable}")
    if not modules:
        print("this interpreter comes without its tests: nothing was run")
        return 1
    columns = "".join(f"  {variant:>20}" for variant in VARIANTS)
    print(f"{'ok/failed/error/skipped':24}{columns}")

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        runs = {(piece, variant): pool.submit(run, piece, variant, options.timeout)
                for module in modules for piece in pieces(module) for variant in VARIANTS}
        everything, differences, totals = {}, [], collections.defaultdict(collections.Counter)
        for module in modules:
            row = []
            for variant in VARIANTS:
                outcomes = everything[f"{module}/{variant}"] = {}
                for piece in pieces(module):
                    part, problem = runs[piece, variant].result()
                    outcomes.update(part)
                    if problem:
                        differences.append(f"{piece} on {variant}: {problem}")
                counts = collections.Counter(outcome for outcome, _ in outcomes.values())
                totals[variant] += counts
                row.append("/".join(str(counts[outcome]) for outcome in OUTCOMES))
            print(f"{module:24}" + "".join(f"  {cell:>20}" for cell in row), flush=True)
            differences += compare(module, everything)
    print(f"{'all':24}" + "".join(
        f"  {'/'.join(str(totals[variant][outcome]) for outcome in OUTCOMES):>20}"
        for variant in VARIANTS))

    for module in absent:
        print(f"not in this interpreter: {module}")
    for prefix, reason in exclusions.LEFT_OUT.items():
        print(f"left out in all columns: {prefix}*: {reason}")
    for test, reason in exclusions.not_applicable(facts()).items():
        print(f"not applicable to fastsock: {test}: {reason}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(everything))
    print()
    for difference in differences:
        print(difference)
    agreed = sum(len({*everything[f"{module}/stdlib"]} - {*exclusions.not_applicable(facts())})
                 for module in modules)
    print(f"{agreed} tests, the same in the three columns" if not differences
          else f"{len(differences)} differences")
    return 1 if differences else 0


def compare(module, everything):
    """What differs from the stdlib's column, a text a test."""
    stdlib = everything[f"{module}/stdlib"]
    texts = []
    for variant in VARIANTS[1:]:
        outcomes = everything[f"{module}/{variant}"]
        for test in sorted({*stdlib, *outcomes} - {*exclusions.not_applicable(facts())}):
            expected = stdlib.get(test, ["absent", ""])[0]
            found, text = outcomes.get(test, ["absent", ""])
            if found != expected:
                texts.append(f"{test} on {variant}: {expected} -> {found}\n{text[-3000:]}")
    return texts


if __name__ == "__main__":
    sys.exit(main())
