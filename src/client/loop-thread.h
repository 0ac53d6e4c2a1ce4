/*
 * loop_thread: one libuv loop on a thread of its own. It knows nothing of what lives on it.
 *
 * The one door in is loop_post(): a list of tasks under a mutex and one eventfd write per
 * burst. loop_thread_stop() posts the last task; the loop then runs dry and the thread ends.
 *
 * Each struct field in this room says who may touch it: [const], [lock], [loop].
 */
#ifndef CWS_CLIENT_LOOP_THREAD_H
#define CWS_CLIENT_LOOP_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "client/fork.h"
#include "loop/timers.h"

struct task {
    struct task *next;              /* owned by the loop while queued */
    void (*run)(struct task *task); /* on the loop thread */
    _Atomic bool queued;            /* from loop_post() until just before run() */
};

struct loop_thread {
    uint32_t generation; /* [const] */
    pthread_t thread;    /* [const] */

    pthread_mutex_t lock;
    struct task *first, **last; /* [lock] tasks not yet taken by the loop */
    bool closed;                /* [lock] no more tasks are accepted */

    uv_loop_t uv;         /* [loop] */
    uv_async_t wake;      /* any thread may uv_async_send() */
    struct timers timers; /* [loop] */

    struct task last_task;                  /* [lock] */
    void (*on_last)(struct loop_thread *t); /* [const] by the last task: close what is open */
    void (*on_dry)(struct loop_thread *t);  /* [const] no handle is left: free the rest */
};

/** loop_thread_init() - a zeroed @t can be started; loop_thread_done() - and freed, when it was not, or has ended. */
void loop_thread_init(struct loop_thread *t, void (*on_last)(struct loop_thread *t),
                      void (*on_dry)(struct loop_thread *t));
void loop_thread_done(struct loop_thread *t);
/** loop_thread_start() - 0, or an error of libuv: then there is no thread. */
int loop_thread_start(struct loop_thread *t);
/** loop_thread_stop() - on_last() follows all tasks posted before; returns when the thread has ended. Not on it. */
void loop_thread_stop(struct loop_thread *t);
/**
 * loop_post() - run @task on the loop thread, after the tasks posted before. The only way in
 * from other threads. Return: 0, or -1 when the thread is ending or a parent's: then the task
 * never runs. A task that is queued already must not be posted (checked): its link in the list
 * would be lost, and with it every task behind it. Whoever may ask twice keeps a "posted" flag
 * under a lock of its own, cleared by run().
 */
int loop_post(struct loop_thread *t, struct task *task);
static inline bool loop_forked(const struct loop_thread *t)
{
    return t->generation != fork_generation();
}

#endif
