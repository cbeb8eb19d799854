/* A flag that at most one thread has: a reader's or a writer's turn. */
#ifndef FASTSOCK_CLAIM_H
#define FASTSOCK_CLAIM_H

/* Take it, or return 0. */
static inline int fastsock_claim(int *flag)
{
    return !__atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE);
}

static inline void fastsock_release(int *flag)
{
    __atomic_store_n(flag, 0, __ATOMIC_RELEASE);
}

#endif /* FASTSOCK_CLAIM_H */
