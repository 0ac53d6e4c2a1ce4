/*
 * Credentials for the direct way: one call of ConnectSandbox per sandbox and permission, shared by all who wait for it, and
 * what it brought, kept until it expires. Whoever waits decides how long; without anybody the call is dropped.
 *
 * A service without that method says so once, and is not asked for 30 s, then for twice as long each time.
 * Thread: the loop's.
 */
#ifndef CWS_CLIENT_PLANE_ASK_H
#define CWS_CLIENT_PLANE_ASK_H

#include "client/sandbox.h"

/* As the published client. */
#define ASK_AUTO_NS (1ULL * 1000000000ULL) /* with connecting */
#define ASK_CALL_NS (5ULL * 1000000000ULL)
#define ASK_DIRECT_NS (10ULL * 1000000000ULL)
#define ASK_PAUSE_NS 200000000ULL
#define ASK_PAUSE_MAX_NS (1ULL * 1000000000ULL)

struct ask_waiter {
    struct list link; /* initialised */
    /* Once, possibly inside plane_ask(). Both borrowed; NULL @c: @error says why. An error without a status is an answer
     * that cannot be used. */
    void (*done)(struct ask_waiter *w, struct credential *c, struct cws_error *error);
};

void plane_ask(struct cws_sandbox *sb, enum plane_permission permission, struct ask_waiter *w);
/** plane_ask_leave() - harmless when it does not wait. */
void plane_ask_leave(struct cws_sandbox *sb, enum plane_permission permission,
                     struct ask_waiter *w);
/** plane_may_ask() - it holds a credential for @permission, or may ask for one now. */
bool plane_may_ask(const struct cws_sandbox *sb, enum plane_permission permission);
/** plane_forget() - the credentials, and the channels that nobody uses. */
void plane_forget(struct cws_sandbox *sb);

#endif
