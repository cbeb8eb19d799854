# What is known of each file descriptor. Its rules are in `_fdtable.h`.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

cdef extern from "_fdtable.h" nogil:
    const bint FASTSOCK_HAS_GIL
    const int FASTSOCK_FD_HAS_GRO, FASTSOCK_FD_HAS_ULP, FASTSOCK_FD_SHARED

    ctypedef struct FastsockBusyPoll:
        const void *owner
        uint32_t busy_poll_us
        uint16_t failures
        uint16_t skipped

    ctypedef struct FdState:
        uint16_t in_flight
        uint16_t mode_changes
        uint8_t reluctance[2]
        uint8_t fills_room
        uint8_t flags
        FastsockBusyPoll *busy_poll

    FdState **fastsock_new_table()
    FdState *fastsock_fd_state(FdState **chunks, int fd)
    int fastsock_owned_fd(const int *fd)
    int fastsock_take_fd(int *fd)
    void fastsock_enter(FdState *state)
    void fastsock_leave(FdState *state)
    void fastsock_note_mode_change(FdState *state)
    uint16_t fastsock_mode_changes(const FdState *state)
    int64_t fastsock_timeout_now(const int64_t *timeout_ns)
    void fastsock_store_timeout(int64_t *place, int64_t timeout_ns)
    FastsockBusyPoll *fastsock_busy_poll_of(FdState *state)

cdef FdState **chunks

# Somebody set SO_RCVLOWAT, so that a receive must wait for more than a byte. The
# option is the open file's, which dup() and accept() hand on to other fds: while it
# is in use, no receive of the process is tried before it may wait.
cdef bint lowat_in_use

cdef void forget(int fd) noexcept


cdef inline FdState *state_of(int fd) noexcept nogil:
    """The entry of an fd, or the one that fds without an entry share."""
    return fastsock_fd_state(chunks, fd)


cdef inline void learn(uint8_t *counter, bint up) noexcept nogil:
    """Move a saturating counter of 0 to 3, as branch predictors have them."""
    if up:
        if counter[0] < 3:
            counter[0] += 1
    elif counter[0] > 0:
        counter[0] -= 1
