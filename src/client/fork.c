#include "client/fork.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

static _Atomic uint32_t g_generation; /* raised in every child */

uint32_t fork_generation(void)
{
    return atomic_load_explicit(&g_generation,
                                memory_order_relaxed); /* changes only while single-threaded */
}

static void on_child(void)
{
    atomic_fetch_add(&g_generation, 1);
}

void fork_watch(void)
{
    /* Fails only without memory: then fork() is as without it. */
    (void)pthread_atfork(NULL, NULL, on_child);
}
