/*
 * Work for the next turn of the loop, so that no callback runs inside a call of its receiver.
 * Costs no system call: an idle handle keeps the loop from sleeping once.
 *
 * Owner: whoever has the loop; a `struct deferred` is embedded in whom it calls. Thread: the loop's.
 */
#ifndef CWS_LOOP_DEFERRED_H
#define CWS_LOOP_DEFERRED_H

#include <uv.h>

#include "base/list.h"

struct deferred {
    struct list link;               /* zeroed: not queued */
    void (*cb)(struct deferred *d); /* may free @d */
};

struct deferred_queue {
    uv_idle_t idle; /* runs while `posted` is not empty */
    struct list posted;
};

/** deferred_queue_init() - cannot fail; from here on it must be closed. */
void deferred_queue_init(struct deferred_queue *q, uv_loop_t *loop);
/** deferred_queue_run() - everything now, and what it posts; for the last words before a close. */
void deferred_queue_run(struct deferred_queue *q);
/** deferred_queue_close() - nothing is posted any more; @on_closed gets `q->idle` and releases the memory. */
void deferred_queue_close(struct deferred_queue *q, uv_close_cb on_closed);
/** deferred_post() - @d->cb runs once in the next turn of the loop; posting again before that
 * changes nothing. */
void deferred_post(struct deferred_queue *q, struct deferred *d);
/** deferred_cancel() - harmless when it is not posted. */
void deferred_cancel(struct deferred *d);

#endif
