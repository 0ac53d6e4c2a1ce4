/*
 * Deadlines of one loop: a pairing heap of intrusive timers under one uv_timer_t. A libuv timer of its own would cost each
 * call an asynchronous close, so that a call could not be freed in its last callback. Most timers here are deadlines that
 * never fire: start is O(1), stop of such a node nearly so. Nothing here fails or allocates.
 *
 * Owner: whoever has the loop. Thread: the loop's.
 */
#ifndef CWS_LOOP_TIMERS_H
#define CWS_LOOP_TIMERS_H

#include <uv.h>

#include "base/macros.h"

struct timer {                  /* zeroed before first use */
    struct timer *child, *next; /* first child; next sibling */
    struct timer **back;        /* the pointer that points here; NULL = not armed */
    uint64_t deadline_ns;
    void (*fire)(struct timer *t); /* may free @t, and start and stop others */
};

struct timers {
    struct timer *root;
    uv_timer_t uv;
    uint64_t armed_ns; /* what `uv` is set to; UINT64_MAX = stopped */
};

/** timers_init() - as uv_timer_init(), which cannot fail. */
int timers_init(struct timers *ts, uv_loop_t *loop);
/** timers_close() - nothing fires after this; the handle closes with the loop's next pass, and then @on_closed (may be NULL) gets `ts->uv`. */
void timers_close(struct timers *ts, uv_close_cb on_closed);
/** timer_start() - (re)arm for @deadline_ns (CLOCK_MONOTONIC; 0 = on the next pass). Never
 * fires inside this call. */
void timer_start(struct timers *ts, struct timer *t, uint64_t deadline_ns,
                 void (*fire)(struct timer *t));
/** timer_start_in() - the same, @delay_ns from now; UINT64_MAX = never. */
void timer_start_in(struct timers *ts, struct timer *t, uint64_t delay_ns,
                    void (*fire)(struct timer *t));
/** timer_stop() - harmless when it is not armed. */
void timer_stop(struct timers *ts, struct timer *t);
static inline bool timer_armed(const struct timer *t)
{
    return t->back != NULL;
}

#endif
