/* What is known of each file descriptor, beside the socket object.
 *
 * Indexed by fd, so that all objects on one fd share it. Entries are hints: a
 * stale one (the fd was closed and opened again behind our back) costs a system
 * call or a hand-over of the GIL, never a wrong result. So fds that are closed or
 * too high for the table share one entry, and nobody has to ask whether there is one.
 *
 * Written under the GIL. On free-threaded builds several threads may write at
 * once: the two counters are then atomic, and a hint may get lost.
 */
#ifndef FASTSOCK_FDTABLE_H
#define FASTSOCK_FDTABLE_H

#include <Python.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    FASTSOCK_FDS_A_CHUNK = 1024,
    FASTSOCK_CHUNKS = 1024, /* fds above 1,048,575 share one entry */
};

/* Bits of `flags`. With any of them a call gives the GIL away. */
enum {
    FASTSOCK_FD_HAS_ULP = 1, /* TCP_ULP was set (kTLS): a call may take long */
    FASTSOCK_FD_SHARED = 2,  /* this entry is that of all fds without their own */
    FASTSOCK_FD_HAS_GRO = 4, /* UDP_GRO was set: a receive may bring 64 KiB */
};

typedef struct {
    const void *owner;   /* the object that asked for it; NULL: none */
    uint32_t busy_poll_us;
    uint16_t failures;   /* busy-polls in a row that brought nothing */
    uint16_t skipped;    /* waits since the last busy poll, while they are suspended */
} FastsockBusyPoll;

typedef struct {
    uint16_t in_flight;    /* threads inside a released call on this fd */
    uint16_t mode_changes; /* how often settimeout() may have changed O_NONBLOCK */
    uint8_t reluctance[2]; /* receive, send: 0 and 1 try first, 2 and 3 wait first */
    uint8_t fills_room;    /* receives lately filled their room: 0 and 1 no, 2 and 3 yes */
    uint8_t flags;
    FastsockBusyPoll *busy_poll;/* NULL until a socket on this fd asks for it */
} FdState;

/* The table: a slot a chunk, and one more for the shared entry; NULL if there is no
 * memory. */
static inline FdState **fastsock_new_table(void)
{
    FdState **chunks = (FdState **)calloc(FASTSOCK_CHUNKS + 1, sizeof(FdState *));
    FdState *shared = (FdState *)calloc(1, sizeof(FdState));
    if (chunks == NULL || shared == NULL) {
        free(chunks);
        free(shared);
        return NULL;
    }
    shared->flags = FASTSOCK_FD_SHARED;
    chunks[FASTSOCK_CHUNKS] = shared;
    return chunks;
}

static inline FdState *fastsock_new_chunk(FdState **slot)
{
    FdState *chunk = (FdState *)calloc(FASTSOCK_FDS_A_CHUNK, sizeof(FdState));
    FdState *expected = NULL;
    if (chunk != NULL
        && !__atomic_compare_exchange_n(slot, &expected, chunk, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        free(chunk); /* another thread was faster */
        chunk = expected;
    }
    return chunk;
}

/* The entry of an fd. */
static inline FdState *fastsock_fd_state(FdState **chunks, int fd)
{
    const unsigned number = (unsigned)fd;
    FdState *chunk;
    if (number >= (unsigned)FASTSOCK_CHUNKS * FASTSOCK_FDS_A_CHUNK)
        return chunks[FASTSOCK_CHUNKS];
    chunk = __atomic_load_n(&chunks[number / FASTSOCK_FDS_A_CHUNK], __ATOMIC_ACQUIRE);
    if (chunk == NULL) {
        chunk = fastsock_new_chunk(&chunks[number / FASTSOCK_FDS_A_CHUNK]);
        if (chunk == NULL)
            return chunks[FASTSOCK_CHUNKS];
    }
    return &chunk[number % FASTSOCK_FDS_A_CHUNK];
}

static inline void fastsock_enter(FdState *state)
{
#ifdef Py_GIL_DISABLED
    __atomic_fetch_add(&state->in_flight, 1, __ATOMIC_RELAXED);
#else
    state->in_flight++;
#endif
}

static inline void fastsock_leave(FdState *state)
{
#ifdef Py_GIL_DISABLED
    __atomic_fetch_sub(&state->in_flight, 1, __ATOMIC_RELAXED);
#else
    state->in_flight--;
#endif
}

/* A settimeout() changes O_NONBLOCK: before it is set, and after it was cleared. */
static inline void fastsock_note_mode_change(FdState *state)
{
#ifdef Py_GIL_DISABLED
    __atomic_fetch_add(&state->mode_changes, 1, __ATOMIC_ACQ_REL);
#else
    state->mode_changes++;
#endif
}

static inline uint16_t fastsock_mode_changes(const FdState *state)
{
    return __atomic_load_n(&state->mode_changes, __ATOMIC_ACQUIRE);
}

/* An object's timeout, where another thread may be setting it. */
static inline int64_t fastsock_timeout_now(const int64_t *timeout_ns)
{
    return __atomic_load_n(timeout_ns, __ATOMIC_ACQUIRE);
}

static inline void fastsock_store_timeout(int64_t *place, int64_t timeout_ns)
{
    __atomic_store_n(place, timeout_ns, __ATOMIC_RELEASE);
}

/* The memory of an fd's busy polls, which stays: other threads may be reading it. NULL if
   there is no memory. */
static inline FastsockBusyPoll *fastsock_busy_poll_of(FdState *state)
{
    FastsockBusyPoll *found = __atomic_load_n(&state->busy_poll, __ATOMIC_ACQUIRE);
    FastsockBusyPoll *made;
    if (found != NULL)
        return found;
    made = (FastsockBusyPoll *)calloc(1, sizeof(FastsockBusyPoll));
    if (made != NULL
        && !__atomic_compare_exchange_n(&state->busy_poll, &found, made, 0,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        free(made); /* another thread was faster */
        made = found;
    }
    return made;
}

/* The fd that an object owns now, read without the GIL while others may change it. */
static inline int fastsock_owned_fd(const int *fd)
{
    return __atomic_load_n(fd, __ATOMIC_RELAXED);
}

/* Take an object's fd away from it, to be closed: of several threads, also without a GIL, one
   gets it, and the others -1. */
static inline int fastsock_take_fd(int *fd)
{
    return __atomic_exchange_n(fd, -1, __ATOMIC_RELAXED);
}

/* May a call that can't block keep the GIL? There is none to keep without one. */
#ifdef Py_GIL_DISABLED
#  define FASTSOCK_HAS_GIL 0
#else
#  define FASTSOCK_HAS_GIL 1
#endif

#endif /* FASTSOCK_FDTABLE_H */
