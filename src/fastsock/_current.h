/* The connection whose handler runs in this thread. Borrowed: whoever sets it keeps it. */
#ifndef FASTSOCK_CURRENT_H
#define FASTSOCK_CURRENT_H

static __thread void *fastsock_current;

static inline void *fastsock_set_current(void *connection)
{
    void *previous = fastsock_current;
    fastsock_current = connection;
    return previous;
}

static inline void *fastsock_get_current(void)
{
    return fastsock_current;
}

#endif /* FASTSOCK_CURRENT_H */
