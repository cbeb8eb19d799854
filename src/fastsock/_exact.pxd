# Receives of an exact size. Its rules are in `_exact.pyx`.

from fastsock._object cimport SocketHead

cdef Py_ssize_t fill(SocketHead *sock, char *memory, Py_ssize_t size, bint is_plain_memory,
                     Py_ssize_t *filled) except -1
cdef int raise_incomplete(object partial, Py_ssize_t expected) except -1
