/* Faults made on purpose: a run in which they are not reported proves nothing. */

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int shared;

static void *count(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100000; i++)
        shared++;
    return NULL;
}

/* Reads one byte behind a block. */
int overrun(int size)
{
    char *block = malloc(size);
    memset(block, 1, size);
    int last = ((volatile char *)block)[size];
    free(block);
    return last;
}

/* Copies nothing from nowhere. */
void from_null(void *nowhere)
{
    char target[4] = "";
    memcpy(target, nowhere, 0);
}

/* Two threads count in one place. */
int race(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, count, NULL);
    count(NULL);
    pthread_join(thread, NULL);
    return shared;
}

/* Forgets a block. */
void lose(void)
{
    memset(malloc(77), 1, 77);
}
