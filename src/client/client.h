/*
 * cws_client: one libuv loop on one thread, and what lives on it. Everything else in this room
 * is either immutable, under a lock, or touched by the loop thread only; each struct field says
 * which: [const], [lock], [loop].
 *
 * The one door in is loop_post(): a list of tasks under a mutex and one eventfd write per
 * burst. The public cws_client_unref() posts the last task, which ends every handle with
 * CWS_E_CLOSED and closes the connections; the loop then runs dry and the thread ends. The
 * memory lives until the last sandbox or handle of this client is gone.
 *
 * fork(): the child has no loop thread. A generation counter, raised in the child's atfork
 * handler, tells handles of the parent; they are never locked, posted or freed there (the
 * parent's thread may have held anything half-way).
 */
#ifndef CWS_CLIENT_CLIENT_H
#define CWS_CLIENT_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/strmap.h"
#include "client/error.h"
#include "loop/timers.h"
#include "transport/transport.h"

struct task {
    struct task *next;              /* owned by the loop while queued */
    void (*run)(struct task *task); /* on the loop thread */
    _Atomic bool queued;            /* from loop_post() until just before run() */
};

struct cws_client {
    _Atomic uint32_t refs;
    uint32_t generation; /* [const] */
    pthread_t thread;    /* [const] */

    pthread_mutex_t lock;
    struct task *first, **last; /* [lock] tasks not yet taken by the loop */
    bool closed;                /* [lock] no more tasks are accepted */

    uv_loop_t loop;         /* [loop] */
    uv_async_t wake;        /* any thread may uv_async_send() */
    struct timers timers;   /* [loop] */
    struct list ops;        /* [loop] begun and not ended */
    struct strmap conns;    /* [loop] by URL */
    struct tls_config *tls; /* [loop] made on first use */
    struct task close_task; /* [lock] */
    bool closing;           /* [loop] */
    size_t
        n_leaving; /* [loop] stops under way, and cancelled starts not yet answered; see leave.c */
    struct list leave_ops; /* [loop] who waits for it to be 0 */
};

/** client_or_default() - @client, or the default one; NULL with *@error when that cannot be
 * made or is a parent's. */
struct cws_client *client_or_default(struct cws_client *client, cws_error **error);
struct cws_client *client_ref(struct cws_client *client);
void client_unref(struct cws_client *client);
/**
 * loop_post() - run @task on the loop thread, after the tasks posted before. The only way in
 * from other threads. Return: 0, or -1 when the client is closed or a parent's: then the task
 * never runs. A task that is queued already must not be posted (checked): its link in the list
 * would be lost, and with it every task behind it. Whoever may ask twice keeps a "posted" flag
 * under a lock of its own, cleared by run().
 */
int loop_post(struct cws_client *client, struct task *task);
/** fork_generation() - how many forks lie between the first process and this one. */
uint32_t fork_generation(void);
static inline bool client_forked(const struct cws_client *client)
{
    return client->generation != fork_generation();
}
/** client_tls() - [loop] the TLS settings of https connections. */
struct tls_config *client_tls(struct cws_client *client, struct err *err);

#endif
