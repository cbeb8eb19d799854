"""Receives of an exact size: the loop around recv(2), under one deadline.

Rule: nothing that was received is lost. Whatever ends the loop early leaves
`filled` at what has arrived, and the method that called hands it on (`.partial`).
"""

from fastsock._exceptions import IncompleteReadError

from fastsock._deadline cimport NO_DEADLINE, deadline_after, has_passed
from fastsock._errors cimport raise_timeout
from fastsock._python cimport PyErr_CheckSignals
from fastsock._transfer cimport receive
from fastsock._wait cimport Budget, budget_of


cdef int raise_incomplete(object partial, Py_ssize_t expected) except -1:
    raise IncompleteReadError(partial, expected)


cdef Py_ssize_t fill(SocketHead *sock, char *memory, Py_ssize_t size, bint is_plain_memory,
                     Py_ssize_t *filled) except -1:
    """Receive until `size` bytes are there or the peer has ended; returns how many.

    `filled` says at any moment how many have arrived.
    """
    cdef Budget budget = budget_of(sock)
    cdef Py_ssize_t count
    filled[0] = 0
    while filled[0] < size:
        count = receive(sock, memory + filled[0], size - filled[0], 0, is_plain_memory, &budget)
        if count == 0:
            break
        filled[0] += count
        if filled[0] < size and budget.timeout_ns != 0:
            PyErr_CheckSignals()
            # The time runs from the first part on, also while there is always more.
            if budget.deadline_ns == NO_DEADLINE:
                budget.deadline_ns = deadline_after(budget.timeout_ns)
            elif has_passed(budget.deadline_ns):
                raise_timeout()
    return filled[0]
