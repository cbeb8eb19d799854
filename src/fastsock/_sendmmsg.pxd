# Many datagrams in one system call. Its rules are in `_sendmmsg.pyx`.

from fastsock._object cimport SocketHead
from fastsock._platform cimport FastsockMessage
from fastsock._wait cimport Budget

cdef enum:
    A_CALL = 64                 # messages a system call; more bring nothing (saturation)

# What was sent so far.
cdef struct Sent:
    Py_ssize_t messages
    Py_ssize_t bytes_

cdef int send_all(SocketHead *head, FastsockMessage *messages, Py_ssize_t count, int flags,
                  Py_ssize_t bytes_in_all, bint is_plain_memory, Budget *budget,
                  Sent *sent) except -1
cdef int check_datagrams(SocketHead *head, str what) except -1
