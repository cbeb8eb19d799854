# Sending many buffers. Its rules are in `_gather.pyx`.

from fastsock._object cimport SocketHead
from fastsock._wait cimport Budget

# How far a send of several pieces came when it failed.
cdef struct Progress:
    Py_ssize_t pieces           # that went out wholly
    Py_ssize_t inside           # bytes of the next one that did

cdef int send_all_of(SocketHead *sock, tuple items, int flags, Budget *budget,
                     Py_ssize_t *total, Progress *progress) except -1
