"""For tools/coverage: gcc's counters, led back to the lines of .pyx, .pxd and .h files.

Job: `measured()` is what ran of each source file. Plain data, no output.

What is counted, for a .pyx or .pxd:

- A line: one for which Cython generated C; it ran if any of that C did. The line of a
  function's name ran if the function was entered.
- A branch: one way out of a condition that is written in the source: `if`, `elif`, `while`,
  `for` (into the body, past it), `x if c else y`, each operand of `and` and `or`, of which the
  last is the same as the whole, and each case of what Cython makes a C switch. Two ways each,
  and more of a switch. What Cython adds by itself is none: is this NULL, did it raise, which
  except clause fits, are there too many arguments, drop the reference.
- Copies are one: an inline function of a .pxd in many modules, a `finally` in many ways out.

For a header: the lines and the branches of C, as gcc counts them, over all modules. What is
behind an #if that is false here is not compiled, and not counted.

The C has Cython's comments, `/* "fastsock/_wait.pyx":123`, in front of each statement.
"""

import collections
import gzip
import json
import pathlib
import re
import subprocess

SOURCE = pathlib.Path("src")

_COMMENT = re.compile(r'\s*/\* "(.*)":(\d+)$')
_VALUE = r"__pyx_(?:t_\d+|v_[\w>.-]+)"
#: A condition that is written in the source, as Cython 3.3 generates it.
_CONDITION = re.compile(
    rf"(?:\}} else )?if \((?:(?:un)?likely\()?!?{_VALUE}(?:->[\w>-]+)*\)?\) \{{$"
    rf"|if \((?:(?:un)?likely\()?!{_VALUE}\)?\) break;$"
    rf"|if \({_VALUE} >= (?:__pyx_temp|\d+)\) break;$"
    rf"|if \(unlikely\({_VALUE} == 0\)\) break;$"
    rf"|for \((?:__pyx_t_\d+|__pyx_temp) ?=.*\{{$"
    r"|switch \((?!__pyx_nargs).*\{$")
#: `for` over what is no list: the end of the iterator.
_ITERATED = re.compile(r"if \(unlikely\(!__pyx_t_\d+\)\) \{$")


class File:
    """What ran of one source file: how often each line, and each branch by its condition."""

    def __init__(self):
        self.lines = collections.Counter()
        # {(line, which condition): [(is the way one in which it holds, how often)]}
        self.branches = {}

    def add_line(self, line, count):
        self.lines[line] += count

    def add_branches(self, line, name, counts):
        known = self.branches.setdefault((line, name), [0] * len(counts))
        # The same condition, generated once with a case less: what is known of each.
        known.extend([0] * (len(counts) - len(known)))
        for at, count in enumerate(counts):
            known[at] += count


def _counted(folder):
    """(a file's name, gcov's lines) of each file that each module was made of."""
    for notes in sorted(folder.rglob("*.gcno")):
        shown = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities",
                                notes], check=True, capture_output=True).stdout
        for found in json.loads(gzip.decompress(shown) if shown[:2] == b"\x1f\x8b" else shown)[
                "files"]:
            yield found["file"], found["lines"]


def _is_written(text, source):
    """Is this line of C a condition of the source's line, and none that Cython added?"""
    if source.startswith(("except", "with ", "try", "def ")) or "Py_None" in text:
        return False
    if _ITERATED.match(text):
        return source.startswith("for ") or " for " in source
    return _CONDITION.match(text) is not None


def _add_generated(path, lines, files):
    """What ran of a module's generated C."""
    text = path.read_text().splitlines()
    counts = collections.defaultdict(int)
    branches = {}
    for line in lines:
        # A line in several functions is one of a macro or of a template; none of ours are.
        counts[line["line_number"]] += line["count"]
        if line["branches"]:
            branches[line["line_number"]] = [branch["count"] for branch in line["branches"]]
    is_counted = {line["line_number"] for line in lines}
    sources = {}
    place = None
    is_comment = is_code = False
    before = ""
    for number, row in enumerate(text, 1):
        if comment := _COMMENT.match(row):
            name = comment[1]
            place = None
            if name.startswith("fastsock/") and (SOURCE / name).exists():
                place = SOURCE / name, int(comment[2])
                sources.setdefault(place[0], place[0].read_text().splitlines())
            is_comment, is_code = True, False
        elif is_comment:
            is_comment = not row.endswith("*/")
        elif row.startswith("}"):
            place, is_code = None, False
        elif place and row.strip():
            file = files[place[0]]
            source = sources[place[0]][place[1] - 1].strip()
            stripped = row.strip()
            if "__Pyx_RefNannyFinishContext" in stripped or "function exit code" in stripped:
                # Ways out of the function, whichever line they are said to belong to.
                place = None
                continue
            if number in is_counted:
                file.add_line(place[1], counts[number])
            if number in branches and _is_written(stripped, source):
                # The same text of another copy: the same condition.
                name = re.sub(r"\d+", "", before if is_code else "") + re.sub(r"\d+", "", stripped)
                file.add_branches(place[1], name, branches[number])
            is_code, before = True, stripped


def _add_header(lines, file):
    for line in lines:
        file.add_line(line["line_number"], line["count"])
        if line["branches"]:
            # A function once in each module: the same branches, in the same order.
            file.add_branches(line["line_number"], line["function_name"],
                              [branch["count"] for branch in line["branches"]])


def measured(folder="build"):
    """{path of a source file: File}, of what was compiled below `folder`."""
    files = collections.defaultdict(File)
    for name, lines in _counted(pathlib.Path(folder)):
        path = pathlib.Path(name)
        header = SOURCE / "fastsock" / path.name
        if path.suffix == ".h" and "include/python" not in name and header.exists():
            _add_header(lines, files[header])
        elif path.suffix == ".c" and path.match("build/cython/src/fastsock/*.c"):
            _add_generated(path, lines, files)
    return dict(sorted(files.items()))
