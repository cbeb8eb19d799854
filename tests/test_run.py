"""`python -m fastsock run`: a program can't tell it from plain `python`.

Each program runs both ways; status, output and complaints must be the same.
"""

import json
import os
import re
import signal
import subprocess
import sys
import zipapp

import pytest

from tests.conftest import TIMEOUT_S

LAUNCHER = ["-m", "fastsock", "run"]


class Runner:
    """Runs a command line by plain python and by `fastsock run`, in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, **files):
        """Modules by name: app="..." writes app.py."""
        for name, text in files.items():
            self.file(f"{name}.py", text)

    def file(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def run(self, *arguments, flags=(), env=None, **keywords):
        environment = {name: value for name, value in os.environ.items()
                       if name not in ("PYTHONPATH", "PYTHONSAFEPATH", "FASTSOCK_DISABLE")}
        return subprocess.run(
            [sys.executable, *flags, *map(str, arguments)], cwd=self.folder, text=True,
            env={**environment, **(env or {})}, capture_output=True,
            timeout=3 * TIMEOUT_S, **({"input": ""} | keywords))

    def both(self, *arguments, **keywords):
        """The result of `fastsock run`, after comparing it with plain python's."""
        plain = self.run(*arguments, **keywords)
        flags = keywords.pop("flags", ())
        ours = self.run(*LAUNCHER, *arguments, flags=flags, **keywords)
        assert comparable(ours.stderr) == comparable(plain.stderr)
        assert comparable(ours.stdout) == comparable(plain.stdout)
        assert ours.returncode == plain.returncode
        return ours


def comparable(text):
    """Without addresses, and how deep a recursion came: ours starts some frames deeper."""
    text = re.sub(r"0x[0-9a-f]{6,}", "0x...", text)
    return re.sub(r"repeated \d+ more times", "repeated", text)


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


# -- what the program sees of itself ---------------------------------------------

PROBE = '''"""The docstring."""
import sys
main = sys.modules["__main__"]
names = sorted(name for name in vars(main) if name not in ("sys", "main"))
print("names", names)
for name in ("__name__", "__doc__", "__file__", "__package__", "__cached__"):
    print(name, repr(globals().get(name, "missing")))
print("same", vars(main) is globals())
print("spec", __spec__ and (__spec__.name, __spec__.origin, __spec__.parent))
print("loader", type(__loader__).__name__, getattr(__loader__, "name", None),
      getattr(__loader__, "path", None))
print("builtins", type(__builtins__).__name__, __builtins__ is sys.modules["builtins"])
print("argv", sys.argv)
print("path", sys.path)
print("flags", sys.flags)
print("error", sys.exc_info(), sys.excepthook is sys.__excepthook__)
print("main is", type(main).__name__, repr(main))
'''


@pytest.mark.parametrize("flags", [(), ("-P",), ("-I",), ("-O",)], ids=str)
@pytest.mark.parametrize("target", [
    ["app.py"], ["./app.py"], ["sub/app.py"], ["sub/../app.py"], ["link.py"], ["FOLDER/app.py"],
    ["no_suffix"], ["sub"], ["sub/"], ["archive.zip"], ["-m", "app"], ["-m", "sub"],
    ["-m", "sub.app"]], ids=" ".join)
def test_the_program_sees_the_same(runner, target, flags):
    if target[0] == "-m" and flags in (("-P",), ("-I",)):
        pytest.skip("the module is in the current folder, which is not searched then")
    runner.write(app=PROBE)
    for name in ("sub/__main__.py", "sub/app.py", "no_suffix"):
        runner.file(name, PROBE)
    runner.file("sub/__init__.py", "")
    (runner.folder / "link.py").symlink_to(runner.folder / "sub" / "app.py")
    zipapp.create_archive(runner.folder / "sub", runner.folder / "archive.zip")
    target = [part.replace("FOLDER", str(runner.folder)) for part in target]
    shown = runner.both(*target, "an argument", "-h", "--", "-m", flags=flags).stdout
    assert "'an argument', '-h', '--', '-m']" in shown


def test_a_module_that_is_not_searched_for_in_the_current_folder(runner):
    runner.file("elsewhere/app.py", PROBE)
    runner.write(app="print('the wrong one')")
    shown = runner.both("-m", "app", flags=("-P",),
                        env={"PYTHONPATH": str(runner.folder / "elsewhere")}).stdout
    assert "name __name__" not in shown and "wrong" not in shown and "elsewhere" in shown


