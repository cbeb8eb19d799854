/* A piece of memory a thread, for receives whose size is not known before.
 *
 * Rules: nothing is shared between threads; while it is lent it is not lent
 * again (a signal handler that receives gets none, and allocates); it grows to
 * what was asked for, at most FASTSOCK_LARGEST_SCRATCH, of which only pages that
 * the kernel wrote are real memory; pages above FASTSOCK_KEPT_SCRATCH go back
 * after use; the thread's end frees it.
 */
#ifndef FASTSOCK_SCRATCH_H
#define FASTSOCK_SCRATCH_H

#include <pthread.h>
#include <stddef.h>
#include <sys/mman.h>

enum {
    FASTSOCK_SMALLEST_SCRATCH = 64 * 1024,
    FASTSOCK_KEPT_SCRATCH = 256 * 1024,
    /* What is received here still needs a result: a copy of more might not fit. */
    FASTSOCK_LARGEST_SCRATCH = 1024 * 1024,
};

typedef struct {
    char *memory;
    size_t size;
    int is_lent;
} FastsockScratch;

static __thread FastsockScratch fastsock_scratch;
static pthread_key_t fastsock_scratch_key;
static pthread_once_t fastsock_scratch_once = PTHREAD_ONCE_INIT;
static int fastsock_scratch_has_key;

static void fastsock_free_scratch(void *memory)
{
    (void)memory;
    if (fastsock_scratch.memory != NULL)
        (void)munmap(fastsock_scratch.memory, fastsock_scratch.size);
    fastsock_scratch.memory = NULL;
    fastsock_scratch.size = 0;
}

static void fastsock_make_scratch_key(void)
{
    fastsock_scratch_has_key =
        pthread_key_create(&fastsock_scratch_key, fastsock_free_scratch) == 0;
}

static inline int fastsock_grow_scratch(size_t size)
{
    size_t wanted = FASTSOCK_SMALLEST_SCRATCH;
    void *memory;
    while (wanted < size)
        wanted *= 2;
    (void)pthread_once(&fastsock_scratch_once, fastsock_make_scratch_key);
    if (!fastsock_scratch_has_key)
        return -1;
    memory = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -1;
    fastsock_free_scratch(NULL);
    fastsock_scratch.memory = (char *)memory;
    fastsock_scratch.size = wanted;
    /* Any value but NULL has the destructor called at the thread's end. */
    return pthread_setspecific(fastsock_scratch_key, memory);
}

/* Memory of at least `size` bytes, or NULL; give it back before the next. */
static inline char *fastsock_borrow_scratch(size_t size)
{
    if (fastsock_scratch.is_lent || size > FASTSOCK_LARGEST_SCRATCH)
        return NULL;
    if (fastsock_scratch.size < size && fastsock_grow_scratch(size) != 0)
        return NULL;
    fastsock_scratch.is_lent = 1;
    return fastsock_scratch.memory;
}

static inline void fastsock_give_back_scratch(size_t used)
{
    fastsock_scratch.is_lent = 0;
    if (used > FASTSOCK_KEPT_SCRATCH)
        (void)madvise(fastsock_scratch.memory + FASTSOCK_KEPT_SCRATCH,
                      fastsock_scratch.size - FASTSOCK_KEPT_SCRATCH, MADV_DONTNEED);
}

#endif /* FASTSOCK_SCRATCH_H */
