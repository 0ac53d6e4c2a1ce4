/*
 * Many deadlines on one uv_timer: a pairing heap of intrusive nodes. A libuv timer of their own
 * would cost each call an asynchronous close, so a call could not be freed in its last
 * callback.
 *
 * Owner: service.c. Setting and clearing never fails and never allocates. Thread: the loop's.
 */
#ifndef CWS_SERVER_TIMERS_H
#define CWS_SERVER_TIMERS_H

#include <uv.h>

#include "base/macros.h"

struct timer {             /* zeroed before first use */
    struct timer *child;   /* first child */
    struct timer *sibling; /* next child of the same parent */
    struct timer
        *back;        /* previous sibling, or the parent of a first child; NULL for the root */
    uint64_t when_ns; /* CLOCK_MONOTONIC */
    bool set;
    void (*cb)(void *user);
    void *user;
};

struct timers {
    uv_timer_t handle;
    struct timer *root;
    bool running; /* inside on_timer(): re-arming is done once, at its end */
};

int timers_init(struct timers *t, uv_loop_t *loop);
/** timers_close() - nothing fires after this; the handle closes with the loop's next pass. */
void timers_close(struct timers *t);
/** timer_set() - call @cb once at @when_ns (clock_now_ns() terms), from the loop; replaces an
 * earlier setting. */
void timer_set(struct timers *t, struct timer *node, uint64_t when_ns, void (*cb)(void *user),
               void *user);
/** timer_clear() - harmless when it is not set. */
void timer_clear(struct timers *t, struct timer *node);

#endif
