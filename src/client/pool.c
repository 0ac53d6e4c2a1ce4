#include "client/pool.h"

#include <stdatomic.h>
#include <stdlib.h>

#include <uv.h>

#include "client/fork.h"

static _Atomic uint32_t
    g_begun_in; /* 1 + the generation of fork() that used the pool last; 0 = none did */

void pool_note_use(void)
{
    atomic_store(&g_begun_in, fork_generation() + 1);
}

static void nothing(uv_work_t *work)
{
}

/* Runs before libuv's destructor: exit handlers come before those of libraries. */
static void renew_at_exit(void)
{
    uint32_t begun_in = atomic_load(&g_begun_in);
    if (begun_in == 0 || begun_in == fork_generation() + 1)
        return;
    uv_loop_t loop;
    uv_work_t work;
    if (uv_loop_init(&loop) < 0)
        return; /* out of memory or descriptors: as bad as without us */
    if (uv_queue_work(&loop, &work, nothing, NULL) == 0)
        (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
}

void pool_watch_exit(void)
{
    (void)atexit(
        renew_at_exit); /* fails only without memory: then exit() in a child is as without it */
}
