# Makes `fastsock` a package that Cython can `cimport` from; it declares nothing.
