#include "client/loop-thread.h"

#include <signal.h>

#include "base/macros.h"

/* The send is under the lock, so that the handle cannot be closed between the test and it. */
static void post_locked(struct loop_thread *t, struct task *task)
{
    CHECK(!atomic_exchange(&task->queued, true));
    bool was_empty = t->first == NULL;
    task->next = NULL;
    *t->last = task;
    t->last = &task->next;
    if (was_empty)
        (void)uv_async_send(&t->wake);
}

int loop_post(struct loop_thread *t, struct task *task)
{
    if (loop_forked(t))
        return -1;
    (void)pthread_mutex_lock(&t->lock);
    bool closed = t->closed;
    if (!closed)
        post_locked(t, task);
    (void)pthread_mutex_unlock(&t->lock);
    return closed ? -1 : 0;
}

static struct task *take_tasks(struct loop_thread *t)
{
    (void)pthread_mutex_lock(&t->lock);
    struct task *tasks = t->first;
    t->first = NULL;
    t->last = &t->first;
    (void)pthread_mutex_unlock(&t->lock);
    return tasks;
}

static void on_wake(uv_async_t *wake)
{
    struct task *task = take_tasks(CONTAINER_OF(wake, struct loop_thread, wake));
    while (task) {
        struct task *next = task->next; /* the task may be freed or posted again by its run() */
        atomic_store(&task->queued, false);
        task->run(task);
        task = next;
    }
}

static void on_last_task(struct task *task)
{
    struct loop_thread *t = CONTAINER_OF(task, struct loop_thread, last_task);
    t->on_last(t);
    /* From here on the loop lives only as long as what is closing on it. */
    uv_unref((uv_handle_t *)&t->wake);
}

static void close_handles(struct loop_thread *t)
{
    uv_close((uv_handle_t *)&t->wake, NULL);
    timers_close(&t->timers, NULL);
    (void)uv_run(&t->uv, UV_RUN_DEFAULT);
}

static void *loop_main(void *arg)
{
    struct loop_thread *t = arg;
    (void)uv_run(&t->uv, UV_RUN_DEFAULT);
    close_handles(t);
    t->on_dry(t);
    CHECK(uv_loop_close(&t->uv) == 0);
    return NULL;
}

/* The program's signal handlers must run on its own threads: a handler on this one could not
 * interrupt a wait. */
static int start_thread(struct loop_thread *t)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&t->thread, NULL, loop_main, t);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return -r;
#ifdef __linux__
    (void)pthread_setname_np(t->thread, "cwsandbox");
#endif
    return 0;
}

void loop_thread_init(struct loop_thread *t, void (*on_last)(struct loop_thread *t),
                      void (*on_dry)(struct loop_thread *t))
{
    t->generation = fork_generation();
    t->last = &t->first;
    t->last_task.run = on_last_task;
    t->on_last = on_last;
    t->on_dry = on_dry;
    (void)pthread_mutex_init(&t->lock, NULL);
}

void loop_thread_done(struct loop_thread *t)
{
    (void)pthread_mutex_destroy(&t->lock);
}

int loop_thread_start(struct loop_thread *t)
{
    int r = uv_loop_init(&t->uv);
    if (r < 0)
        return r;
    r = uv_async_init(&t->uv, &t->wake, on_wake);
    if (r < 0) {
        (void)uv_loop_close(&t->uv);
        return r;
    }
    (void)timers_init(&t->timers, &t->uv); /* uv_timer_init() cannot fail */
    r = start_thread(t);
    if (r < 0) {
        close_handles(t);
        (void)uv_loop_close(&t->uv);
    }
    return r;
}

void loop_thread_stop(struct loop_thread *t)
{
    (void)pthread_mutex_lock(&t->lock);
    post_locked(t, &t->last_task);
    t->closed = true;
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->thread, NULL);
}
