#include "client/op.h"

#include <errno.h>
#include <string.h>

struct op_callback {
    struct op_callback *next;
    void (*cb)(struct cws_op *op, void *user);
    void *user;
};

void op_lock(struct cws_op *op)
{
    (void)pthread_mutex_lock(&op->lock);
}

void op_unlock(struct cws_op *op)
{
    (void)pthread_mutex_unlock(&op->lock);
}

void op_init(struct cws_op *op, const struct op_class *cls, struct cws_client *client)
{
    op->refs = 1;
    op->state = OP_PENDING;
    op->generation = client->loop.generation;
    op->fd = op->fd_write_end = -1;
    op->cls = cls;
    op->client = client_ref(client);
    (void)pthread_mutex_init(&op->lock, NULL);
    list_init(&op->waiters);
    list_init(&op->link);
}

static void result_free(struct op_result *r)
{
    error_unref(r->error);
    if (r->free_data)
        r->free_data(r->data, r->size);
    else
        free(r->data);
    *r = (struct op_result){0};
}

void op_done_memory(struct cws_op *op)
{
    CHECK(list_empty(&op->waiters) && !op->callbacks);
    result_free(&op->result);
    notify_fd_close(op->fd, op->fd_write_end);
    (void)pthread_mutex_destroy(&op->lock);
    client_unref(op->client);
}

struct cws_op *cws_op_ref(struct cws_op *op)
{
    atomic_fetch_add(&op->refs, 1);
    return op;
}

void cws_op_unref(struct cws_op *op)
{
    /* A parent's handle is not freed in the child: its thread may have been in the middle of
     * changing it. */
    if (op && atomic_fetch_sub(&op->refs, 1) == 1 && !op_forked(op))
        op->cls->free(op);
}

/* ---- completion ---- */

void waiters_fire_locked(struct list *waiters)
{
    while (!list_empty(waiters)) {
        struct waiter *w = CONTAINER_OF(list_first(waiters), struct waiter, link);
        list_remove(&w->link);
        w->fire(w);
    }
}

bool waiters_remove_locked(struct list *waiters, struct waiter *w)
{
    LIST_FOREACH(it, waiters)
    {
        if (it == &w->link) {
            list_remove(it);
            return true;
        }
    }
    return false;
}

static void run_callbacks(struct cws_op *op, struct op_callback *list)
{
    struct op_callback *in_order = NULL; /* they were pushed, so the last one comes first */
    while (list) {
        struct op_callback *next = list->next;
        list->next = in_order;
        in_order = list;
        list = next;
    }
    while (in_order) {
        struct op_callback *next = in_order->next;
        in_order->cb(op, in_order->user);
        free(in_order);
        in_order = next;
    }
}

bool op_complete(struct cws_op *op, struct op_result take)
{
    op_lock(op);
    if (op_is_done(op)) {
        op_unlock(op);
        result_free(&take);
        return false;
    }
    op->result = take;
    if (op->cls->settled)
        op->cls->settled(op);
    uint32_t before = atomic_exchange(&op->state, OP_DONE);
    if (op->fd >= 0)
        notify_fd_raise(op->fd_write_end);
    struct op_callback *callbacks = op->callbacks;
    op->callbacks = NULL;
    waiters_fire_locked(&op->waiters);
    op_unlock(op);
    /* The caller holds a reference, so the word is still there although a sleeper may have run
     * already. */
    if (before == OP_SLEPT_ON)
        event_wake(&op->state);
    run_callbacks(op, callbacks);
    return true;
}

bool op_succeed(struct cws_op *op)
{
    return op_complete(op, (struct op_result){0});
}

bool op_fail(struct cws_op *op, struct cws_error *take)
{
    return op_complete(op, (struct op_result){.error = take});
}

/* ---- on the loop ---- */

static void on_begin_task(struct task *task)
{
    struct cws_op *op = CONTAINER_OF(task, struct cws_op, begin_task);
    op->begun = true;
    list_append(&op->client->ops, &op->link);
    if (op_is_done(
            op)) /* cancelled before it began: readers and writers still have to be told */
        op->cls->cancel(op);
    else
        op->cls->begin(op);
}

int op_submit(struct cws_op *op, cws_error **error)
{
    if (op_forked(op))
        return error_give(error, &error_forked);
    op->begin_task.run = on_begin_task;
    (void)cws_op_ref(op);
    if (loop_post(&op->client->loop, &op->begin_task) < 0) {
        (void)atomic_fetch_sub(&op->refs, 1); /* not the last one: the caller has it */
        return error_set(error, CWS_E_CLOSED, "the client is closed");
    }
    return 0;
}

