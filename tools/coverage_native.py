"""For tools/coverage: gcc's counters, led back to the lines of .pyx, .pxd and .h files.

Job: `measured()` is what ran of each source file. Plain data, no output.

What is counted, for a .pyx or .pxd:

- A line: one for which Cython generated C; it ran if any of that C did. The line that begins a
  cdef function or a method ran if it was entered; that of a plain `def`, with the module.
- A branch: one way out of a condition that is written in the source: `if`, `elif`, `while`,
  `for` (into the body, past it), `x if c else y`, each operand of `and` and `or`, of which the
  last is the same as the whole, and each case of what Cython makes a C switch. Two ways each,
  and more of a switch. One of `x in (A, B)`, of isinstance(x, (A, B)) and of min(a, b) is none:
  the whole is. What Cython adds by itself is none: is this NULL, did it raise, which except
  clause fits, are there too many arguments, drop the reference.
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
    r"|for \(__pyx_t_\d+ ?=.*\{$"
    r"|switch \((?!__pyx_nargs).*\{$")
#: `for` over what is no list: the end of the iterator.
_LISTED = re.compile(r"if \(likely\(!__pyx_t_\d+\)\) \{$")
_ITERATED = re.compile(r"if \(unlikely\(!__pyx_t_\d+\)\) \{$")

_KEYWORD = re.compile(r"\b(?:if|elif|else|while|for|and|or|in|not)\b")
_PLAIN = re.compile(r"\s*(?:if|elif|for)\b.*:$")
_NO_CONDITION = re.compile(r"(?:except|with|try|def|import|from)\b")
#: A number of `x in (A, B)`, the smaller of min(): parts of one expression.
_COMPARED = re.compile(r"= \(__pyx_t_\d+ (?:[!=]=|[<>]) [\w>.-]+\);$"
                       r"|= \(__Pyx_PyLong_BoolEqObjC\(__pyx_t_")
_INSIDE = re.compile(r" in \(|\b(?:min|max)\(")
#: A type of isinstance(x, (A, B)).
_TYPE = re.compile(r"= (?:__Pyx_)?Py\w+_Check\(|= __Pyx_TypeCheck\(|= PyObject_TypeCheck\(")
_TYPES = re.compile(r"\bisinstance\(\w+, \(")


class File:
    """What ran of one source file: how often each line, and each branch by its condition."""

    def __init__(self):
        self.lines = collections.Counter()
        # {(line, which condition): how often each way}
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


def _is_written(text, before, source):
    """Is this line of C a condition of the source's line, and none that Cython added?"""
    if not _KEYWORD.search(source) or _NO_CONDITION.match(source) or "Py_None" in text:
        return False
    if _COMPARED.search(before) and _INSIDE.search(source) or _TYPE.search(before) and (
            _TYPES.search(source) and not text.startswith("if (__")):
        return False
    if _ITERATED.match(text):
        return "for " in source
    # The likely one: is what is iterated a list?
    return not _LISTED.match(text) and _CONDITION.match(text) is not None


def _name_of(text, before):
    """The same for each copy of a condition."""
    # One `for` may be over a list or another iterable, and has an end for each.
    if _ITERATED.match(text) or text.endswith(" break;"):
        return "end"
    return re.sub(r"\d+", "", before + text)


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
            if number in branches and _is_written(stripped, before if is_code else "", source):
                name = _name_of(stripped, before if is_code else "")
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


def not_understood(files):
    """Lines with a condition of which no branch was found: this Cython writes other C."""
    for path, file in files.items():
        if path.suffix == ".h":
            continue
        text = path.read_text().splitlines()
        known = {line for line, _name in file.branches}
        for line in sorted(file.lines):
            # Of a body that is only `pass`, nothing is generated.
            if (_PLAIN.match(text[line - 1]) and line not in known
                    and text[line].partition("#")[0].strip() != "pass"):
                yield f"{path}:{line}: {text[line - 1].strip()}"
