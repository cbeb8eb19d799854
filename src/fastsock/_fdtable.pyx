"""The table of what is known of each file descriptor: see `_fdtable.h`."""

from libc.string cimport memset

chunks = fastsock_new_table()
if chunks == NULL:
    raise MemoryError


cdef void forget(int fd) noexcept:
    """The fd belongs to a new socket: nothing that was known holds.

    The counters stay: a thread may still be inside a call on the old one.
    """
    cdef FdState *state = state_of(fd)
    state.reluctance[0] = state.reluctance[1] = 0
    state.fills_room = 0
    state.flags &= FASTSOCK_FD_SHARED
    if state.busy_poll != NULL:
        memset(state.busy_poll, 0, sizeof(FastsockBusyPoll))
