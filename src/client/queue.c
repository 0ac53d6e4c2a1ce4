/*
 * cws_queue: completions of many handles behind one descriptor; and cws_wait(), which waits for
 * some of many.
 *
 * A node waits in two lists: the handle's waiters (handle's lock) and the queue's `waiting`
 * (queue's lock). The order of locks is handle -> queue, so freeing the queue takes a node out
 * of `waiting` first, marks it orphaned, and only then looks for it under its handle's lock; a
 * node that fired meanwhile sees the mark and frees itself.
 */
#include <errno.h>
#include <string.h>

#include "client/op.h"
#include "client/reader.h"

struct cws_queue {
    _Atomic uint32_t refs; /* one of the program, one per waiting node */
    uint32_t generation;   /* [const] */
    pthread_mutex_t lock;
    int fd, fd_write_end; /* [const] */
    struct list waiting;  /* [lock] */
    struct list ready;    /* [lock] */
};

struct node {
    struct waiter waiter;    /* [handle's lock] */
    struct list link;        /* [queue's lock] in waiting or ready */
    struct cws_queue *queue; /* [const] reference while waiting */
    struct cws_op *op;       /* [const] reference: keeps the handle's lock alive */
    struct list *waiters;    /* [const] the list inside the handle */
    void *tag;               /* [const] */
    bool orphaned;           /* [queue's lock] the queue was freed */
};

static void queue_unref(struct cws_queue *q)
{
    if (atomic_fetch_sub(&q->refs, 1) != 1)
        return;
    notify_fd_close(q->fd, q->fd_write_end);
    (void)pthread_mutex_destroy(&q->lock);
    free(q);
}

/* Runs under the handle's lock. */
static void on_node_fire(struct waiter *w)
{
    struct node *node = CONTAINER_OF(w, struct node, waiter);
    struct cws_queue *q = node->queue;
    (void)pthread_mutex_lock(&q->lock);
    bool orphaned = node->orphaned;
    if (!orphaned) {
        if (list_empty(&q->ready))
            notify_fd_raise(q->fd_write_end);
        list_remove(&node->link);
        list_append(&q->ready, &node->link);
    }
    (void)pthread_mutex_unlock(&q->lock);
    /* The node's reference to its handle is dropped by cws_queue_next() or by the freeing
     * thread: not here, where the handle's lock is held. The freeing thread of an orphan still
     * needs the handle. */
    if (orphaned)
        free(node);
    queue_unref(q);
}

cws_queue *cws_queue_new(cws_error **error)
{
    struct cws_queue *q = calloc(1, sizeof(*q));
    if (!q) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    int r = notify_fd_open(&q->fd, &q->fd_write_end);
    if (r < 0) {
        free(q);
        (void)error_set(error, CWS_E_GENERIC, "make a descriptor: %s", strerror(-r));
        return NULL;
    }
    q->refs = 1;
    q->generation = fork_generation();
    (void)pthread_mutex_init(&q->lock, NULL);
    list_init(&q->waiting);
    list_init(&q->ready);
    return q;
}

int cws_queue_fd(const cws_queue *q)
{
    return q->fd;
}

/* @ready tells, under the op's lock, whether there is nothing to wait for. */
static int queue_add(cws_queue *q, struct cws_op *op, struct list *waiters,
                     struct cws_reader *reader, void *tag, cws_error **error)
{
    if (!tag)
        return error_set(error, CWS_E_INVALID, "a queue's tag must not be NULL");
    if (q->generation != fork_generation() || (op_forked(op) && !op_is_done(op)))
        return error_give(error, &error_forked);
    struct node *node = calloc(1, sizeof(*node));
    if (!node)
        return error_give(error, &error_nomem);
    node->waiter.fire = on_node_fire;
    node->queue = q;
    node->op = cws_op_ref(op);
    node->waiters = waiters;
    node->tag = tag;
    list_init(&node->waiter.link);
    list_init(&node->link);
    atomic_fetch_add(&q->refs, 1);
    op_lock(op);
    (void)pthread_mutex_lock(&q->lock);
    list_append(&q->waiting, &node->link);
    (void)pthread_mutex_unlock(&q->lock);
    if (reader ? reader_has_something_locked(reader) : op_is_done(op))
        on_node_fire(&node->waiter);
    else
        list_append(waiters, &node->waiter.link);
    op_unlock(op);
    return 0;
}

int cws_queue_add(cws_queue *q, cws_op *op, void *tag, cws_error **error)
{
    return queue_add(q, op, &op->waiters, NULL, tag, error);
}

int cws_queue_add_reader(cws_queue *q, cws_reader *r, void *tag, cws_error **error)
{
    return queue_add(q, r->owner, &r->waiters, r, tag, error);
}

