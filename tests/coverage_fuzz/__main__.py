"""Fuzz the parsers, each target in a process of its own; a table of what was run and covered.

Needs atheris, and an instrumented build: `tools/sanitize fuzz` makes one, and starts this with
the same arguments. What is missing ends it with status 77; a failure with 1, and its input is
printed as a line for corpus/TARGET.txt.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile

from tests.coverage_fuzz import corpus

#: Of a process, with what AddressSanitizer keeps of freed memory.
MOST_MEMORY_MB = 2048
#: In one piece: no peer may have more taken for it than a framing's limit (16 MiB) and then some.
MOST_AT_ONCE_MB = 64
SECONDS_FOR_ONE_INPUT = 20
#: What is fed to it at least, beside what is kept.
FEWEST_RUNS = 100

STATUS = re.compile(r"^#(\d+)\s+(\w+)\s+cov: (\d+) ft: (\d+) corp: (\d+)/", re.MULTILINE)
MODULES = re.compile(r"Loaded (\d+) modules +\((\d+) inline 8-bit counters\)")


def names_of_targets():
    from tests.coverage_fuzz.targets import TARGETS
    return list(TARGETS)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.coverage_fuzz", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all, if none is named")
    parser.add_argument("--seconds", type=float, default=60, metavar="S", help="for all of them")
    parser.add_argument("--seed", type=int, help="a random one if not given")
    parser.add_argument("--json", metavar="FILE",
                        help="write the figures there; a whole path, if tools/sanitize starts it")
    parser.add_argument("--corpus", default=corpus.FOLDER, metavar="FOLDER")
    parser.add_argument("--empty", action="store_true", help="begin without what is kept")
    parser.add_argument("--keep", action="store_true",
                        help="keep what covers more, in as few inputs as cover it: writes the corpus")
    options = parser.parse_args()
    if reason := why_not():
        print(f"NOT RUN: coverage-guided fuzzing: {reason}")
        return 77
    known = names_of_targets()
    if unknown := set(options.targets) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    seed = options.seed if options.seed is not None else secrets.randbelow(1 << 31) + 1
    print(f"seed {seed}", flush=True)
    results = run_all(options.targets or known, seed, options)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(figures(results, seed), indent=1) + "\n")
    return any(result["failed"] for result in results.values())


def why_not():
    """Why nothing can be run here, or None."""
    if importlib.util.find_spec("atheris") is None:
        return "atheris is not installed"
    from fastsock import _framing
    if b"__sanitizer_cov_" not in pathlib.Path(_framing.__file__).read_bytes():
        return "this build is not instrumented: tools/sanitize fuzz makes one and runs it"
    return None


def run_all(names, seed, options):
    from tests.coverage_fuzz.targets import TARGETS
    results = {}
    print(f"{'target':18} {'executions':>11} {'a second':>9} {'edges':>12} {'features':>13} "
          f"{'corpus':>7}")
    for name in names:
        if reason := TARGETS[name].why_not():
            print(f"{name:18} NOT RUN: {reason}", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            result = results[name] = run_one(
                name, TARGETS[name], pathlib.Path(folder), options.seconds / len(names), seed,
                options)
        print(f"{name:18} {result['executions']:11,} {result['executions_per_second']:9,} "
              f"{result['edges_at_start']:5} {result['edges']:6} "
              f"{result['features_at_start']:6} {result['features']:6} "
              f"{result['corpus']:7}{'  FAILED' if result['failed'] else ''}", flush=True)
        if result["failed"]:
            print(result["said"], flush=True)
    counters = {result["counters"] for result in results.values()}
    print(f"of {max(counters, default=0):,} counters in the native modules; edges and features: "
          "at the start, and at the end")
    return results


def run_one(name, target, folder, seconds, seed, options):
    """Fuzz one target for a while: its figures."""
    inputs = folder / "inputs"
    inputs.mkdir()
    if not options.empty:
        corpus.unpack(name, inputs, options.corpus)
    # An empty one is refused.
    (folder / "words").write_text("".join(f'"{quoted(word)}"\n' for word in target.words or [b"\0"]))
    said = fuzzer(name, folder, [
        f"-max_total_time={max(1, round(seconds))}", f"-seed={seed}",
        f"-max_len={target.longest_bytes}", f"-dict={folder / 'words'}", "-reload=0",
        "-len_control=20", f"-artifact_prefix={folder}/failed-", "-print_final_stats=1", inputs])
    states = [list(map(int, (runs, edges, features, kept)))
              for runs, _, edges, features, kept in STATUS.findall(said.stderr)]
    begin, end = (states[0], states[-1]) if states else ([0] * 4, [0] * 4)
    counters = MODULES.search(said.stderr)
    executions = re.search(r"stat::number_of_executed_units: (\d+)", said.stderr)
    executions = int(executions[1]) if executions else end[0]
    rate = re.search(r"stat::average_exec_per_sec: +(\d+)", said.stderr)
    failed = said.returncode != 0 or executions < FEWEST_RUNS
    text = without_frames(said.stdout + said.stderr) if failed else ""
    for path in folder.glob("failed-*"):
        text += f"\nthe input, for corpus/{name}.txt ({path.name}):\n{path.read_bytes().hex()}\n"
    if options.keep and not failed:
        kept = folder / "kept"
        kept.mkdir()
        fuzzer(name, folder, ["-merge=1", f"-max_len={target.longest_bytes}", kept, inputs])
        corpus.write(name, [path.read_bytes() for path in kept.iterdir()], options.corpus)
    return {"executions": executions, "executions_per_second": int(rate[1]) if rate else 0,
            "edges_at_start": begin[1], "edges": end[1], "features_at_start": begin[2],
            "features": end[2], "corpus": end[3], "failed": failed, "said": text,
            "counters": int(counters[2]) if counters else 0}


def fuzzer(name, folder, arguments):
    """Run libFuzzer with these arguments."""
    # When it merges it starts itself again, by a name and nothing else.
    program = folder / "fuzz"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.coverage_fuzz.one_target '
                       f'{name} "$@"\n')
    program.chmod(0o755)
    return subprocess.run(
        [program, f"-rss_limit_mb={MOST_MEMORY_MB}", f"-malloc_limit_mb={MOST_AT_ONCE_MB}",
         f"-timeout={SECONDS_FOR_ONE_INPUT}", "-detect_leaks=0", *map(str, arguments)],
        env={**os.environ, "COVERAGE_FUZZ_PROGRAM": str(program)}, text=True, errors="replace",
        capture_output=True, cwd=pathlib.Path(__file__).parent.parent.parent)


def without_frames(text):
    """What was said, without how the fuzzer got on, and the interpreter's own C functions."""
    lines = [line for line in text.splitlines()
             if not re.match(r" +#\d+ ", line) or "fastsock" in line]
    return "\n".join(line for line in lines
                     if not re.match(r"INFO|#\d+\t|\s+NEW_FUNC|stat::|(=>|  )0x|Shadow byte", line))[-6000:]


def quoted(word):
    return "".join(f"\\x{byte:02x}" for byte in word)


def figures(results, seed):
    """One flat object."""
    found = {"seed": seed, "targets": len(results),
             "counters_in_native_modules": max(
                 (result["counters"] for result in results.values()), default=0),
             "executions": sum(result["executions"] for result in results.values()),
             "failures": sum(result["failed"] for result in results.values())}
    for name, result in results.items():
        for key in ("executions", "executions_per_second", "edges_at_start", "edges",
                    "features_at_start", "features", "corpus"):
            found[f"{name}_{key}"] = result[key]
    return found


if __name__ == "__main__":
    sys.exit(main())
