# Sending many buffers. Its rules are in `_gather.pyx`.

from fastsock._object cimport SocketHead

cdef int send_all_of(SocketHead *sock, object buffers, int flags) except -1
