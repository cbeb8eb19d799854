/* Counters of what fastsock did in this process. Plain additions: on a
 * free-threaded build they are atomic, relaxed. */
#ifndef FASTSOCK_STATS_H
#define FASTSOCK_STATS_H

#include <Python.h>
#include <stdint.h>

#ifdef Py_GIL_DISABLED
#  define FASTSOCK_COUNT(counter, amount) \
       ((void)__atomic_fetch_add(&(counter), (int64_t)(amount), __ATOMIC_RELAXED))
#else
#  define FASTSOCK_COUNT(counter, amount) ((void)((counter) += (int64_t)(amount)))
#endif

#endif /* FASTSOCK_STATS_H */
