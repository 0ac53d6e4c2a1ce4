/* A list and an idle handle: see deferred.h. */
#include "loop/deferred.h"

#include "base/macros.h"

static void run_turn(struct deferred_queue *q)
{
    struct list batch;

    /* What is posted from here on belongs to the next turn: other events get theirs in between. */
    (void)uv_idle_stop(&q->idle);
    list_init(&batch);
    if (!list_empty(&q->posted)) {
        batch = q->posted;
        batch.next->prev = batch.prev->next = &batch;
        list_init(&q->posted);
    }
    for (struct list *it; (it = list_first(&batch));) {
        struct deferred *d = CONTAINER_OF(it, struct deferred, link);
        list_remove(it);
        d->cb(d);
    }
}

static void on_idle(uv_idle_t *handle)
{
    run_turn(CONTAINER_OF(handle, struct deferred_queue, idle));
}

void deferred_queue_init(struct deferred_queue *q, uv_loop_t *loop)
{
    list_init(&q->posted);
    (void)uv_idle_init(loop, &q->idle); /* cannot fail */
}

void deferred_queue_run(struct deferred_queue *q)
{
    while (!list_empty(&q->posted))
        run_turn(q);
}

void deferred_queue_close(struct deferred_queue *q, uv_close_cb on_closed)
{
    CHECK(list_empty(&q->posted));
    (void)uv_idle_stop(&q->idle);
    uv_close((uv_handle_t *)&q->idle, on_closed);
}

void deferred_post(struct deferred_queue *q, struct deferred *d)
{
    if (d->link.next && !list_empty(&d->link))
        return;
    list_append(&q->posted, &d->link);
    (void)uv_idle_start(&q->idle, on_idle);
}

void deferred_cancel(struct deferred *d)
{
    if (d->link.next)
        list_remove(&d->link);
}