def test_options_of_the_program_are_its_own(runner):
    runner.write(app="import argparse\nargparse.ArgumentParser(prog='app').parse_args()")
    assert "usage: app" in runner.both("app.py", "--help").stdout
    assert runner.both("app.py", "--no-such-option").returncode == 2


def test_standard_input(runner):
    runner.write(app="import sys\nprint(input()[::-1], sys.stdin.read())")
    assert runner.both("app.py", input="line\nrest").stdout == "enil rest\n"


@pytest.mark.parametrize("source, shown", [
    (b"# -*- coding: latin-1 -*-\nprint(ascii('\xe4'))", r"'\xe4'"),
    (b"\xef\xbb\xbfprint(ascii('\xc3\xa4'))", r"'\xe4'"),
    (b"print(1)\r\nprint(2)\r\n", "1\n2"),
    (b"from __future__ import annotations\nx: undefined\nprint(__annotations__)",
     "{'x': 'undefined'}"),
    (b"x: undefined_name = 1\n", ""),  # no future import of ours is inherited
    (b"", "")], ids=["latin-1", "BOM", "CRLF", "future", "no future", "empty"])
def test_source_files(runner, source, shown):
    runner.file("app.py", source)
    assert runner.both("app.py").stdout.strip() == shown


def test_compiled_file(runner):
    runner.write(app=PROBE)
    runner.run("-c", "import py_compile; py_compile.compile('app.py', cfile='app.pyc')")
    assert "argv" in runner.both("app.pyc").stdout


def test_zip_file_behind_a_shebang(runner):
    runner.file("sub/__main__.py", PROBE)
    zipapp.create_archive(runner.folder / "sub", runner.folder / "app.pyz", sys.executable)
    assert "argv" in runner.both("app.pyz").stdout


def test_folder_and_its_modules(runner):
    runner.file("sub/__main__.py", "import helper\nprint(helper.value)")
    runner.file("sub/helper.py", "value = 'found'")
    zipapp.create_archive(runner.folder / "sub", runner.folder / "archive.zip")
    for target in ("sub", "archive.zip"):
        for flags in ((), ("-P",)):
            assert runner.both(target, flags=flags).stdout == "found\n"


def test_modules_beside_the_script(runner):
    runner.file("sub/app.py", "import helper\nprint(helper.value)")
    runner.file("sub/helper.py", "value = 'found'")
    assert runner.both("sub/app.py").stdout == "found\n"
    assert "ModuleNotFoundError" in runner.both("sub/app.py", flags=("-P",)).stderr


def test_relative_imports_of_a_module(runner):
    for name, text in {
            "package/__init__.py": "print('package', __name__)",
            "package/__main__.py": "from . import helper\nfrom .inner import deep",
            "package/helper.py": "print('helper', __name__)",
            "package/inner/__init__.py": "",
            "package/inner/deep.py": "from .. import helper\nprint(__name__, __package__)"
    }.items():
        runner.file(name, text)
    assert "helper package.helper" in runner.both("-m", "package").stdout
    assert "__main__ package.inner" in runner.both("-m", "package.inner.deep").stdout


def test_pickles_of_main(runner):
    runner.write(app="""
import pickle, inspect
class Own:
    def method(self):
        return "source is found"
text = pickle.dumps(Own())
print(text)
assert type(pickle.loads(text)) is Own
print(inspect.getsource(Own.method))
import __main__
assert __main__.Own is Own
""")
    assert "source is found" in runner.both("app.py").stdout
    runner.both("-m", "app")


@pytest.mark.parametrize("target", [["app.py"], ["-m", "app"]], ids=" ".join)
def test_spawned_processes_find_main(runner, target):
    runner.write(app="""
import multiprocessing, sys
print("imported as", __name__, flush=True)
def double(number):
    return 2 * number
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(double, range(5)), sys.argv[1:])
        pool.close()
        pool.join()
""")
    assert "[0, 2, 4, 6, 8] ['x']" in runner.both(*target, "x").stdout


# -- how it ends -----------------------------------------------------------------


@pytest.mark.parametrize("target", [["app.py"], ["-m", "app"], ["sub"]], ids=" ".join)
@pytest.mark.parametrize("code, status", [
    ("pass", 0), ("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(7)", 7),
    ("sys.exit(-1)", 255), ("sys.exit(True)", 1), ("sys.exit('text')", 1),
    ("sys.exit((1, 2))", 1), ("raise SystemExit(3)", 3), ("raise SystemExit", 0),
    ("sys.exit(300)", 44), ("os._exit(5)", 5), ("os.abort()", -signal.SIGABRT),
    ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM), ("1 / 0", 1)])
