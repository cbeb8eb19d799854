"""Does it compile for macOS and the BSDs? Every extension, by zig's C compiler.

    python tools/compile_elsewhere.py [--only aarch64-macos ...] [--jobs N]

Needs ziglang and Cython (the extras "wheels" and "test"): zig has these systems'
headers. Exit status 1 if something did not compile; warnings are errors.

It proves that what the code calls is declared there, with these arguments, and that
the branches of `_platform.h` for these systems are C. It proves nothing of what the
calls do: nothing is linked or run. The interpreter's own headers are this machine's, without
the lines of pyconfig.h that are Linux's.
"""

import argparse
import concurrent.futures
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "fastsock"
TARGETS = ["aarch64-macos", "x86_64-macos", "x86_64-freebsd", "x86_64-netbsd",
           "x86_64-openbsd"]
#: What configure writes on Linux alone; the macros hide what is not POSIX elsewhere.
OF_LINUX = re.compile(
    r"#define (HAVE_(SYS_)?(LINUX|EPOLL|EVENTFD|AUXV)\w*|_POSIX_C_SOURCE|_XOPEN_SOURCE\w*) .*")
#: Cython writes functions that not every module calls.
FLAGS = ["-c", "-O0", "-Wall", "-Wno-unused-function", "-Werror"]


def headers_of_elsewhere(folder):
    """The interpreter's headers as they might be on another system."""
    shutil.copytree(sysconfig.get_path("include"), folder)
    config = folder / "pyconfig.h"
    config.write_text(OF_LINUX.sub("", config.read_text()))
    return folder


def generate(folder):
    """The C of every module."""
    # In setup.py's words: its directives change what is generated.
    subprocess.run([sys.executable, "-c", GENERATE, folder], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    return sorted(folder.rglob("*.c"))


#: setup.py, but with what it hands to setuptools left in the folder.
GENERATE = """
import pathlib, runpy, sys
import Cython.Build, setuptools
folder = sys.argv[1]
cythonize = Cython.Build.cythonize
def generate(extensions, **options):
    return cythonize(extensions, **{**options, "build_dir": folder, "force": True})
Cython.Build.cythonize = generate
setuptools.setup = lambda **keywords: None
sys.argv = ["setup.py"]
runpy.run_path("setup.py")
"""


def compile_one(target, path, headers, folder):
    """What the compiler says; nothing, if it is content."""
    zig = pathlib.Path(importlib.util.find_spec("ziglang").origin).parent / "zig"
    shown = subprocess.run(
        [zig, "cc", "-target", target, *FLAGS, "-I", SOURCE, "-I", headers, path,
         "-o", folder / f"{target}-{path.stem}.o"],
        capture_output=True, text=True, cwd=folder,
        env={**os.environ, "ZIG_LOCAL_CACHE_DIR": str(folder / "zig"),
             "ZIG_GLOBAL_CACHE_DIR": str(folder / "zig")})
    return shown.stderr if shown.returncode else ""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=TARGETS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        headers = headers_of_elsewhere(folder / "include")
        sources = generate(folder / "c")
        assert len(sources) == len([*SOURCE.glob("*.pyx")]) > 0
        for target in options.only:
            with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
                said = [*pool.map(lambda path: compile_one(target, path, headers, folder),
                                  sources)]
            bad = [text for text in said if text]
            failed += len(bad)
            print(f"{target}: {len(sources) - len(bad)} of {len(sources)} modules compiled",
                  flush=True)
            for text in bad:
                print(text)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
