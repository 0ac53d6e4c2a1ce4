#include "client/writer.h"

#include <string.h>

struct write_op {
    struct cws_op op;
    struct list item;   /* [writer's lock] */
    struct buf *frames; /* [writer's lock] NULL: EOF */
    size_t n_frames, n_taken;
    bool counted; /* [writer's lock] among the first WRITER_QUEUE_SIZE */
};

static void write_begin(struct cws_op *op)
{
    (void)op; /* never submitted: the writer's queue is where it lives */
}

static void write_cancel(struct cws_op *op)
{
    (void)op; /* a cancelled write is skipped when its turn comes */
}

static void write_free(struct cws_op *op)
{
    struct write_op *w = CONTAINER_OF(op, struct write_op, op);
    op_done_memory(op);
    for (size_t i = 0; w->frames && i < w->n_frames; i++)
        buf_done(&w->frames[i]);
    free(w->frames);
    free(w);
}

static const struct op_class write_class = {
    .begin = write_begin, .cancel = write_cancel, .free = write_free};

void writer_init(struct cws_writer *w, struct cws_op *owner, size_t frame_bytes,
                 void (*on_data)(struct cws_writer *w))
{
    w->owner = owner;
    w->frame_bytes = frame_bytes;
    w->on_data = on_data;
    list_init(&w->items);
}

void writer_done(struct cws_writer *w)
{
    CHECK(list_empty(&w->items) || !w->owner);
    error_unref(w->failure);
}

/* ---- the loop's side ---- */

/* Removes the first item; the caller drops its reference outside the lock. */
static struct write_op *pop_locked(struct cws_writer *w)
{
    struct write_op *item = CONTAINER_OF(list_first(&w->items), struct write_op, item);
    list_remove(&item->item);
    w->n_items--;
    return item;
}

/* The item that just became one of the first WRITER_QUEUE_SIZE, if it is still waiting. */
static struct write_op *admitted_locked(struct cws_writer *w)
{
    size_t i = 0;
    LIST_FOREACH(it, &w->items)
    {
        if (++i == WRITER_QUEUE_SIZE)
            return CONTAINER_OF(it, struct write_op, item);
    }
    return NULL;
}

/* Takes one frame off the first item. *ret_finished: that item is used up, *ret_admitted:
 * another one got its place. */
static enum writer_next take_locked(struct cws_writer *w, struct buf *ret,
                                    struct write_op **ret_finished,
                                    struct write_op **ret_admitted)
{
    if (list_empty(&w->items))
        return WRITER_EMPTY;
    struct write_op *first = CONTAINER_OF(list_first(&w->items), struct write_op, item);
    enum writer_next next = WRITER_EOF;
    if (first->frames && first->n_taken == 0 && cws_op_error(&first->op)) {
        next = WRITER_SKIPPED; /* cancelled before it was its turn: none of it is sent */
    } else if (first->frames) {
        next = WRITER_FRAME;
        *ret = first->frames[first->n_taken];
        first->frames[first->n_taken++] = (struct buf){0};
    }
    if (next != WRITER_FRAME || first->n_taken == first->n_frames) {
        *ret_finished = pop_locked(w);
        *ret_admitted = admitted_locked(w);
        if (*ret_admitted)
            (void)cws_op_ref(&(*ret_admitted)->op);
    }
    return next;
}

enum writer_next writer_take(struct cws_writer *w, struct buf *ret)
{
    enum writer_next next;
    do {
        struct write_op *finished = NULL, *admitted = NULL;
        op_lock(w->owner);
        next = take_locked(w, ret, &finished, &admitted);
        op_unlock(w->owner);
        if (finished)
            cws_op_unref(&finished->op);
        if (admitted) {
            (void)op_succeed(&admitted->op);
            cws_op_unref(&admitted->op);
        }
    } while (next == WRITER_SKIPPED);
    return next;
}

void writer_fail(struct cws_writer *w, struct cws_error *take)
{
    op_lock(w->owner);
    bool first = !w->failed;
    w->failed = true;
    if (first)
        w->failure = error_ref(take);
    op_unlock(w->owner);
    for (;;) {
        op_lock(w->owner);
        struct write_op *item = list_empty(&w->items) ? NULL : pop_locked(w);
        op_unlock(w->owner);
        if (!item)
            break;
        (void)op_fail(&item->op, error_ref(take)); /* no effect on those that were admitted */
        cws_op_unref(&item->op);
    }
    error_unref(take);
}

