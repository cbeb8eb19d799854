"""The preloaded library, from Python: building it, loading it, arming it.

Rule: nothing here judges. Without the library in this process `Injector.of_this_process()`
is None; `restart_with()` runs the program again with it.
"""

import ctypes
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = pathlib.Path(__file__).parent / "inject.c"

FAILS, IS_SHORT, FAILS_AFTER = range(3)


def compiler():
    """The C compiler, or None."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def why_not():
    """Why the library can't be used here, or None."""
    if sys.platform != "linux":
        return "the library knows Linux's calls"
    if compiler() is None:
        return "there is no C compiler"
    return None


def build(folder):
    """Compile the library into a folder; its path."""
    target = pathlib.Path(folder) / "inject.so"
    subprocess.run([compiler(), "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
                    "-o", target, SOURCE, "-ldl"], check=True)
    return target


def environment(library, all_memory=False):
    """Of a process that has the library; with `all_memory` Python asks malloc() for each
    object, and not for many at once."""
    before = os.environ.get("LD_PRELOAD")
    found = {**os.environ, "LD_PRELOAD": f"{library}:{before}" if before else str(library)}
    if all_memory:
        found["PYTHONMALLOC"] = "malloc"
        # What malloc() keeps at hand for the next to ask counts as used: it would seem to grow.
        found["GLIBC_TUNABLES"] = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
    return found


class Injector:
    """The library's functions."""

    def __init__(self, library):
        self._arm = library.inject_arm
        self._arm.argtypes = ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int
        self._seen = library.inject_seen
        self._seen.argtypes = ctypes.c_char_p,
        self._seen.restype = ctypes.c_long
        self._watched = library.inject_watched
        self._watched.restype = ctypes.c_void_p
        self.fired = library.inject_fired
        self.heap = library.inject_heap
        self.heap.restype = ctypes.c_size_t
        name_of = library.inject_name
        name_of.restype = ctypes.c_char_p
        self.names = []
        while (name := name_of(len(self.names))) is not None:
            self.names.append(name.decode())

    @classmethod
    def of_this_process(cls):
        # PyDLL: CDLL would give the GIL away, and so let others in between.
        library = ctypes.PyDLL(None)
        return cls(library) if hasattr(library, "inject_arm") else None

    def watched(self):
        """A byte of this thread: whoever stores 1 there is watched, until 0 is stored. No
        memory is asked for by storing it."""
        return (ctypes.c_ubyte * 1).from_address(self._watched())

    def arm(self, name, n, mode, error):
        """Let the n-th call fail; counting begins anew."""
        if self._arm(name.encode(), n, mode, error) < 0:
            raise ValueError(f"the library does not know {name!r}")

    def disarm(self):
        """Let nothing fail; counting begins anew."""
        self._arm(None, 0, 0, 0)

    def seen(self):
        """{name: calls} since arm() or disarm(), of watched threads."""
        counts = {name: self._seen(name.encode()) for name in self.names}
        return {name: count for name, count in counts.items() if count}
