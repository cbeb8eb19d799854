# Sending many buffers. Its rules are in `_gather.pyx`.

from fastsock._object cimport SocketHead
from fastsock._wait cimport Budget

cdef int send_all_of(SocketHead *sock, object buffers, int flags, Budget *budget,
                     Py_ssize_t *total) except -1
