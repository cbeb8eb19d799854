"""`python -m fastsock run`: a Python program, unchanged, with fastsock as its sockets.

Rule: but for the sockets the program can't tell: argv, sys.path, `__main__`, exit
status, tracebacks and signals are as under `python SCRIPT` or `python -m MODULE`.
So nothing is imported here that the interpreter has not imported by itself, and
our own frames are not in the tracebacks.
"""

import builtins
import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

USAGE = """\
usage: python -m fastsock run [--stats] SCRIPT [ARG ...]
       python -m fastsock run [--stats] -m MODULE [ARG ...]

Run a Python program with fastsock.install() done before anything is imported.
SCRIPT may be a file, or a folder or zip file with a __main__.py. With --stats, what
fastsock did for the program is printed to standard error when it ends.

environment:
  FASTSOCK_DISABLE=1   run it on the stdlib's sockets
"""


def main(arguments: list[str]) -> int:
    """Run the program; returns only for a mistake in the call (2)."""
    if arguments and arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    wants_stats = arguments[:1] == ["--stats"]
    if wants_stats:
        arguments = arguments[1:]
    is_module = arguments[:1] == ["-m"]
    target = arguments[1:] if is_module else arguments
    if not target or (not is_module and target[0].startswith("-")):
        mistake = (f"unrecognized option: {target[0]}" if target else
                   "option -m: a MODULE is required" if is_module else
                   "a SCRIPT or -m MODULE is required")
        print(f"{USAGE}python -m fastsock run: error: {mistake}", file=sys.stderr)
        return 2
    import fastsock
    try:
        fastsock.install()
    except RuntimeError as error:
        print(f"python -m fastsock run: error: {error}", file=sys.stderr)
        return 2
    if wants_stats:
        import atexit
        atexit.register(print_stats)
    sys.argv[:] = target
    sys.modules["__main__"] = new_main_module(sys.modules["__main__"])
    try:
        run_module(target[0]) if is_module else run_path(target[0])
    except SystemExit:
        raise
    except BaseException as error:
        hide_our_frames(error)
        raise
    return 0


def new_main_module(ours: types.ModuleType) -> types.ModuleType:
    """An empty `__main__` with the names that this interpreter starts a program with."""
    module = types.ModuleType("__main__")
    vars(module)["__builtins__"] = builtins
    if "__annotations__" in vars(ours):  # gone in newer interpreters
        module.__annotations__ = {}
    return module


def run_module(name: str) -> None:
    """As `python -m NAME`, by the function that the interpreter calls for it."""
    import runpy
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd()
    sys.argv[0] = "-m"  # until the module is found, as under python
    runpy._run_module_as_main(name)  # type: ignore[attr-defined]  # no other is so exact


def run_path(path: str) -> None:
    """As `python PATH`."""
    # Not normalised: the interpreter leaves "./" and "../" in what it shows.
    whole_path = os.path.join(os.getcwd(), path)
    if is_container(path):
        import runpy
        sys.path[:0 if sys.flags.safe_path else 1] = [whole_path]
        runpy._run_module_as_main(  # type: ignore[attr-defined]  # no other is so exact
            "__main__", alter_argv=False)
        return
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        print(f"{sys.executable}: can't open file {whole_path!r}: "
              f"[Errno {error.errno}] {error.strerror}", file=sys.stderr)
        raise SystemExit(2) from None
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.realpath(path))
    from importlib import machinery, util
    loader: type[machinery.SourcelessFileLoader] | type[machinery.SourceFileLoader]
    if content[:4] == util.MAGIC_NUMBER:
        import marshal
        loader, code = machinery.SourcelessFileLoader, marshal.loads(content[16:])
    else:
        loader, code = machinery.SourceFileLoader, compile(
            content, whole_path, "exec", dont_inherit=True)
    namespace = vars(sys.modules["__main__"])
    namespace.update(__file__=whole_path, __loader__=loader("__main__", whole_path))
    if sys.version_info < (3, 15):
        namespace.update(__cached__=None)
    exec(code, namespace)


def is_container(path: str) -> bool:
    """Is it a folder or a zip file, whose __main__.py is the program?"""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def print_stats() -> None:
    """What fastsock did for the program: fastsock.stats(), a line a counter."""
    import fastsock
    counted = fastsock.stats()
    calls = counted["system_calls"]
    print("fastsock:", file=sys.stderr)
    for name, value in counted.items():
        if name != "system_calls":
            print(f"  {name.replace('_', ' '):20}{value:>14,}", file=sys.stderr)
    made = ", ".join(f"{name} {count:,}" for name, count in calls.items() if count)
    print(f"  {'system calls':20}{made or 'none'}", file=sys.stderr)


def hide_our_frames(error: BaseException) -> None:
    """Have the interpreter show an uncaught exception without the frames of this file.

    It then ends as it always does: with status 1, or by SIGINT after a
    KeyboardInterrupt, after exit functions and other threads.
    """
    hook, trace = sys.excepthook, error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next

    def show(kind: type[BaseException], error: BaseException,
             _: "TracebackType | None") -> None:
        error.__traceback__ = sys.last_traceback = trace
        try:
            hook(kind, error, trace)
        except SystemExit:
            raise
        except BaseException as failure:
            # What the interpreter does, but for this frame in the traceback.
            print("Error in sys.excepthook:", file=sys.stderr)
            # Its first frame is this one: what is caught here has one, which mypy can't know.
            failure.__traceback__ = failure.__traceback__.tb_next  # type: ignore[union-attr]
            failure.__context__ = None
            sys.__excepthook__(type(failure), failure, failure.__traceback__)
            print("\nOriginal exception was:", file=sys.stderr)
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = show
