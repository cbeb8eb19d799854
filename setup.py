"""The build: one extension module a `.pyx` in src/fastsock, each into `fastsock`.

Environment:
  FASTSOCK_PORTABLE=1   build as on a POSIX system without Linux's additions
  FASTSOCK_DEBUG=1      -O0 -g, with C assertions
"""

import os
import pathlib
import sys

if sys.platform == "win32":
    sys.exit("fastsock needs a POSIX system: Windows is not supported.")
if sys.implementation.name != "cpython":
    sys.exit(f"fastsock reads CPython's socket objects: {sys.implementation.name} "
             "is not supported.")

# After the checks, which need none of these.
from Cython.Build import cythonize  # noqa: E402
from setuptools import Extension, setup  # noqa: E402
from setuptools.command.build_ext import build_ext  # noqa: E402

SOURCE = pathlib.Path("src/fastsock")
DEBUG = os.environ.get("FASTSOCK_DEBUG") == "1"
PORTABLE = os.environ.get("FASTSOCK_PORTABLE") == "1"
# Each kind of build in a folder of its own: what one has made must not be taken for another's.
BUILD = "/".join(["build", *["portable"] * PORTABLE, *["debug"] * DEBUG])

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
        extra_compile_args=["-O0", "-g"] if DEBUG else ["-O2", "-fvisibility=hidden", "-g0"],
        extra_link_args=[] if DEBUG else ["-Wl,-s"] if sys.platform == "linux" else [],
    )
    for path in sorted(SOURCE.glob("*.pyx"))
]


class BuildExtensions(build_ext):
    """Links without the interpreter's own RUNPATH: no build path goes into a wheel."""

    def build_extensions(self):
        linker = self.compiler.linker_so
        self.compiler.linker_so = [
            word for word in linker if not word.startswith(("-Wl,-rpath", "-Wl,--rpath"))]
        super().build_extensions()

    def copy_extensions_to_source(self):
        self.force = True  # what is there may be newer, and another kind's
        super().copy_extensions_to_source()


setup(
    cmdclass={"build_ext": BuildExtensions},
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
