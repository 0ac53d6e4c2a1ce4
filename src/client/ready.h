/*
 * sb_ready: what every operation inside a sandbox begins with: start it if needed, wait until
 * it runs, not longer than its request time-out. Thread: the loop's.
 */
#ifndef CWS_CLIENT_READY_H
#define CWS_CLIENT_READY_H

#include "client/sandbox.h"

struct sb_ready {
    struct cws_sandbox *sb; /* the owner's reference */
    const char *label;      /* for error texts: "Execute command" */
    /* Once, unless cancelled; possibly inside sb_ready_begin(). @error borrowed; NULL: the
     * sandbox is RUNNING. */
    void (*done)(struct sb_ready *r, struct cws_error *error);
    struct sb_waiter waiter;
    struct timer timer;
};

void sb_ready_init(struct sb_ready *r, struct cws_sandbox *sb, const char *label,
                   void (*done)(struct sb_ready *r, struct cws_error *error));
void sb_ready_begin(struct sb_ready *r);
/** sb_ready_cancel() - harmless when it is over or never began. */
void sb_ready_cancel(struct sb_ready *r);

#endif
