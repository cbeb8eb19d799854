"""Our own C: no warning of the compiler's, and nothing that its analyser finds.

What Cython writes is looked at for one thing only; the headers and programs that people
wrote for all of them.
"""

import pathlib
import re
import shutil
import subprocess
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "fastsock"
FILES = [*sorted(SOURCE.glob("*.h")), ROOT / "fastsock" / "commands" / "floor.c"]
# A table in a header is read by who includes it.
FLAGS = ["-Wall", "-Wextra", "-Wconversion", "-Wno-unused-variable", "-Werror", "-O2"]
INCLUDE = pathlib.Path(sysconfig.get_path("include"))

pytestmark = [
    pytest.mark.skipif(not SOURCE.is_dir(), reason="the sources are not here"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="not installed: gcc"),
    pytest.mark.skipif(not (INCLUDE / "Python.h").exists(), reason="no headers of the interpreter"),
]


def compiled(tmp_path, text, *flags):
    """What gcc says of a C file; empty: nothing."""
    file = tmp_path / "tried.c"
    file.write_text(text)
    shown = subprocess.run(
        ["gcc", "-c", *FLAGS, *flags, "-isystem", INCLUDE, "-I", SOURCE, "-o", tmp_path / "tried.o",
         file], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0 or shown.stderr
    return shown.stderr


def included(path):
    if path.suffix == ".c":
        return path.read_text()
    return f'#define _GNU_SOURCE 1\n#include <Python.h>\n#include "{path.name}"\n'


@pytest.mark.parametrize("flags", [[], ["-DFASTSOCK_PORTABLE"]], ids=["linux", "portable"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_warning(tmp_path, path, flags):
    assert compiled(tmp_path, included(path), *flags) == ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_that_the_analyser_finds(tmp_path, path):
    assert compiled(tmp_path, included(path), "-fanalyzer") == ""


@pytest.mark.parametrize("mistake, flags", [
    ("static inline int cut(long value) { return value; }", []),
    ("static inline int twice(int a) { return a; } int unused(int a, int b) { return a; }", []),
    ("#include <stdlib.h>\nint f(void) { int *p = malloc(4); free(p); return *p; }",
     ["-fanalyzer"])])
def test_a_mistake_would_be_found(tmp_path, mistake, flags):
    assert "error: " in compiled(tmp_path, mistake + "\n", *flags)


GENERATED = ROOT / "build" / "cython" / "src" / "fastsock"
CAUGHT = re.compile(r"__Pyx_GetException\(&(\w+), &(\w+), &(\w+)\)")


def left_too_early(text):
    """Numbers of the lines where an except clause lets a traceback go as if there always were
    one: by return, break or continue. See caught() in _errors.pxd."""
    found = []
    held = set()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("}"):  # the end of a function
            held.clear()
        elif match := CAUGHT.search(line):
            held.difference_update(match.groups())
            held.add(match[3])
        else:
            held -= {name for name in held if re.search(rf"(?<!\w){name} = (?!0;)", line)}
            found += [number for name in held if f"__Pyx_DECREF({name})" in line]
    return found


@pytest.mark.skipif(not GENERATED.is_dir(), reason="built elsewhere: Cython's C is not here")
def test_no_except_clause_is_left_before_its_end():
    files = [GENERATED / f"{path.stem}.c" for path in SOURCE.glob("*.pyx")]
    found = {path.name: left_too_early(path.read_text()) for path in files if path.exists()}
    assert {name: lines for name, lines in found.items() if lines} == {}


def test_one_that_is_left_would_be_found(tmp_path):
    cython = pytest.importorskip("Cython.Compiler.Main")
    texts = {}
    for name, end in ("left", "return 1"), ("ended", "print()"):
        path = tmp_path / f"{name}.pyx"
        path.write_text(f"def f(x):\n    try:\n        x()\n    except OSError as e:\n"
                        f"        print(e)\n        {end}\n")
        cython.compile(str(path), language_level=3)
        texts[name] = path.with_suffix(".c").read_text()
    assert left_too_early(texts["left"]) and not left_too_early(texts["ended"])
