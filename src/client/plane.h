/*
 * plane: which way one attempt of a command, a log or a file takes: straight to its sandbox, over a channel of the pool, or
 * through the API (the gateway). Each attempt chooses anew and gives its channel back before the next one begins.
 *
 * AUTO goes straight where that is possible within a second, and asks again 30 s after it was not. A service on a local
 * socket is not asked, for nothing is nearer, nor one that has said to be cwsandboxd. DIRECT goes straight or fails.
 *
 * Owner: embedded in what makes the attempt, whose reference to the sandbox it borrows. Thread: the loop's.
 */
#ifndef CWS_CLIENT_PLANE_H
#define CWS_CLIENT_PLANE_H

#include "client/plane-ask.h"

struct plane_way {
    struct cws_sandbox *sb;           /* [const] */
    enum plane_permission permission; /* [const] */
    /* Once, unless plane_leave() comes first; possibly inside plane_choose(). @error borrowed; NULL: the three below say how. */
    void (*done)(struct plane_way *w, struct cws_error *error);
    struct conn *conn;         /* to call on */
    struct cws_target *target; /* to call with; lives until plane_leave() */
    bool direct;

    struct conn *channel; /* taken, or NULL */
    struct ask_waiter ask;
    struct conn_waiter waiter;
    struct timer timer;
    uint64_t end_ns;
    uint64_t pause_ns;
};

/* Of a method that both services have. */
#define PLANE_PATH(way, method) \
    ((way)->direct ? PROTO_PATH_DATA_PLANE(method) : PROTO_PATH_SANDBOX(method))

void plane_init(struct plane_way *w, struct cws_sandbox *sb, enum plane_permission permission,
                void (*done)(struct plane_way *w, struct cws_error *error));
void plane_choose(struct plane_way *w);
/** plane_leave() - the attempt is over, or not wanted any more; harmless twice. @status: of its call, NULL = there was none. */
void plane_leave(struct plane_way *w, const struct err *status);
/** plane_is_retiring() - a call straight to a sandbox met a part of the service that is going: another one is there. */
static inline bool plane_is_retiring(const struct plane_way *w, const struct cws_error *e)
{
    return w->direct && error_reason_is(e, "RUNNER_SHARD_RETIRING");
}

#endif
