/*
 * cws_client: a loop thread and what lives on it. Everything else in this room
 * is either immutable, under a lock, or touched by the loop thread only.
 *
 * The public cws_client_unref() ends every handle with CWS_E_CLOSED and closes the connections
 * (clients.c); the memory lives until the last sandbox or handle of this client is gone.
 */
#ifndef CWS_CLIENT_CLIENT_H
#define CWS_CLIENT_CLIENT_H

#include "base/list.h"
#include "base/strmap.h"
#include "client/error.h"
#include "client/loop-thread.h"
#include "transport/transport.h"

struct cws_client {
    _Atomic uint32_t refs;
    struct loop_thread loop;
    struct list ops;        /* [loop] begun and not ended */
    struct strmap conns;    /* [loop] by URL, channels by their key */
    struct list idle;       /* [loop] channels nobody uses, least recently used first */
    size_t n_idle;          /* [loop] */
    struct list gone;       /* [loop] channels that are not taken any more */
    struct tls_config *tls; /* [loop] made on first use */
    bool closing;           /* [loop] */
    size_t
        n_leaving; /* [loop] stops under way, and cancelled starts not yet answered: leave.c */
    struct list leave_ops; /* [loop] who waits for it to be 0 */
};

/** client_new() - one reference; the thread is not started. NULL: out of memory. The callbacks: loop_thread_init(). */
struct cws_client *client_new(void (*on_last)(struct loop_thread *t),
                              void (*on_dry)(struct loop_thread *t));
struct cws_client *client_ref(struct cws_client *client);
void client_unref(struct cws_client *client);
static inline bool client_forked(const struct cws_client *client)
{
    return loop_forked(&client->loop);
}
static inline struct cws_client *client_of_loop(struct loop_thread *t)
{
    return CONTAINER_OF(t, struct cws_client, loop);
}
/** client_tls() - [loop] the TLS settings of https connections. */
struct tls_config *client_tls(struct cws_client *client, struct err *err);

#endif
