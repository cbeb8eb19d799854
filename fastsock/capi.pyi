# Nothing for Python: what Cython packages cimport is declared in capi.pxd.
