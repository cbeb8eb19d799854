# Time: a timeout in nanoseconds becomes a deadline on the monotonic clock.
#
# Rules: a wait is never shorter than asked for (milliseconds are rounded up),
# and a call that is retried gets what is left, not the whole timeout again.

from libc.limits cimport INT_MAX
from libc.stdint cimport INT64_MAX, int64_t

from fastsock._libc cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef enum:
    NS_PER_S = 1000000000
    NS_PER_MS = 1000000

    # A deadline that never comes: blocking and non-blocking sockets have it.
    NO_DEADLINE = -1


cdef inline int64_t monotonic_ns() noexcept nogil:
    """Now, in nanoseconds of CLOCK_MONOTONIC: clock_gettime(2), no system call."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * NS_PER_S + now.tv_nsec


cdef inline int64_t deadline_after(int64_t timeout_ns) noexcept nogil:
    """The deadline of a timeout above 0; NO_DEADLINE for any other."""
    cdef int64_t now_ns
    if timeout_ns <= 0:
        return NO_DEADLINE
    now_ns = monotonic_ns()
    return INT64_MAX if timeout_ns > INT64_MAX - now_ns else now_ns + timeout_ns


cdef inline bint has_passed(int64_t deadline_ns) noexcept nogil:
    return deadline_ns != NO_DEADLINE and monotonic_ns() >= deadline_ns


cdef inline int remaining_ms(int64_t deadline_ns) noexcept nogil:
    """What is left for poll(2): -1 without a deadline, else 0 to INT_MAX."""
    cdef int64_t left_ns
    if deadline_ns == NO_DEADLINE:
        return -1
    left_ns = deadline_ns - monotonic_ns()
    if left_ns <= 0:
        return 0
    if left_ns > <int64_t>INT_MAX * NS_PER_MS - NS_PER_MS:
        return INT_MAX
    return <int>((left_ns + NS_PER_MS - 1) // NS_PER_MS)
