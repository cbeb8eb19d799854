# The messages of many connections. Its rules are in `_batches.pyx`.

from fastsock._service cimport Service


cdef class BatchService(Service):
    pass