static void on_data_task(struct task *task)
{
    struct cws_writer *w = CONTAINER_OF(task, struct cws_writer, data_task);
    op_lock(w->owner);
    w->posted = false;
    op_unlock(w->owner);
    w->on_data(w);
    cws_op_unref(w->owner);
}

/* ---- the program's side ---- */

static int fill_frames(struct write_op *op, const uint8_t *data, size_t n, size_t frame_bytes)
{
    op->n_frames = n / frame_bytes + (n % frame_bytes != 0);
    op->frames = calloc(op->n_frames, sizeof(*op->frames));
    if (!op->frames)
        return -1;
    for (size_t i = 0; i < op->n_frames; i++) {
        size_t part = MIN(n, frame_bytes);
        if (buf_put(&op->frames[i], data, part) < 0)
            return -1;
        data += part;
        n -= part;
    }
    return 0;
}

static struct write_op *write_op_new(struct cws_writer *w, const void *data, size_t n,
                                     cws_error **error)
{
    struct write_op *op = calloc(1, sizeof(*op));
    if (!op) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    op_init(&op->op, &write_class, w->owner->client);
    list_init(&op->item);
    if (data && n > 0 && fill_frames(op, data, n, w->frame_bytes) < 0) {
        cws_op_unref(&op->op);
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    return op;
}

/* Why a write is refused at once; 0 when it is not. */
static int refuse_locked(const struct cws_writer *w, cws_error **error)
{
    if (w->failed) {
        struct cws_error *e =
            error_new(CWS_E_EXECUTION, "write to stdin: the stream has failed: %s",
                      cws_error_message(w->failure));
        error_add_cause(e, w->failure);
        return error_give(error, e);
    }
    return w->closed ? error_set(error, CWS_E_EXECUTION, "write to stdin: the stream is closed")
                     : 0;
}

/* Queues @op (its reference is taken) and tells the loop. */
static int enqueue(struct cws_writer *w, struct write_op *op, bool eof, cws_error **error)
{
    op_lock(w->owner);
    int r = refuse_locked(w, error);
    bool admitted = false, post = false;
    w->closed |= eof; /* also when it has failed: the program will write no more */
    if (r == 0) {
        list_append(&w->items, &op->item);
        admitted = ++w->n_items <= WRITER_QUEUE_SIZE;
        post = !w->posted;
        w->posted = true;
    }
    op_unlock(w->owner);
    if (r < 0)
        return r;
    if (admitted)
        (void)op_succeed(&op->op);
    if (post) {
        w->data_task.run = on_data_task;
        (void)cws_op_ref(w->owner);
        if (loop_post(&w->owner->client->loop, &w->data_task) < 0)
            cws_op_unref(w->owner); /* closed: the owner has failed or is about to */
    }
    return 0;
}

cws_op *cws_writer_write(cws_writer *w, const void *data, size_t size, cws_error **error)
{
    if (op_forked(w->owner)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    struct write_op *op = write_op_new(w, data, size, error);
    if (!op)
        return NULL;
    if (!op->frames) { /* an empty write sends nothing, but is refused like any other */
        op_lock(w->owner);
        int r = refuse_locked(w, error);
        op_unlock(w->owner);
        if (r == 0 && op_succeed(&op->op))
            return &op->op;
        cws_op_unref(&op->op);
        return NULL;
    }
    (void)cws_op_ref(&op->op);
    if (enqueue(w, op, false, error) < 0) {
        cws_op_unref(&op->op);
        cws_op_unref(&op->op);
        return NULL;
    }
    return &op->op;
}

cws_op *cws_writer_close(cws_writer *w, cws_error **error)
{
    if (op_forked(w->owner)) {
        (void)error_give(error, &error_forked);
        return NULL;
    }
    struct write_op *op = write_op_new(w, NULL, 0, error);
    if (!op)
        return NULL;
    (void)cws_op_ref(&op->op);
    if (enqueue(w, op, true, NULL) < 0) { /* closed or failed already: closing again is fine */
        cws_op_unref(&op->op);
        (void)op_succeed(&op->op);
    }
    return &op->op;
}

cws_writer *cws_writer_ref(cws_writer *w)
{
    (void)cws_op_ref(w->owner);
    return w;
}

void cws_writer_unref(cws_writer *w)
{
    if (w)
        cws_op_unref(w->owner);
}

int cws_writer_closed(const cws_writer *w)
{
    if (op_forked(w->owner))
        return 1;
    op_lock(w->owner);
    int closed = w->closed;
    op_unlock(w->owner);
    return closed;
}
