#include "client/client.h"

#include <signal.h>

#include "client/conn.h"
#include "client/op.h"
#include "client/pool.h"

static _Atomic uint32_t g_generation; /* raised in every child */
static pthread_mutex_t g_default_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cws_client *g_default; /* [g_default_lock] */
static pthread_once_t g_fork_once = PTHREAD_ONCE_INIT;

uint32_t fork_generation(void)
{
    return atomic_load_explicit(&g_generation,
                                memory_order_relaxed); /* changes only while single-threaded */
}

/* Only this thread exists here. What the parent's threads held stays as it is and is never
 * looked at again. */
static void on_fork_child(void)
{
    atomic_fetch_add(&g_generation, 1);
    (void)pthread_mutex_init(&g_default_lock, NULL);
    g_default = NULL;
}

static void register_fork_handler(void)
{
    pool_watch_exit();
    (void)pthread_atfork(
        NULL, NULL,
        on_fork_child); /* fails only without memory: then fork() is as without it */
}

struct cws_client *client_ref(struct cws_client *client)
{
    atomic_fetch_add(&client->refs, 1);
    return client;
}

void client_unref(struct cws_client *client)
{
    if (!client || atomic_fetch_sub(&client->refs, 1) != 1 || client_forked(client))
        return;
    (void)pthread_mutex_destroy(&client->lock);
    free(client);
}

/* The send is under the lock, so that the handle cannot be closed between the test and it. */
static void post_locked(struct cws_client *client, struct task *task)
{
    CHECK(!atomic_exchange(&task->queued, true));
    bool was_empty = client->first == NULL;
    task->next = NULL;
    *client->last = task;
    client->last = &task->next;
    if (was_empty)
        (void)uv_async_send(&client->wake);
}

int loop_post(struct cws_client *client, struct task *task)
{
    if (client_forked(client))
        return -1;
    (void)pthread_mutex_lock(&client->lock);
    bool closed = client->closed;
    if (!closed)
        post_locked(client, task);
    (void)pthread_mutex_unlock(&client->lock);
    return closed ? -1 : 0;
}

static struct task *take_tasks(struct cws_client *client)
{
    (void)pthread_mutex_lock(&client->lock);
    struct task *tasks = client->first;
    client->first = NULL;
    client->last = &client->first;
    (void)pthread_mutex_unlock(&client->lock);
    return tasks;
}

static void on_wake(uv_async_t *wake)
{
    struct task *task = take_tasks(CONTAINER_OF(wake, struct cws_client, wake));
    while (task) {
        struct task *next = task->next; /* the task may be freed or posted again by its run() */
        atomic_store(&task->queued, false);
        task->run(task);
        task = next;
    }
}

/* The last task. Ending a handle may end others, so they are taken from the list one at a time.
 */
static void on_close_task(struct task *task)
{
    struct cws_client *client = CONTAINER_OF(task, struct cws_client, close_task);
    client->closing = true;
    struct list ending;
    list_init(&ending);
    list_splice(&client->ops, &ending);
    while (!list_empty(&ending)) {
        struct cws_op *op = CONTAINER_OF(list_first(&ending), struct cws_op, link);
        list_remove(&op->link);
        list_append(&client->ops, &op->link);
        op_close(op);
    }
    conns_close(client);
    /* From here on the loop lives only as long as connections, DNS look-ups and stopping calls
     * need it. */
    uv_unref((uv_handle_t *)&client->wake);
}

static void *loop_main(void *arg)
{
    struct cws_client *client = arg;
    (void)uv_run(&client->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&client->wake, NULL);
    timers_close(&client->timers);
    (void)uv_run(&client->loop, UV_RUN_DEFAULT);
    conns_free(client);
    tls_config_unref(client->tls);
    CHECK(list_empty(&client->ops));
    CHECK(uv_loop_close(&client->loop) == 0);
    return NULL;
}

/* The program's signal handlers must run on its own threads: a handler on this one could not
 * interrupt a wait. */
static int start_thread(struct cws_client *client)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&client->thread, NULL, loop_main, client);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return -r;
#ifdef __linux__
    (void)pthread_setname_np(client->thread, "cwsandbox");
#endif
    return 0;
}

/* Undoes a half-made loop on the calling thread. */
static void abandon_loop(struct cws_client *client)
{
    uv_close((uv_handle_t *)&client->wake, NULL);
    timers_close(&client->timers);
    (void)uv_run(&client->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&client->loop);
}

static int start_loop(struct cws_client *client)
{
    int r = uv_loop_init(&client->loop);
    if (r < 0)
        return r;
    r = uv_async_init(&client->loop, &client->wake, on_wake);
    if (r < 0) {
        (void)uv_loop_close(&client->loop);
        return r;
    }
    (void)timers_init(&client->timers, &client->loop); /* uv_timer_init() cannot fail */
    r = start_thread(client);
    if (r < 0)
        abandon_loop(client);
    return r;
}

struct cws_client *cws_client_new(cws_error **error)
{
    (void)pthread_once(&g_fork_once, register_fork_handler);
    struct cws_client *client = calloc(1, sizeof(*client));
    if (!client) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    client->refs = 1;
    client->generation = fork_generation();
    client->last = &client->first;
    client->close_task.run = on_close_task;
    list_init(&client->ops);
    list_init(&client->leave_ops);
    (void)pthread_mutex_init(&client->lock, NULL);
    int r = start_loop(client);
    if (r < 0) {
        (void)error_set(error, r == UV_ENOMEM ? CWS_E_NOMEM : CWS_E_GENERIC,
                        "start the client's thread: %s", uv_strerror(r));
        client_unref(client);
        return NULL;
    }
    return client;
}

struct cws_client *cws_client_default(cws_error **error)
{
    (void)pthread_mutex_lock(&g_default_lock);
    if (!g_default)
        g_default = cws_client_new(error);
    struct cws_client *client = g_default;
    (void)pthread_mutex_unlock(&g_default_lock);
    return client;
}

static bool is_default(const struct cws_client *client)
{
    (void)pthread_mutex_lock(&g_default_lock);
    bool yes = client == g_default;
    (void)pthread_mutex_unlock(&g_default_lock);
    return yes;
}

void cws_client_unref(struct cws_client *client)
{
    if (!client || client_forked(client) || is_default(client))
        return; /* the default client is borrowed by everybody and ends with the process */
    (void)pthread_mutex_lock(&client->lock);
    post_locked(client, &client->close_task);
    client->closed = true;
    (void)pthread_mutex_unlock(&client->lock);
    (void)pthread_join(client->thread, NULL);
    client_unref(client);
}

struct cws_client *client_or_default(struct cws_client *client, cws_error **error)
{
    if (!client)
        return cws_client_default(error);
    if (client_forked(client)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    return client;
}

struct tls_config *client_tls(struct cws_client *client, struct err *err)
{
    if (!client->tls)
        client->tls = tls_client_new(NULL, err);
    return client->tls;
}

const char *cws_version(void)
{
    return CWS_VERSION;
}
