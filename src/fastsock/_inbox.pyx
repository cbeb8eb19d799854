"""Bytes that have arrived and were not taken yet: one piece of memory that grows.

Rules: an inbox of zeros is an empty one. Memory is taken when something is to be
received, grows by half at least, and goes back when all was taken: an idle stream
holds none, and with a part of a message at most four times that part. One piece of
the usual size is kept for the next that needs it, by any thread.
"""

from libc.limits cimport LONG_MAX
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

cdef enum:
    SMALL = 512                 # less is not worth to be given back
    USUAL = 65536 + 4096        # a receive of 64 KiB behind the rest of a message

cdef extern from *:
    """
    /* A piece of USUAL bytes, or NULL. Exchanged whole, so that it is nobody's twice. */
    static char *fastsock_spare_piece;

    static inline char *fastsock_swap_spare(char *piece)
    {
        return __atomic_exchange_n(&fastsock_spare_piece, piece, __ATOMIC_ACQ_REL);
    }
    """
    char *fastsock_swap_spare(char *piece) noexcept nogil


cdef char *new_piece(Py_ssize_t *capacity) except NULL:
    """Memory of at least `capacity` bytes, which then says how many."""
    cdef char *piece = NULL
    if SMALL < capacity[0] <= USUAL:
        capacity[0] = USUAL
        piece = fastsock_swap_spare(NULL)
    if piece == NULL:
        piece = <char *>malloc(capacity[0])
    if piece == NULL:
        raise MemoryError(f"no memory for {capacity[0]} bytes of received data")
    return piece


cdef void free_piece(char *piece, Py_ssize_t capacity) noexcept:
    if capacity == USUAL:
        piece = fastsock_swap_spare(piece)
    free(piece)


cdef char *make_room(Inbox *inbox, Py_ssize_t room) except NULL:
    """Room for `room` more bytes behind the last; returns where."""
    cdef Py_ssize_t kept = length(inbox)
    cdef Py_ssize_t capacity
    cdef char *piece
    room = max(room, 1)
    if inbox.capacity - inbox.end >= room:
        return inbox.memory + inbox.end
    if room > LONG_MAX // 4 - kept:
        raise MemoryError(f"no memory for {room} more bytes of received data")
    # Moving the rest to the front costs less than new memory, if it is no large rest.
    if inbox.capacity - kept >= room and kept <= inbox.start:
        memmove(inbox.memory, front(inbox), kept)
    else:
        capacity = max(kept + room, inbox.capacity + inbox.capacity // 2)
        piece = new_piece(&capacity)
        if kept:
            memcpy(piece, front(inbox), kept)
        if inbox.memory != NULL:
            free_piece(inbox.memory, inbox.capacity)
        inbox.memory = piece
        inbox.capacity = capacity
    inbox.start = 0
    inbox.end = kept
    return inbox.memory + kept


cdef int append(Inbox *inbox, const char *data, Py_ssize_t size) except -1:
    """Copy bytes behind the last."""
    if size:
        memcpy(make_room(inbox, size), data, size)
        inbox.end += size
    return 0


cdef int put_back(Inbox *inbox, const char *header, Py_ssize_t header_size, const char *data,
                  Py_ssize_t size) except -1:
    """Copy what was taken, a header and what followed it, to the front again: all or
    nothing."""
    cdef Py_ssize_t kept = length(inbox)
    cdef Py_ssize_t total = header_size + size
    if total == 0:
        return 0
    if inbox.start < total:
        make_room(inbox, total)
        memmove(inbox.memory + inbox.start + total, front(inbox), kept)
        inbox.end += total
    else:
        inbox.start -= total
    memcpy(front(inbox), header, header_size)
    memcpy(front(inbox) + header_size, data, size)
    inbox.taken -= total
    return 0


cdef void settle(Inbox *inbox) noexcept:
    """Give back memory that what is left does not need."""
    cdef Py_ssize_t kept = length(inbox)
    cdef char *piece = NULL
    if inbox.capacity <= SMALL or kept > inbox.capacity // 4:
        if kept == 0:
            inbox.start = inbox.end = 0
        return
    if kept:
        piece = <char *>malloc(kept)
        if piece == NULL:
            return  # the large piece serves as well
        memcpy(piece, front(inbox), kept)
    free_piece(inbox.memory, inbox.capacity)
    inbox.memory = piece
    inbox.capacity = kept
    inbox.start = 0
    inbox.end = kept


cdef void free_inbox(Inbox *inbox) noexcept:
    if inbox.memory != NULL:
        free_piece(inbox.memory, inbox.capacity)
    inbox.memory = NULL
    inbox.start = inbox.end = inbox.capacity = 0