def test_exit_status(runner, target, code, status):
    runner.write(app=f"import os, signal, sys\n{code}\n")
    runner.file("sub/__main__.py", f"import os, signal, sys\n{code}\n")
    assert runner.both(*target).returncode == status


FAILURES = {
    "in functions": "def f(): g()\ndef g(): return {}['key']\nf()",
    "one line": "1 / 0",
    "chained": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise OSError('x') from e",
    "in the handling": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    undefined",
    "from None": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise OSError from None",
    "group": "raise ExceptionGroup('all', [ValueError(1), TypeError(2)])",
    "note": "e = ValueError(1)\ne.add_note('a note')\nraise e",
    "recursion": "def f(): f()\nimport sys\nsys.setrecursionlimit(200)\nf()",
    "import": "import no_such_module",
    "in an imported module": "import helper",
    "in exec": "exec('1 / 0')",
    "traceback taken off": "e = ValueError(1)\nraise e.with_traceback(None)",
    "generator": "list(1 / n for n in [0])",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', -1))",
    "syntax": "x = = 1",
    "indentation": "if True:\nx = 1",
    "tabs": "if True:\n        x = 1\n\ty = 2",
    "unclosed": "x = (1,\ny = 2",
    "return": "return 1",
    "BaseException": "class Own(BaseException): pass\nraise Own('x')",
    "GeneratorExit": "raise GeneratorExit",
    "StopIteration": "next(iter([]))",
}


@pytest.mark.parametrize("target", [["app.py"], ["-m", "app"], ["sub"]], ids=" ".join)
@pytest.mark.parametrize("failure", FAILURES)
def test_uncaught_exception(runner, failure, target):
    runner.write(app=FAILURES[failure], helper="def f():\n    1 / 0\nf()\n")
    runner.file("sub/__main__.py", FAILURES[failure])
    if failure == "socket":  # frames of the socket module are there in both
        runner.both(*target)
        return
    result = runner.both(*target)
    assert result.returncode == 1
    assert "fastsock" not in result.stderr.replace(str(runner.folder), "")


@pytest.mark.parametrize(
    "source", [b"# -*- coding: no-such-encoding -*-\n", b"x = 1\0", b"x = '\xff'\n"])
def test_source_that_is_no_text(runner, source):
    """A documented difference: the wording, since the interpreter compiles from the file."""
    runner.file("app.py", source)
    for result in (runner.run("app.py"), runner.run(*LAUNCHER, "app.py")):
        assert result.returncode == 1
        assert "Error: " in result.stderr and "fastsock" not in result.stderr.replace(
            str(runner.folder), "")


@pytest.mark.parametrize("target", [["app.py"], ["-m", "app"]], ids=" ".join)
def test_keyboard_interrupt(runner, target):
    runner.write(app="""
import atexit, os, signal, threading
atexit.register(print, "exit function")
def wait():
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait()
wait()
""")
    result = runner.both(*target)
    assert result.returncode == -signal.SIGINT
    assert result.stdout == "exit function\n"
    assert result.stderr.endswith("KeyboardInterrupt\n") and "in wait" in result.stderr


def test_excepthook_of_the_program(runner):
    runner.write(app="""
import sys, traceback
def hook(kind, error, trace):
    print(kind.__name__, error, error.__traceback__ is trace)
    for frame in traceback.extract_tb(trace):
        print(frame.name, frame.lineno)
sys.excepthook = hook
def f():
    raise ValueError("shown")
f()
""")
    assert runner.both("app.py").stdout == (
        "ValueError shown True\n<module> 10\nf 9\n")


def test_excepthook_that_fails(runner):
    runner.write(app="import sys\nsys.excepthook = lambda *_: undefined\n1 / 0\n")
    assert "undefined" in runner.both("app.py").stderr


def test_excepthook_that_exits(runner):
    runner.write(app="""
import sys
def hook(*_):
    print("hook")
    raise SystemExit(5)
sys.excepthook = hook
1 / 0
""")
    result = runner.both("app.py")
    assert (result.stdout, result.returncode) == ("hook\n", 5)


def test_last_exception_is_kept_for_exit_functions(runner):
    runner.write(app="""
import atexit, sys, traceback
def show():
    print(sys.last_type.__name__, sys.last_value)
    print([frame.name for frame in traceback.extract_tb(sys.last_traceback)])
    print([frame.name for frame in traceback.extract_tb(sys.last_value.__traceback__)])
atexit.register(show)
1 / 0
""")
    assert "['<module>']" in runner.both("app.py").stdout


