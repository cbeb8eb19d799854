# What epoll, poll and select have in common: fds and timeouts out of Python, and when
# to look before one sleeps.
#
# Rules: a look (a call with timeout 0) is short and keeps the GIL; a sleep gives it
# away. Where the last looks found nothing, the next call sleeps at once, so that there
# is no more than the stdlib's one system call.

from libc.limits cimport INT_MAX
from libc.stdint cimport int64_t, uint8_t

from fastsock._deadline cimport NS_PER_MS
from fastsock._fdtable cimport FASTSOCK_HAS_GIL

cdef enum:
    MOST_LOOKED_AT = 512        # fds whose state is asked for under the GIL

cdef extern from "Python.h":
    int fd_of "PyObject_AsFileDescriptor"(object fileobj) except -1

# From 3.15 on a Decimal or a Fraction is a timeout, too, and poll's has nanoseconds.
cdef bint TAKES_REAL_NUMBERS

cdef int64_t parse_wait(object timeout, int64_t unit_ns, str wanted) except? -1
cdef int as_c_int(object value) except? -1


cdef inline int whole_ms(int64_t timeout_ns) noexcept:
    """0 or more, rounded up; INT_MAX if it is longer."""
    cdef int64_t timeout_ms = (timeout_ns + NS_PER_MS - 1) // NS_PER_MS
    return <int>min(timeout_ms, <int64_t>INT_MAX)


cdef inline bint looks_first(uint8_t reluctance, int timeout_ms, int count) noexcept:
    """Is the state asked for under the GIL, before one sleeps?"""
    return FASTSOCK_HAS_GIL and count <= MOST_LOOKED_AT and (reluctance < 2 or timeout_ms == 0)
