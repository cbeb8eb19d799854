"""Timeouts of epoll, poll and select: numbers from Python, and their errors.

Rules: whatever the stdlib takes or refuses is taken or refused here, with its classes
and texts (pytime.c); a wait is never shorter than asked for.
"""

from cpython.float cimport PyFloat_AS_DOUBLE
from libc.math cimport ceil, floor, isnan
from libc.stdint cimport INT64_MAX

cdef extern from "Python.h":
    bint PyFloat_Check(object value)
    long long PyLong_AsLongLong(object value) except? -1


cdef int64_t parse_wait(object timeout, int64_t unit_ns, str wanted) except? -1:
    """A timeout in units of `unit_ns` as nanoseconds, rounded away from zero."""
    cdef double number
    cdef long long whole
    if PyFloat_Check(timeout):
        number = PyFloat_AS_DOUBLE(timeout)
        if isnan(number):
            raise ValueError("Invalid value NaN (not a number)")
        number *= unit_ns
        number = ceil(number) if number >= 0 else floor(number)
        if not -9223372036854775808.0 <= number < 9223372036854775808.0:
            raise OverflowError("timestamp out of range for platform time_t")
        return <int64_t>number
    try:
        whole = PyLong_AsLongLong(timeout)
    except OverflowError:
        raise OverflowError("timestamp too large to convert to C PyTime_t") from None
    except TypeError:
        raise TypeError(f"timeout must be {wanted} or None") from None
    if whole > INT64_MAX // unit_ns or whole < -(INT64_MAX // unit_ns):
        raise OverflowError("timestamp too large to convert to C PyTime_t")
    return whole * unit_ns
