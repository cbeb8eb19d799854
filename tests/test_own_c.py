"""Our own C: no warning of the compiler's, and nothing that its analyser finds.

What Cython writes is not looked at; the headers and programs that people wrote are.
"""

import pathlib
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
