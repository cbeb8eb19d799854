"""run.py KIND WORK JSON PYTEST-ARGUMENTS...: the second half of tools/sanitize.

Job: make the faults of canary.c, which must be reported; run pytest; count what it and the
tools say, print the reports, and the one line at the end. The exit status is 1 if a test
failed, nothing ran, or anything was reported.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree

#: A report begins with it. Others' warnings are not reports: a malloc() that returned NULL.
BEGINS = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer: |runtime error: ")
SANITIZERS = {"address": "address,undefined", "thread": "thread"}
FAULTS = {
    "address": {"overrun": "heap-buffer-overflow", "from_null": "null pointer passed"},
    "thread": {"race": "data race"},
    "valgrind": {"overrun": "InvalidRead", "lose": "Leak_DefinitelyLost"},
}
OF_OURS = re.compile(r"/fastsock/[^/]+\.so$|/canary\.so$")
OF_LIBC = re.compile(r"/(libc\.so|libc-|vgpreload_)[^/]*$")
MOST_SHOWN = 20


def text_of(error):
    """A report of valgrind's in a few lines."""
    what = error.findtext("what") or error.findtext("xwhat/text")
    lines = [f"{error.findtext('kind')}: {what}"]
    for frame in error.findall("stack/frame"):
        place = f"{frame.findtext('file') or frame.findtext('obj')}:{frame.findtext('line') or ''}"
        lines.append(f"    {frame.findtext('fn') or '?'} ({place})")
    return "\n".join(lines)


def is_ours(error):
    """Is it a fault of our modules? An undefined value, if it is they who used it, and it is
    not of an int of the interpreter's, see valgrind.supp. All else, if they had a part in it:
    whoever gives a wrong size to memcpy() is above it."""
    first, *origins = error.findall("stack")
    frames = [(frame.findtext("obj") or "") for frame in first.findall("frame")]
    if error.findtext("kind") in ("UninitCondition", "UninitValue"):
        if any(name.text == "_PyLong_New" for each in origins for name in each.iterfind("frame/fn")):
            return False
        frames = [obj for obj in frames if not OF_LIBC.search(obj)][:1]
    return any(map(OF_OURS.search, frames))


def valgrinds(path):
    """(reports of faults of ours, how many others) of a process."""
    text = path.read_text(errors="replace")
    if "</valgrindoutput>" not in text:  # it was killed, or replaced itself by another program
        text = re.sub(r"<error>(?!.*</error>).*", "", text, flags=re.DOTALL) + "</valgrindoutput>"
    ours, others = [], 0
    for error in xml.etree.ElementTree.fromstring(text).iter("error"):  # noqa: S314 -- our own
        if is_ours(error):
            ours.append(text_of(error))
        else:
            others += 1
    return ours, others


def reports_of(folder):
    """(all reports, texts, how many of valgrind's are not of faults of ours)"""
    found, others = [], 0
    for path in sorted(folder.iterdir()):
        if path.suffix == ".xml":
            if path.stat().st_size:
                ours, more = valgrinds(path)
                found += ours
                others += more
            continue
        text = path.read_text(errors="replace")
        starts = [match.start() for match in BEGINS.finditer(text)]
        found += [text[start:end] for start, end in zip(starts, [*starts[1:], None])]
    return found, others


def see_faults(kind, work, python):
    """Each fault of canary.c is reported, or this ends the program."""
    library = work / "canary.so"
    flags = [f"-fsanitize={SANITIZERS[kind]}"] if kind in SANITIZERS else []
    subprocess.run(["gcc", "-g", "-O1", "-fno-builtin", "-fPIC", "-shared", "-pthread",
                    "-fno-sanitize-recover=undefined", *flags,
                    "-o", library, pathlib.Path(__file__).parent / "canary.c"], check=True)
    for name, expected in FAULTS[kind].items():
        subprocess.run(
            [python, "-c", "import ctypes, sys\n"
             "function = getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])\n"
             "function(None if sys.argv[2] == 'from_null' else 10)", library, name],
            capture_output=True)
        found, _ = reports_of(work / "reports")
        if not any(expected in text for text in found):
            sys.exit(f"the tool does not see what it should: {name}")
        for path in (work / "reports").iterdir():
            path.unlink()


def counts_of(path):
    counts = collections.Counter()
    if path.exists():
        found = xml.etree.ElementTree.parse(path)  # noqa: S314 -- our own
        for suite in found.getroot().iter("testsuite"):
            for name in "tests", "failures", "errors", "skipped":
                counts[name] += int(suite.get(name))
    counts["failed"] = counts["failures"] + counts["errors"]
    counts["passed"] = max(0, counts["tests"] - counts["failed"] - counts["skipped"])
    return counts


def main():
    kind, work, json_path, *arguments = sys.argv[1:]
    work = pathlib.Path(work)
    python = os.environ["FASTSOCK_SANITIZED_PYTHON"]
    results = work / "results.xml"
    results.unlink(missing_ok=True)
    see_faults(kind, work, python)
    began = time.monotonic()
    status = subprocess.run(
        [python, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tools.sanitizers.left_out",
         "-rs", f"--junitxml={results}", *arguments]).returncode
    took_s = time.monotonic() - began
    counts = counts_of(results)
    found, others = reports_of(work / "reports")
    for text in found[:MOST_SHOWN]:
        print(f"\nREPORT\n{text.rstrip()}")
    figures = {"kind": kind, "tests_passed": counts["passed"], "tests_failed": counts["failed"],
               "tests_skipped": counts["skipped"], "reports": len(found),
               "seconds": round(took_s)}
    if kind == "valgrind":
        figures["reports_of_the_interpreter"] = others
    if json_path:
        pathlib.Path(json_path).write_text(json.dumps(figures, indent=2) + "\n")
    print("tools/sanitize " + ", ".join(
        f"{name.replace('_', ' ')}: {value}" for name, value in figures.items()))
    return 1 if status or found or counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