def test_exit_functions_and_threads(runner):
    runner.write(app="""
import atexit, threading
class Last:
    def __del__(self):
        print("deleted")
kept = Last()
atexit.register(print, "registered first")
atexit.register(print, "registered last")
main_ended = threading.Event()
def work():
    threading.main_thread().join()
    print("thread")
threading.Thread(target=work).start()
print("end of main")
""")
    assert runner.both("app.py").stdout.splitlines() == [
        "end of main", "thread", "registered last", "registered first", "deleted"]


def test_exception_in_a_thread(runner):
    runner.write(app="""
import threading
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
""")
    assert "Exception in thread worker" in runner.both("app.py").stderr


@pytest.mark.parametrize("target, status", [
    (["missing.py"], 2), (["missing/app.py"], 2), (["-m", "missing"], 1),
    (["-m", "missing.module"], 1), (["empty"], 1), (["-m", "package"], 1),
    (["secret.py"], 2)], ids=lambda value: " ".join(value) if type(value) is list else None)
def test_nothing_to_run(runner, target, status):
    (runner.folder / "empty").mkdir()
    runner.file("package/__init__.py", "")
    if target == ["secret.py"]:
        if os.getuid() == 0:
            pytest.skip("root may read every file")
        runner.file("secret.py", "").chmod(0)
    assert runner.both(*target).returncode == status


# -- the sockets, and what else is imported ----------------------------------------

WHICH = "import socket\nprint(socket.socket.__module__)"


@pytest.mark.parametrize("target", [["app.py"], ["-m", "app"], ["sub"]], ids=" ".join)
def test_the_sockets_are_ours(runner, target):
    runner.write(app=WHICH)
    runner.file("sub/__main__.py", WHICH)
    assert runner.run(*LAUNCHER, *target).stdout == "fastsock\n"
    off = runner.run(*LAUNCHER, *target, env={"FASTSOCK_DISABLE": "1"})
    assert (off.stdout, off.stderr) == ("socket\n", "")


@pytest.mark.parametrize("target", [["app.py"], ["-m", "app"]], ids=" ".join)
def test_little_more_is_imported(runner, target):
    """Beyond plain python: fastsock, and what `python -m`, socket and selectors need."""
    show = "import sys\nmodules = sorted(sys.modules)\n"
    print_them = "import json\nprint(json.dumps(modules))\n"
    runner.write(app=show + print_them, needed="import selectors, socket\n" + show + print_them)
    needed = set(json.loads(runner.run("-m", "needed").stdout))
    plain = set(json.loads(runner.run(*target).stdout))
    ours = set(json.loads(runner.run(*LAUNCHER, *target).stdout))
    assert plain <= ours
    needed |= {"cython_runtime"}  # which Cython's modules put there
    assert {name for name in ours - plain - needed if name.split(".")[0] != "fastsock"} == set()


# -- the command line itself ---------------------------------------------------------


@pytest.mark.parametrize("arguments", [["run"], ["run", "-m"], ["run", "--no-such"], []])
def test_mistakes_show_the_usage(python, arguments):
    result = python("-m", "fastsock", *arguments, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: python -m fastsock")


@pytest.mark.parametrize("arguments, named", [
    (["--help"], ["run SCRIPT", "run -m MODULE", "demo", "--version"]),
    (["-h"], ["run SCRIPT"]),
    (["run", "--help"], ["SCRIPT [ARG ...]", "-m MODULE", "FASTSOCK_DISABLE=1"]),
    (["run", "-h"], ["SCRIPT [ARG ...]"]),
    (["demo", "--help"], ["--rounds", "--messages", "--mib"])])
def test_help(python, arguments, named):
    result = python("-m", "fastsock", *arguments)
    assert result.stderr == ""
    assert result.stdout.startswith("usage: python -m fastsock")
    assert [text for text in named if text not in result.stdout] == []
    assert max(map(len, result.stdout.splitlines())) <= 96


def test_unknown_command(python):
    result = python("-m", "fastsock", "dance", check=False)
    assert (result.returncode, result.stdout) == (2, "")
    line, = result.stderr.splitlines()
    assert "'dance'" in line and "--help" in line


def test_version(python, capsys):
    import fastsock
    from fastsock import __main__ as command_line
    assert python("-m", "fastsock", "--version").stdout == f"fastsock {fastsock.__version__}\n"
    # Imported, it does nothing by itself.
    assert command_line.main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastsock {fastsock.__version__}\n"
