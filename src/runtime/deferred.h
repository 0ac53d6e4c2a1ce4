/*
 * Work for the next turn of the loop, so that no callback runs inside a call of its receiver.
 * Costs no system call: an idle handle keeps the loop from sleeping once. Loop thread only.
 */
#ifndef CWS_RUNTIME_DEFERRED_H
#define CWS_RUNTIME_DEFERRED_H

#include "base/list.h"

struct runtime;

struct deferred {
    struct list link; /* zeroed: not queued */
    void (*cb)(struct deferred *d);
};

/** deferred_post() - @d->cb runs once in the next turn of the loop; posting again before that
 * changes nothing. */
void deferred_post(struct runtime *rt, struct deferred *d);
void deferred_cancel(struct deferred *d);

#endif
