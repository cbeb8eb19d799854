"""The build: one extension module a `.pyx` in src/fastsock, each into `fastsock`.

Environment:
  FASTSOCK_PORTABLE=1   build as on a POSIX system without Linux's additions
  FASTSOCK_DEBUG=1      -O0 -g, with C assertions
  FASTSOCK_SANITIZE=X   -O1 -g -fsanitize=X; see tools/sanitize
  FASTSOCK_COVERAGE=1   -O0, with gcc's counters; see tools/coverage
  SOURCE_DATE_EPOCH     the time that goes into the archives, for builds of the same bytes
"""

import sys

if sys.platform == "win32":
    sys.exit("fastsock needs a POSIX system: Windows is not supported.")
if sys.implementation.name != "cpython":
    sys.exit(f"fastsock reads CPython's socket objects: {sys.implementation.name} "
             "is not supported.")

# After the checks, which need none of these.
import gzip  # noqa: E402
import os  # noqa: E402
import pathlib  # noqa: E402
import tarfile  # noqa: E402

from Cython.Build import cythonize  # noqa: E402
from setuptools import Extension, setup  # noqa: E402
from setuptools.command.build_ext import build_ext  # noqa: E402
from setuptools.command.sdist import sdist  # noqa: E402

SOURCE = pathlib.Path("src/fastsock")
DEBUG = os.environ.get("FASTSOCK_DEBUG") == "1"
SANITIZE = os.environ.get("FASTSOCK_SANITIZE")
COVERAGE = os.environ.get("FASTSOCK_COVERAGE") == "1"
PORTABLE = os.environ.get("FASTSOCK_PORTABLE") == "1"
# Each kind of build in a folder of its own: what one has made must not be taken for another's.
BUILD = "/".join(["build", *["portable"] * PORTABLE, *["debug"] * DEBUG,
                  *["coverage"] * COVERAGE])
LINUX = sys.platform == "linux"

# What gcc and clang, also zig's and Apple's, understand alike. Counted by callgrind: with -O3
# a send() and a recv() take 0.7 % fewer instructions than with -O2, recv_into() and sendall()
# 2.4 %; the modules are 5.7 % larger. -flto changes nothing more: a module is one C file.
# zig's compiler makes the same of both.
OPTIMISED = ["-O3", "-fvisibility=hidden", "-g0"]
HARDENED = ["-fstack-protector-strong",
            # Undefined first: some interpreters' and distributions' flags define it.
            "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"]
# "now": with "relro" alone the table of functions stays writable. Mach-O knows neither.
LINKED = ["-Wl,-s", "-Wl,-z,relro", "-Wl,-z,now"] if LINUX else []

# Not fortified: the sanitizers don't know the functions that take the places of the plain ones.
SANITIZED = [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined", "-O1", "-g",
             "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE"]
# Counters that threads share; the way of writing them is kept, for a process that os._exit() ends.
COUNTED = ["--coverage", "-fprofile-update=atomic", "-O0", "-U_FORTIFY_SOURCE"]
if COVERAGE:
    COMPILED = COUNTED
else:
    COMPILED = SANITIZED if SANITIZE else ["-O0", "-g"] if DEBUG else OPTIMISED + HARDENED
if COVERAGE:
    LINKED = ["--coverage", "-Wl,-u,__gcov_dump"]
elif SANITIZE:
    LINKED = [f"-fsanitize={SANITIZE}"]
elif DEBUG:
    LINKED = []

macros = [("_GNU_SOURCE", "1")]
if PORTABLE:
    macros.append(("FASTSOCK_PORTABLE", "1"))

extensions = [
    Extension(
        f"fastsock.{path.stem}",
        [str(path)],
        include_dirs=[str(SOURCE)],
        depends=[str(header) for header in sorted(SOURCE.glob("*.h"))],
        define_macros=macros,
        extra_compile_args=COMPILED,
        extra_link_args=LINKED,
    )
    for path in sorted(SOURCE.glob("*.pyx"))
]


class BuildExtensions(build_ext):
    """As many at a time as there are processors, and without the interpreter's own RUNPATH:
    no build path goes into a wheel."""

    def finalize_options(self):
        super().finalize_options()
        if self.parallel is None:
            self.parallel = os.cpu_count()

    def build_extensions(self):
        linker = self.compiler.linker_so
        self.compiler.linker_so = [
            word for word in linker if not word.startswith(("-Wl,-rpath", "-Wl,--rpath"))]
        super().build_extensions()

    def copy_extensions_to_source(self):
        self.force = True  # what is there may be newer, and another kind's
        super().copy_extensions_to_source()


class SourceArchive(sdist):
    """Of the same bytes wherever and whenever it is made, if SOURCE_DATE_EPOCH is set.

    setuptools heeds the variable for wheels only (its issue 2133).
    """

    def make_archive(self, base_name, format, *arguments, **keywords):
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if not epoch or format != "gztar":
            return super().make_archive(base_name, format, *arguments, **keywords)

        def plain(member):
            member.mtime = int(epoch)
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            # What an account's umask took from a checkout, given back.
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        path = f"{base_name}.tar.gz"
        with (open(path, "wb") as raw,
              gzip.GzipFile("", "wb", fileobj=raw, mtime=int(epoch)) as packed,
              tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive):
            archive.add(keywords["base_dir"], filter=plain)  # sorted by name
        return path


setup(
    cmdclass={"build_ext": BuildExtensions, "sdist": SourceArchive},
    options={"build": {"build_base": BUILD}},
    ext_modules=cythonize(
        extensions,
        include_path=["src", "."],  # "." has what other packages cimport
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            # A CyFunction would take any object as self and read foreign memory.
            "binding": False,
            "auto_pickle": False,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "freethreading_compatible": True,
            "embedsignature": True,
            "embedsignature.format": "clinic",
        },
    ),
)
