"""python setup.py build_ext --inplace, where fastsock and Cython are installed."""

from Cython.Build import cythonize
from setuptools import Extension, setup

setup(name="reader", ext_modules=cythonize([Extension("reader", ["reader.pyx"])]))
