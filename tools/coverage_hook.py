"""For tools/coverage: imported at the start of each interpreter of its environment.

Job: start coverage.py, and write what both kinds of counters know where a process ends by
os._exit(), which asks nobody.
"""

import os
import sys


def _write_native():
    """Write gcc's counters: each module has its own."""
    import ctypes
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None) or ""
        if name.startswith("fastsock.") and path.endswith(".so"):
            # PyDLL: with the GIL held, as nothing else should happen any more.
            ctypes.PyDLL(path)["__gcov_dump"]()


def _wrap_exit(end):
    def _exit(status):
        try:
            _write_native()
        finally:
            end(status)
    return _exit


if os.environ.get("COVERAGE_PROCESS_START"):
    # First ours: coverage.py, told to in pyproject.toml, puts its own around it.
    os._exit = _wrap_exit(os._exit)
    # What counts its own memory counts coverage.py's, too: only gcc's counters there.
    if "tests.faults" not in sys.orig_argv:
        import coverage
        coverage.process_startup()
