"""Constants of the system's headers, for those that the interpreter lacks.

Rule: the list is constants.txt, and the table is generated from it. A name that
this platform lacks is not here.
"""

cdef extern from "_constants_table.h":
    ctypedef struct Constant "fastsock_constant":
        const char *name
        long long value

    Constant *fastsock_constants


def table():
    """A dict of name to int of every constant in the table."""
    cdef dict constants = {}
    cdef Constant *constant = fastsock_constants
    while constant.name != NULL:
        constants[constant.name.decode("ascii")] = constant.value
        constant += 1
    return constants
