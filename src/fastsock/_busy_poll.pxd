# Busy-polling before sleeping. Its rules are in `_busy_poll.pyx`.

from libc.stdint cimport int64_t

from fastsock._fdtable cimport FdState
from fastsock._object cimport SocketHead
from fastsock._operation cimport Operation

cdef int busy_poll(SocketHead *sock, int fd, FdState *state, const Operation *operation,
                   void *arguments, int64_t deadline_ns, Py_ssize_t *result,
                   int *error) except -1
cdef int set_socket_busy_poll(SocketHead *sock, object microseconds) except -1
cdef int apply_default_busy_poll(SocketHead *sock) except -1
