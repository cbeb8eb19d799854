"""`python -m fastsock bench` and `info`."""

import errno
import os
import re
import sys

import pytest

from fastsock.commands import info
from tests.conftest import FACILITIES, no_fd_free, requires_facility


def test_bench_compares_six_cases(python):
    shown = python("-m", "fastsock", "bench", "--rounds", "3").stdout
    table, bars = shown.split("\n\n")
    header, *rows = table.splitlines()
    assert re.search(r"stdlib +fastsock +C +ratio", header)
    assert len(rows) == 6
    for row in rows:
        stdlib, fastsock, *_, ratio = re.findall(r"[\d,.]+", row[44:])
        found = float(stdlib.replace(",", "")) / float(fastsock.replace(",", ""))
        assert found == pytest.approx(float(ratio), rel=0.03)
    assert len(bars.splitlines()) == 7


def test_bench_without_a_compiler_has_no_floor(python, tmp_path):
    shown = python("-m", "fastsock", "bench", "--rounds", "3",
                   env={"PATH": str(tmp_path)}).stdout
    assert all(len(re.findall(r"[\d,.]+", row[44:])) == 3 for row in shown.splitlines()[1:7])


def test_mistakes_are_said(python):
    result = python("-m", "fastsock", "bench", "--rounds", "1", check=False)
    assert result.returncode == 2
    assert "must be at least 3, not 1" in result.stderr


def test_info_says_what_is_used_and_why_not(python):
    shown = python("-m", "fastsock", "info").stdout
    versions, facilities = shown.split("\n\n")
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in versions
    lines = facilities.splitlines()
    assert len(lines) == 11
    for line in lines:
        assert re.fullmatch(r".{24} (yes|no ) +\S.*", line), line
    assert "fastsock.install() was not called" in facilities


@requires_facility("segmentation")
@requires_facility("busy_poll")
def test_info_of_a_system_that_lacks_or_refuses():
    none = {"segmentation": False, "busy_poll": False}
    assert [found[1] for found in (info.segmentation(none), info.busy_polling(none))] == [
        False, False]
    # Whatever the system says of it; here it has no descriptor left.
    for look in info.segmentation, info.busy_polling:
        with no_fd_free():
            _, is_used, why = look(FACILITIES)
        assert not is_used
        assert why.startswith(f"the kernel refuses it: {os.strerror(errno.EMFILE)}")


@pytest.mark.parametrize("command", ["run", "serve", "bench", "info", "demo"])
def test_each_command_has_help(python, command):
    assert command in python("-m", "fastsock", "--help").stdout
    assert f"fastsock {command}" in python("-m", "fastsock", command, "--help").stdout
