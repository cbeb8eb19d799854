"""Timeouts of epoll, poll and select: numbers from Python, and their errors.

Rules: whatever the stdlib takes or refuses is taken or refused here, with its classes
and texts (pytime.c); a wait is never shorter than asked for.
"""

import _socket
import sys

from cpython.float cimport PyFloat_AS_DOUBLE
from libc.limits cimport INT_MAX, INT_MIN
from libc.math cimport ceil, floor, isnan
from libc.stdint cimport INT64_MAX

from fastsock._arguments cimport type_name
from fastsock._errors cimport caught

cdef extern from "Python.h":
    bint PyFloat_Check(object value)
    bint PyIndex_Check(object value)
    double PyFloat_AsDouble(object value) except? -1.0
    long long PyLong_AsLongLong(object value) except? -1


cdef object base = _socket.socket


cdef str text_of_overflow(object seconds):
    """The interpreter's text for a time that a PyTime_t can't hold, which releases change.

    By a method of C on a socket without an fd: no program can replace it, as it may time.sleep().
    """
    text = None
    try:
        base.settimeout(base.__new__(base), seconds)
    except OverflowError as error:
        text = str(caught(error, OverflowError))
    return text


cdef bint TAKES_REAL_NUMBERS = sys.hexversion >= 0x030f0000


cdef int64_t ns_of_float(double number, int64_t unit_ns) except? -1:
    if isnan(number):
        raise ValueError("Invalid value NaN (not a number)")
    number *= unit_ns
    number = ceil(number) if number >= 0 else floor(number)
    if not -9223372036854775808.0 <= number < 9223372036854775808.0:
        raise OverflowError(text_of_overflow(1e300))
    return <int64_t>number


cdef int64_t parse_wait(object timeout, int64_t unit_ns, str wanted) except? -1:
    """A timeout in units of `unit_ns` as nanoseconds, rounded away from zero."""
    cdef long long whole
    if PyFloat_Check(timeout):
        return ns_of_float(PyFloat_AS_DOUBLE(timeout), unit_ns)
    try:
        if TAKES_REAL_NUMBERS and not PyIndex_Check(timeout):
            return ns_of_float(PyFloat_AsDouble(timeout), unit_ns)
        whole = PyLong_AsLongLong(timeout)
    except OverflowError:
        raise OverflowError(text_of_overflow(1 << 70)) from None
    except TypeError:
        if TAKES_REAL_NUMBERS:
            raise TypeError("timeout must be a real number or None, not "
                            f"{type_name(timeout)}") from None
        raise TypeError(f"timeout must be {wanted} or None") from None
    if whole > INT64_MAX // unit_ns or whole < -(INT64_MAX // unit_ns):
        raise OverflowError(text_of_overflow(1 << 70))
    return whole * unit_ns


cdef int as_c_int(object value) except? -1:
    """A C int, with the errors of Argument Clinic's converter, which are not those of "i"."""
    cdef long long number
    try:
        number = PyLong_AsLongLong(value)
    except OverflowError:
        raise OverflowError("Python int too large to convert to C int") from None
    if not INT_MIN <= number <= INT_MAX:
        raise OverflowError("Python int too large to convert to C int")
    return <int>number