void op_end(struct cws_op *op)
{
    CHECK(op->begun);
    op->begun = false;
    list_remove(&op->link);
    cws_op_unref(op);
}

static void on_cancel_task(struct task *task)
{
    struct cws_op *op = CONTAINER_OF(task, struct cws_op, cancel_task);
    if (op->begun)
        op->cls->cancel(op);
    cws_op_unref(op);
}

static void op_close(struct cws_op *op)
{
    (void)cws_op_ref(op); /* cancel() may drop the last other one */
    (void)op_fail(op, error_new(CWS_E_CLOSED, "the client was closed"));
    if (op->begun)
        op->cls->cancel(op);
    cws_op_unref(op);
}

/* Ending a handle may end others, so they are taken from the list one at a time. */
void ops_close(struct cws_client *client)
{
    struct list ending;
    list_init(&ending);
    list_splice(&client->ops, &ending);
    while (!list_empty(&ending)) {
        struct cws_op *op = CONTAINER_OF(list_first(&ending), struct cws_op, link);
        list_remove(&op->link);
        list_append(&client->ops, &op->link);
        op_close(op);
    }
}

/* ---- public ---- */

cws_wait_result wait_result_of(int event_result)
{
    return event_result == -ETIMEDOUT ? CWS_WAIT_TIMEOUT : CWS_WAIT_INTERRUPTED;
}

cws_wait_result cws_op_wait(struct cws_op *op, uint64_t timeout_ns)
{
    uint64_t deadline_ns = timeout_ns && timeout_ns != CWS_FOREVER && !op_is_done(op)
                               ? event_deadline(timeout_ns)
                               : timeout_ns;
    while (!op_is_done(op) && !op_forked(op)) {
        if (timeout_ns == 0)
            return CWS_WAIT_TIMEOUT;
        uint32_t expected = OP_PENDING;
        if (!atomic_compare_exchange_strong(&op->state, &expected, OP_SLEPT_ON) &&
            expected == OP_DONE)
            break;
        int r = event_wait(&op->state, OP_SLEPT_ON, deadline_ns);
        if (r < 0 && !op_is_done(op))
            return wait_result_of(r);
    }
    return CWS_WAIT_DONE;
}

int cws_op_done(const struct cws_op *op)
{
    return op_is_done(op) || op_forked(op);
}

int cws_op_cancel(struct cws_op *op)
{
    if (cws_op_done(op))
        return 0;
    if (!op_fail(op, error_new(CWS_E_CANCELLED, "the operation was cancelled")))
        return 0;
    op->cancel_task.run = on_cancel_task; /* at most once: only one caller ends the op */
    (void)cws_op_ref(op);
    if (loop_post(&op->client->loop, &op->cancel_task) < 0)
        cws_op_unref(op);
    return 1;
}

const cws_error *cws_op_error(const struct cws_op *op)
{
    if (op_is_done(op))
        return op->result.error;
    return op_forked(op) ? &error_forked : NULL;
}

const void *cws_op_data(const struct cws_op *op, size_t *ret_len)
{
    bool has = op_is_done(op) && !op->result.free_data;
    *ret_len = has ? op->result.size : 0;
    return has ? op->result.data : NULL;
}

int cws_op_int(const struct cws_op *op)
{
    return op_is_done(op) ? op->result.value : 0;
}

int cws_op_on_done(struct cws_op *op, void (*cb)(struct cws_op *op, void *user), void *user,
                   cws_error **error)
{
    if (!cws_op_done(op)) {
        struct op_callback *c = malloc(sizeof(*c));
        if (!c)
            return error_give(error, &error_nomem);
        *c = (struct op_callback){.cb = cb, .user = user};
        op_lock(op);
        bool done = op_is_done(op);
        if (!done) {
            c->next = op->callbacks;
            op->callbacks = c;
        }
        op_unlock(op);
        if (!done)
            return 0;
        free(c);
    }
    cb(op, user);
    return 0;
}

int cws_op_fd(struct cws_op *op, cws_error **error)
{
    if (op_forked(op) && !op_is_done(op))
        return error_give(error, &error_forked);
    op_lock(op);
    int r = 0;
    if (op->fd < 0) {
        r = notify_fd_open(&op->fd, &op->fd_write_end);
        if (r == 0 && op_is_done(op))
            notify_fd_raise(op->fd_write_end);
    }
    int fd = op->fd;
    op_unlock(op);
    if (r < 0)
        return error_set(error, CWS_E_GENERIC, "make a descriptor: %s", strerror(-r));
    return fd;
}
