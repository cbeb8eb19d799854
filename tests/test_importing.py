"""Importing fastsock calls nothing that a program may have replaced before.

Each environment is a process of its own, which ends by itself if an import hangs.
"""

import pkgutil
import subprocess
import sys

import pytest

import fastsock
from tests.conftest import TIMEOUT_S

#: Each of ours, but for programs: importing `__main__` runs the command.
MODULES = sorted(
    name for _, name, _ in pkgutil.walk_packages(fastsock.__path__, "fastsock.")
    if not name.endswith("__main__"))

IMPORTING = """
import faulthandler, importlib, sys
faulthandler.dump_traceback_later({seconds}, exit=True)  # a hang would show nothing
{setup}
for name in {modules}:
    importlib.import_module(name)
import fastsock
a, b = fastsock.socketpair()
with a, b:
    a.send(b"x")
    assert b.recv(1) == b"x"
print("imported")
"""


def imported(python, setup, modules=MODULES):
    shown = python(code=IMPORTING.format(seconds=2 * TIMEOUT_S, setup=setup, modules=modules))
    assert shown.stdout == "imported\n", shown.stderr


def green(name):
    """Skip where a library is missing; this process must not import what may patch it."""
    probe = subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", f"import {name}"],
                           capture_output=True, timeout=60)
    if probe.returncode:
        pytest.skip(f"not installed: {name}")


GEVENT = ["all", "time", "socket", "select", "thread", "os", "signal", "subprocess", "ssl", "dns",
          "queue", "builtins"]
EVENTLET = ["", "time=True", "socket=True", "select=True", "thread=True", "os=True",
            "subprocess=True", "time=False", "socket=False"]


@pytest.mark.parametrize("part", GEVENT)
def test_under_gevent(python, part):
    green("gevent")
    imported(python, f"import gevent.monkey\ngevent.monkey.patch_{part}()")


@pytest.mark.parametrize("options", EVENTLET)
def test_under_eventlet(python, options):
    green("eventlet")
    imported(python, f"import warnings\nwarnings.simplefilter('ignore')\n"
                     f"import eventlet\neventlet.monkey_patch({options})")


@pytest.mark.parametrize("options", ["", ", tick=True", ", auto_tick_seconds=1"])
def test_under_freezegun(python, options):
    pytest.importorskip("freezegun")
    imported(python, f"import freezegun\nfreezegun.freeze_time('2020-01-01'{options}).start()")


@pytest.mark.parametrize("sleep", ["threading.Event().wait()", "1 / 0"])
def test_where_time_sleep_is_replaced(python, sleep):
    imported(python, "import threading, time, unittest.mock\n"
                     "unittest.mock.patch('time.sleep', lambda seconds: "
                     f"{sleep}).start()")


def test_where_each_function_is_replaced(python):
    """Whatever a program may have put in their place is not called."""
    ours = f"import importlib\nfor name in {MODULES}: importlib.import_module(name)"
    stdlibs = python(code=f"{ours}\nimport sys\nprint(*[name for name in sys.modules "
                          "if name.split('.')[0] not in ('fastsock', '__main__')])")
    imported(python, f"""
for name in {stdlibs.stdout.split()!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # made by another module
import os, select, selectors, socket, threading, time
def refuse(*arguments, **keywords):
    # Reading the modules' files calls some of them, by importlib.
    if sys._getframe(1).f_globals.get("__name__", "").startswith("fastsock"):
        raise AssertionError("an import calls what was replaced")
replaced = []
for module in os, select, socket, threading, time:
    for name, value in vars(module).items():
        if callable(value) and not isinstance(value, type) and name not in (
                "fspath", "fsdecode", "fsencode", "get_ident", "_get_exports_list", "__getattr__"):
            replaced.append((module, name, value))
for name in "Lock", "RLock", "Event", "Condition", "Thread", "Semaphore", "local":
    replaced.append((threading, name, getattr(threading, name)))
for module, name, value in replaced:
    setattr(module, name, refuse)
for name in {MODULES}:
    importlib.import_module(name)
for module, name, value in replaced:
    setattr(module, name, value)
""")
