/* sb_waiter: somebody who waits for a state of a sandbox. Thread: the loop's. */
#ifndef CWS_CLIENT_SB_WAITER_H
#define CWS_CLIENT_SB_WAITER_H

#include "base/list.h"
#include "client/error.h"

struct sb_waiter {
    struct list link;
    /* [loop] Once; the waiter is unlinked. @error NULL = reached; borrowed. May wait again or
     * free its owner. */
    void (*fire)(struct sb_waiter *w, struct cws_error *error);
};

/** sb_waiters_fire() - [loop] fire all of @waiters with @error (borrowed). */
void sb_waiters_fire(struct list *waiters, struct cws_error *error);

#endif
