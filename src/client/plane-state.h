/*
 * What a sandbox knows about the direct way: a credential and the question for it per permission, and until when nobody asks.
 * plane-ask.c and plane.c work with it. Times are monotonic. Thread: the loop's; plane_state_done() any.
 */
#ifndef CWS_CLIENT_PLANE_STATE_H
#define CWS_CLIENT_PLANE_STATE_H

#include "base/list.h"
#include "client/plane-credential.h"
#include "loop/timers.h"

enum plane_permission { PLANE_EXEC, PLANE_LOGS, PLANE_READ, PLANE_WRITE, PLANE_PERMISSION_MAX };

struct plane_ask {
    struct credential *held; /* or NULL */
    struct list waiters;     /* struct ask_waiter */
    struct cws_sandbox *sb; /* reference while it is being asked; else NULL, and so all below */
    enum plane_permission permission;
    struct unary *call;
    struct timer timer; /* the pause */
    struct tls_key *key;
    uint64_t end_ns, pause_ns;
};

struct plane {
    struct plane_ask asks[PLANE_PERMISSION_MAX];
    uint64_t absent_until_ns; /* the service has no ConnectSandbox: nothing new is asked for */
    uint64_t absent_ns;       /* for how long; 0 = it was not so the last time */
    uint64_t rest_until_ns;   /* it was not possible: AUTO goes through the API */
};

static inline void plane_state_init(struct plane *p)
{
    for (int i = 0; i < PLANE_PERMISSION_MAX; i++)
        list_init(&p->asks[i].waiters);
}
static inline void plane_state_done(struct plane *p)
{
    for (int i = 0; i < PLANE_PERMISSION_MAX; i++)
        credential_free(p->asks[i].held);
}

#endif
