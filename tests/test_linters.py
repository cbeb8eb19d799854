"""The linters find nothing: ruff's security rules, and cython-lint. pyproject.toml has their
settings, with a reason for each exception.
"""

import os
import pathlib
import shutil
import subprocess
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE = ["fastsock", "src", "tools", "setup.py", "tests", "benchmarks", "examples"]
SCRIPTS = sysconfig.get_path("scripts")
PATH = os.pathsep.join([SCRIPTS, os.environ.get("PATH", "")])

pytestmark = pytest.mark.skipif(
    not (ROOT / "src" / "fastsock").is_dir(), reason="no source tree beside the tests")


def linted(program, *arguments, folder=ROOT):
    """(exit status, what was said); skips where the linter is not installed."""
    found = shutil.which(program, path=PATH)
    if found is None:
        pytest.skip(f"not installed: {program}")
    # cython-lint looks for pycodestyle where programs are.
    shown = subprocess.run([found, *map(str, arguments)], cwd=folder, text=True, timeout=120,
                           capture_output=True, env={**os.environ, "PATH": PATH})
    return shown.returncode, shown.stdout + shown.stderr


def ruff(*arguments, **keywords):
    return linted("ruff", "check", "--no-cache", "--quiet", *arguments, **keywords)


def test_no_security_rule_is_broken():
    assert ruff(*CODE) == (0, "")


def test_nothing_that_cython_lint_finds():
    assert linted("cython-lint", "src", "fastsock") == (0, "")


@pytest.mark.parametrize("code, rule", [
    ("import subprocess\nsubprocess.run('ls', shell=True)\n", "S60"),
    ("import ssl\nssl._create_unverified_context()\n", "S323"),
    ("assert input()\n", "S101"), ("eval(input())\n", "S307")])
def test_a_broken_rule_would_be_found(tmp_path, code, rule):
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "fastsock").mkdir()
    (tmp_path / "fastsock" / "tried.py").write_text(code)
    status, said = ruff("fastsock", folder=tmp_path)
    assert status == 1 and rule in said, said


@pytest.mark.parametrize("code, complaint", [
    ("from libc.string cimport memcpy\n", "imported but unused"),
    ("cdef f():\n    x = 1\n", "defined but unused")])
def test_a_mistake_in_cython_would_be_found(tmp_path, code, complaint):
    (tmp_path / "tried.pyx").write_text(code)
    status, said = linted("cython-lint", "tried.pyx", folder=tmp_path)
    assert status == 1 and complaint in said, said
