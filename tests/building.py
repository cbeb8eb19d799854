"""Cython modules that the tests build, against the package that is tested."""

import importlib.util
import pathlib
import shutil
import subprocess
import sys
import sysconfig

import pytest

import fastsock

SETUP = """\
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(name={name!r}, ext_modules=cythonize([Extension({name!r}, [{name!r} + ".pyx"])]))
"""


def built(source, folder, setup=None):
    """The module of a .pyx, built in a folder, by a setup.py of its own if there is one."""
    if importlib.util.find_spec("Cython") is None or importlib.util.find_spec("setuptools") is None:
        pytest.skip("not installed: Cython or setuptools")
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("not installed: a C compiler")
    name = source.stem
    shutil.copy(source, folder)
    (folder / "setup.py").write_text(SETUP.format(name=name) if setup is None
                                     else setup.read_text())
    package = pathlib.Path(fastsock.__file__).parent
    program = ("import sys; sys.path.append(sys.argv.pop()); sys.argv[0] = 'setup.py'; "
               "exec(compile(open('setup.py').read(), 'setup.py', 'exec'))")
    subprocess.run([sys.executable, "-c", program, "-q", "build_ext", "--inplace",
                    str(package.parent)], cwd=folder, check=True, capture_output=True, timeout=300)
    path = folder / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
