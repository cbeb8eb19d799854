# Counters. Their rules are in `_stats.pyx`.

from libc.stdint cimport int64_t

cdef extern from "_stats.h" nogil:
    void FASTSOCK_COUNT(int64_t counter, int64_t amount)

# The order is that of `SYSTEM_CALLS` in _stats.pyx.
cdef enum SystemCallName:
    RECV, RECVFROM, RECVMSG, SEND, SENDTO, SENDMSG, SENDFILE, ACCEPT, CONNECT, POLL
    RECVMMSG, SENDMMSG
    SYSTEM_CALL_COUNT

cdef struct Counters:
    int64_t[16] system_calls
    int64_t calls               # operations that may block: one a method call
    int64_t tries_failed        # tried first, and nothing was there
    int64_t polls_saved         # a socket with a timeout that needed no poll
    int64_t gil_kept            # system calls made without giving the GIL away
    int64_t waits               # sleeps in poll, or in a blocking call
    int64_t busy_polls_won      # waits that ended while busy-polling
    int64_t bytes_in
    int64_t bytes_out

cdef Counters counters
