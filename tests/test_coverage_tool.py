"""tools/coverage: is what it says of a compiled file true, and does it notice what has no reason?

Compiles a module with gcc's counters, as tools/coverage does, and runs a part of it.
"""

import importlib
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

TOOLS = pathlib.Path(__file__).parent.parent / "tools"

pytestmark = pytest.mark.skipif(
    not TOOLS.is_dir() or bool(os.environ.get("FASTSOCK_TEST_INSTALLED")),
    reason="tools/coverage measures a checkout, and not what is installed")

SOURCE = '''\
cdef int sign(int number) noexcept nogil:
    if number > 0:
        return 1
    elif number < 0 and number != -7:
        return -1
    return 0

def kind(value):
    if value is None:
        return "none"
    if isinstance(value, (bytes, str)) or value in (3, 4):
        return "some"
    return "other"

def total(values):
    found = 0
    for value in values:
        found += sign(value)
    return found

def never(n):
    while n > 0:
        n -= min(n, 2)
    return n
'''

BUILD = '''
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(script_args=["-q", "build_ext", "--inplace"], ext_modules=cythonize(
    [Extension("fastsock.tried", ["src/fastsock/tried.pyx"], extra_link_args=["--coverage"],
               extra_compile_args=["--coverage", "-O0"])],
    build_dir="build/cython", compiler_directives={"language_level": 3}))
'''


@pytest.fixture
def tool(monkeypatch):
    """A module of tools/, by its name."""
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module


@pytest.fixture
def measured(tool, tmp_path, monkeypatch):
    """What ran of SOURCE, of which a piece of code was run."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools")
    if shutil.which("gcc") is None or shutil.which("gcov") is None:
        pytest.skip("not installed: gcc and gcov")
    (tmp_path / "src" / "fastsock").mkdir(parents=True)
    (tmp_path / "fastsock").mkdir()
    (tmp_path / "fastsock" / "__init__.py").touch()
    (tmp_path / "src" / "fastsock" / "__init__.pxd").touch()
    (tmp_path / "src" / "fastsock" / "tried.pyx").write_text(SOURCE)

    def run(code):
        for program in (BUILD, f"from fastsock.tried import *\n{code}"):
            # Not -P: this folder's fastsock, and not ours.
            subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True,
                           capture_output=True, env={"CC": "gcc", "PATH": "/usr/bin:/bin"})
        monkeypatch.chdir(tmp_path)
        native = tool("coverage_native")
        files = native.measured()
        assert list(native.not_understood(files)) == []
        return files[pathlib.Path("src/fastsock/tried.pyx")]
    return run


def test_lines_and_branches_of_a_compiled_file(measured):
    found = measured("total([1, 0]); total(iter([2])); kind(None); kind(b'')")
    missed = {line for line, count in found.lines.items() if not count}
    # After `elif`, the end of kind(), and never(), whose `def` ran with the module.
    assert missed == {5, 13, 22, 23, 24}
    ways = {}
    for (line, _name), counts in found.branches.items():
        # How many of its ways, of each condition.
        ways.setdefault(line, []).append(len(counts) - counts.count(0))
        assert len(counts) == 2
    assert ways == {
        2: [2],
        4: [1, 1],      # an operand, and the whole
        9: [2],
        11: [1, 1],     # neither each type nor each number
        17: [2],        # a list or not, one loop
        22: [0],        # and min() is no branch
    }


REASONS = '''
[[reason]]
why = "only elsewhere"
"a.py" = ["f: if x:", "f: gone"]
[[reason]]
why = "when another thread is first"
sometimes = true
"a.py" = ["g: pass"]
'''


def test_each_block_needs_a_reason_and_each_reason_a_block(tool):
    report = tool("coverage_report")
    text = ["def f(x):", "    if x:", "        a()", "        b()", "    if not x:", "        c()"]
    file = report.Measured("a.py", [1, 2, 3, 4, 5, 6], {3, 4}, 4, {2: 1, 5: 1})
    first, second = report.blocks_of(file, text)
    assert (first.name, first.lines) == ("f: if x:", [2, 3, 4])
    assert (second.name, second.lines) == ("f: if not x:", [5])
    assert report.judge([first, second], report.read_reasons(REASONS)) == (
        [second], ["a.py: f: gone"])
    assert report.covered([file]) == (4, 6, 2, 4)


def test_a_block_is_named_once(tool):
    with pytest.raises(ValueError, match="named twice: a.py: f: if x:"):
        tool("coverage_report").read_reasons(REASONS + '[[reason]]\nwhy = "too"\n"a.py" = ["f: if x:"]\n')


def test_what_is_not_all_is_not_a_hundred_percent(tool):
    assert tool("coverage_report").percent(9999, 10000) == 99.9
