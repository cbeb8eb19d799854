"""For tools/coverage: the figures of a run, what is uncovered, and whether each has its reason.

    python tools/coverage_report.py [--json FILE] FOLDER

FOLDER is where tools/coverage left what coverage.py and pytest wrote. Prints a row a file and
each uncovered block; exits with 1 if the run was a whole one and does not hold.

A block is what follows one another of the lines that did not run, or of which a branch was
not taken. It is known by its first line: `function: text`. tools/coverage_reasons.toml says
why each is uncovered:

    [[reason]]
    why = "only where malloc(3) fails, which ..."
    "src/fastsock/_wait.pyx" = ["call: if memory == NULL:"]

With `sometimes = true` a block may also be covered: it depends on which thread comes first.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as xml

import coverage_native

REASONS = pathlib.Path("tools/coverage_reasons.toml")
WANTED_PERCENT = 95.0
KINDS = ("python", "native")

_DEFINED = re.compile(r"(\s*)(?:async )?(?:cdef|cpdef|def|class)\b[^=(]*?(\w+)\s*(?:\(|:$)")
_DEFINED_IN_C = re.compile(r"()\w[\w \t*]*?\b(\w+)\s*\([^;]*$")


class Measured:
    """What ran of one source file, of either kind."""

    def __init__(self, path, lines, missing, branches, missing_branches):
        self.path = str(path)
        self.kind = "python" if self.path.endswith(".py") else "native"
        self.lines = lines
        self.missing = missing                      # lines that did not run
        self.branches = branches                    # how many
        self.missing_branches = missing_branches    # {line: how many of its were not taken}


def python_files(folder):
    """What coverage.py knows, of all processes together."""
    data = folder / "python"
    run = [sys.executable, "-m", "coverage"]
    for path in folder.glob("python.*"):
        if path.stat().st_size == 0:  # of a process that was killed as it began
            path.unlink()
    if any(folder.glob("python.*")):
        subprocess.run([*run, "combine", "-q", "--append", f"--data-file={data}", folder],
                       check=True)
    shown = subprocess.run([*run, "json", "-q", f"--data-file={data}", "-o", "-"],
                           check=True, capture_output=True, text=True).stdout
    for path, found in sorted(json.loads(shown)["files"].items()):
        if not path.startswith("fastsock/"):
            continue  # the stdlib's own source, which functions.py runs
        missing = {}
        for line, _to in found["missing_branches"]:
            missing[line] = missing.get(line, 0) + 1
        yield Measured(path, sorted(found["executed_lines"] + found["missing_lines"]),
                       set(found["missing_lines"]), found["summary"]["num_branches"], missing)


def native_files(found_files):
    for path, found in found_files.items():
        missing = {}
        for (line, _name), counts in found.branches.items():
            if not all(counts):
                missing[line] = missing.get(line, 0) + counts.count(0)
        yield Measured(path, sorted(found.lines),
                       {line for line, count in found.lines.items() if not count},
                       sum(map(len, found.branches.values())), missing)


def function_of(text, line):
    """The name of the innermost function or class around a line, "" for none."""
    row = text[line - 1]
    limit = len(row) - len(row.lstrip()) if row.strip() else 1000
    for above in reversed(text[:line]):
        # A definition names itself.
        found = _DEFINED.match(above)
        if found and (above is row or len(found[1]) < limit):
            return found[2]
    return ""


def c_function_of(text, line):
    for above in reversed(text[:line]):
        if found := _DEFINED_IN_C.match(above):
            return found[2]
    return ""


class Block:
    """Lines that follow one another and are not, or not wholly, covered."""

    def __init__(self, file, first, text):
        self.file = file
        self.lines = [first]
        find = c_function_of if file.path.endswith(".h") else function_of
        self.name = f"{find(text, first)}: {text[first - 1].strip()}"

    def __str__(self):
        first, last = self.lines[0], self.lines[-1]
        place = f"{self.file.path}:{first}" + (f"-{last}" if last != first else "")
        ran = "" if first in self.file.missing else "  (a branch)"
        return f"{place}  {self.name}{ran}"


def blocks_of(file, text):
    """The uncovered blocks of a file, from above."""
    found = []
    is_open = False
    for line in file.lines:
        if line not in file.missing and line not in file.missing_branches:
            is_open = False
        elif is_open and line in file.missing:
            found[-1].lines.append(line)
        else:
            found.append(Block(file, line, text))
            is_open = True
    return found


def read_reasons(text):
    """{(path, name of a block): (why, may it be covered)}; ValueError for one named twice."""
    found = {}
    for reason in tomllib.loads(text)["reason"]:
        for path, names in reason.items():
            if path in ("why", "sometimes"):
                continue
            for name in names:
                if (path, name) in found:
                    raise ValueError(f"named twice: {path}: {name}")
                found[path, name] = reason["why"], reason.get("sometimes", False)
    return found


def judge(blocks, reasons):
    """(blocks without a reason, reasons without a block)."""
    names = {(block.file.path, block.name) for block in blocks}
    unnamed = [block for block in blocks if (block.file.path, block.name) not in reasons]
    idle = [f"{path}: {name}" for (path, name), (_why, sometimes) in reasons.items()
            if not sometimes and (path, name) not in names]
    return unnamed, idle


def percent(part, whole):
    """Rounded down: what is not all is not 100.0."""
    return 100.0 if part == whole else int(1000 * part / whole) / 10


def covered(files):
    """(lines that ran, lines, branches that were taken, branches)."""
    lines = sum(len(file.lines) for file in files)
    branches = sum(file.branches for file in files)
    return (lines - sum(len(file.missing) for file in files), lines,
            branches - sum(sum(file.missing_branches.values()) for file in files), branches)


def tests_and_seconds(path):
    suite = xml.parse(path).getroot().find("testsuite")  # noqa: S314, pytest wrote it
    return int(suite.get("tests")) - int(suite.get("skipped")), float(suite.get("time"))


def main():
    parser = argparse.ArgumentParser(prog="tools/coverage")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()

    native = coverage_native.measured()
    strange = list(coverage_native.not_understood(native))
    files = [*python_files(arguments.folder), *native_files(native)]
    blocks = [block for file in files
              for block in blocks_of(file, pathlib.Path(file.path).read_text().splitlines())]
    reasons = read_reasons(REASONS.read_text())
    unnamed, idle = judge(blocks, reasons)

    print(f"{'':36}{'lines':>13}{'branches':>20}")
    figures = {}
    for kind in KINDS:
        chosen = [file for file in files if file.kind == kind]
        for name, part in [*((file.path, [file]) for file in chosen), (f"all {kind}", chosen)]:
            ran, lines, taken, branches = covered(part)
            print(f"{name:36}{ran:6}/{lines:<6}{percent(ran, lines):6.1f} %"
                  f"{taken:6}/{branches:<6}{percent(taken, branches):6.1f} %")
        figures[f"{kind}_lines_percent"] = percent(ran, lines)
        figures[f"{kind}_branches_percent"] = percent(taken, branches)
        figures[f"{kind}_lines"], figures[f"{kind}_branches"] = lines, branches
    for (path, name), (why, _sometimes) in sorted(reasons.items(), key=lambda item: item[1][0]):
        for block in blocks:
            if (block.file.path, block.name) == (path, name):
                print(f"{block}\n    {why}")
    for block in unnamed:
        print(f"NO REASON  {block}")
    tests, seconds = tests_and_seconds(arguments.folder / "junit.xml")
    figures |= {"lines_uncovered": sum(len(file.missing) for file in files),
                "branches_uncovered": sum(sum(file.missing_branches.values()) for file in files),
                "blocks_uncovered": len(blocks), "blocks_with_reason": len(blocks) - len(unnamed),
                "tests": tests, "seconds": round(seconds)}
    print(*(f"{name}: {figure}" for name, figure in figures.items()), sep="\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")

    status = int((arguments.folder / "status").read_text())
    if not (arguments.folder / "is_whole").exists():
        print("a part of the suite: not judged")
        return status
    for place in strange:
        print(f"NO BRANCH FOUND in what Cython makes of {place}")
    for name in idle:
        print(f"COVERED, or not there: {name}")
    low = [name for name, figure in figures.items()
           if name.endswith("_percent") and figure < WANTED_PERCENT]
    for name in low:
        print(f"BELOW {WANTED_PERCENT} %: {name}")
    return status or bool(unnamed or idle or low or strange)


if __name__ == "__main__":
    sys.exit(main())