void *cws_queue_next(cws_queue *q)
{
    if (q->generation != fork_generation())
        return NULL;
    struct node *node = NULL;
    (void)pthread_mutex_lock(&q->lock);
    if (!list_empty(&q->ready)) {
        node = CONTAINER_OF(list_first(&q->ready), struct node, link);
        list_remove(&node->link);
        if (list_empty(&q->ready))
            notify_fd_clear(q->fd);
    }
    (void)pthread_mutex_unlock(&q->lock);
    if (!node)
        return NULL;
    void *tag = node->tag;
    cws_op_unref(node->op);
    free(node);
    return tag;
}

struct taken {
    struct node *node; /* NULL: the queue is empty. Not to be looked into when `waits` */
    struct cws_op *op; /* the node's reference, now ours */
    struct list *waiters;
    bool waits; /* its handle may still know it, or is firing it right now */
};

static struct taken take_any_node(cws_queue *q)
{
    struct taken t = {0};
    (void)pthread_mutex_lock(&q->lock);
    t.waits = !list_empty(&q->waiting);
    struct list *from = t.waits ? &q->waiting : &q->ready;
    if (!list_empty(from)) {
        t.node = CONTAINER_OF(list_first(from), struct node, link);
        list_remove(&t.node->link);
        t.node->orphaned = t.waits;
        t.op = t.node->op;
        t.waiters = t.node->waiters;
    }
    (void)pthread_mutex_unlock(&q->lock);
    return t;
}

void cws_queue_free(cws_queue *q)
{
    if (!q || q->generation != fork_generation())
        return;
    for (struct taken t; (t = take_any_node(q)).node;) {
        bool ours = true;
        if (t.waits) {
            op_lock(t.op);
            ours = waiters_remove_locked(t.waiters, &t.node->waiter);
            op_unlock(t.op);
            if (ours)
                queue_unref(q);
        }
        if (ours)
            free(t.node);
        cws_op_unref(t.op);
    }
    queue_unref(q);
}

/* ---- cws_wait ---- */

struct gather {
    _Atomic uint32_t n_done;
};

struct gather_waiter {
    struct waiter waiter;
    struct gather *gather;
};

static void on_gather_fire(struct waiter *w)
{
    struct gather_waiter *g = CONTAINER_OF(w, struct gather_waiter, waiter);
    atomic_fetch_add(&g->gather->n_done, 1);
    event_wake(&g->gather->n_done);
}

static cws_wait_result gather_sleep(struct gather *gather, uint32_t want, uint64_t timeout_ns)
{
    uint64_t deadline_ns = event_deadline(timeout_ns);
    for (;;) {
        uint32_t n_done = atomic_load(&gather->n_done);
        if (n_done >= want)
            return CWS_WAIT_DONE;
        if (timeout_ns == 0)
            return CWS_WAIT_TIMEOUT;
        int r = event_wait(&gather->n_done, n_done, deadline_ns);
        if (r < 0 && atomic_load(&gather->n_done) < want)
            return wait_result_of(r);
    }
}

static void gather_add(struct gather *gather, struct gather_waiter *g, struct cws_op *op)
{
    g->gather = gather;
    g->waiter.fire = on_gather_fire;
    list_init(&g->waiter.link);
    if (cws_op_done(op)) {
        atomic_fetch_add(&gather->n_done, 1);
        return;
    }
    op_lock(op);
    if (op_is_done(op))
        atomic_fetch_add(&gather->n_done, 1);
    else
        list_append(&op->waiters, &g->waiter.link);
    op_unlock(op);
}

static bool gather_remove(struct gather_waiter *g, struct cws_op *op)
{
    if (op_forked(op) && !op_is_done(op))
        return true;
    op_lock(op);
    (void)waiters_remove_locked(&op->waiters, &g->waiter);
    bool done = op_is_done(op);
    op_unlock(op);
    return done;
}

cws_wait_result cws_wait(cws_op *const *ops, size_t n, size_t num_returns, uint64_t timeout_ns,
                         unsigned char *ret_done)
{
    struct gather gather = {0};
    uint32_t want = (uint32_t)(num_returns == 0 || num_returns > n ? n : num_returns);
    CLEANUP_FREE struct gather_waiter *waiters = n ? calloc(n, sizeof(*waiters)) : NULL;
    if (n && !waiters) {
        /* Without memory wait for them one after the other: right for "all", late but not wrong
         * for fewer. */
        cws_wait_result r = CWS_WAIT_DONE;
        for (size_t i = 0; i < want && r == CWS_WAIT_DONE; i++)
            r = cws_op_wait(ops[i], timeout_ns);
        for (size_t i = 0; i < n; i++)
            ret_done[i] = (unsigned char)cws_op_done(ops[i]);
        return r;
    }
    for (size_t i = 0; i < n; i++)
        gather_add(&gather, &waiters[i], ops[i]);
    cws_wait_result r = gather_sleep(&gather, want, timeout_ns);
    for (size_t i = 0; i < n; i++)
        ret_done[i] = gather_remove(&waiters[i], ops[i]);
    return r;
}
