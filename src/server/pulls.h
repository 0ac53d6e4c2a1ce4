/*
 * Images on their way into the store, from a registry or out of a sandbox: one pull for all that wait for the same, in a program of its own that the supervisor
 * starts (privproto/handover.h, image/fetch.h). HANDOVER_MAX_FETCHES / 2 run at once, the others wait their turn. A pull that
 * nobody waits for any more is ended.
 *
 * Owner: struct service. Thread: the loop's.
 */
#ifndef CWS_SERVER_PULLS_H
#define CWS_SERVER_PULLS_H

#include <uv.h>

#include "base/list.h"
#include "loop/timers.h"
#include "runtime/runtime.h"

struct pulls {
    uv_loop_t *loop;
    struct timers *timers;
    int (*begin)(int input, int output); /* a program; -errno */
    struct list all;                     /* struct pull, oldest first */
    struct timer start; /* of what waits for its turn, outside of the call that asked */
    size_t n_running;
};

struct pull_request { /* borrowed */
    const char *reference;
    const char
        *registry; /* NULL: nothing is shown to it; else by which secret (image/login.h): */
    const char *owner, *store, *name, *field;
};

/** pulls_init() - @begin: starts cwsandbox-image with copies of the two, or says -errno (supervisor_fetch()). */
void pulls_init(struct pulls *p, uv_loop_t *loop, struct timers *timers,
                int (*begin)(int input, int output));
/** pulls_wait() - wait->cb follows, from the loop; its error says why in words for people, after `ErrImagePull: `.
 *  Errors: RESOURCE_EXHAUSTED; then it does not follow. */
int pulls_wait(struct pulls *p, const struct pull_request *q, struct image_wait *wait,
               struct err *err);
/** pulls_commit() - an image that cwsandbox-image makes of @input, which has the request and the layer (image/fetch.h) and is copied.
 *  wait->cb as above, with the image's id as its answer; its error is FAILED_PRECONDITION. A dropped one goes on until its input ends. */
int pulls_commit(struct pulls *p, const char *reference, int input, struct image_wait *wait,
                 struct err *err);
/** pulls_drop() - of one that waits: its cb does not follow. */
void pulls_drop(struct pulls *p, struct image_wait *wait);
/** pulls_done() - nobody waits. */
void pulls_done(struct pulls *p);

#endif
