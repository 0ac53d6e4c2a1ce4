/*
 * conn: the way to one URL from one client: at most one HTTP/2 connection that takes new calls,
 * and older ones that finish theirs after a GOAWAY. Made on the first call, kept until the
 * client ends; but a channel straight to a sandbox has a key and TLS settings of its own, and
 * goes as plane-pool.c says.
 *
 * A call waits in `waiting` until a connection is open; so a connect failure is known to have
 * sent nothing. Against the embedded service such a failure starts it (on libuv's pool) and
 * connects again; the service may exit when idle, and that must never be an error of the next
 * call.
 *
 * Thread: the loop's.
 */
#ifndef CWS_CLIENT_CONN_H
#define CWS_CLIENT_CONN_H

#include "client/client.h"
#include "client/target.h"

struct link; /* one connection (conn.c) */

/* A call without a connection. Either event takes it from the list. */
struct conn_waiter {
    struct list link; /* in conn->waiting */
    void (*on_connected)(struct conn_waiter *w, struct grpc_conn *grpc);
    void (*on_unreachable)(struct conn_waiter *w, const struct err *why); /* borrowed */
};

struct conn {
    struct cws_client *client;
    char *key;                 /* in client->conns: the URL, or what plane-pool.c looks for */
    struct cws_target *target; /* reference */
    struct tls_config *tls;    /* reference, of a channel; NULL: the client's */
    struct list waiting;       /* struct conn_waiter */
    struct list links;         /* open, connecting and draining ones */
    struct link *current;      /* connecting or open, and taking calls; else NULL */
    bool ours;                 /* it said x-cwsandbox-server: knows x-cwsandbox-wait */
    bool
        exec_fields; /* its last answer said that it takes cwd and user of a command: wire/exec-facts.h */
    bool exec_files;   /* the same of words about files: base/files-words.h */
    unsigned n_starts; /* times the embedded service was started for the calls that wait now */
    bool starting;     /* `work` is on the pool */
    uv_work_t work;
    struct err work_err; /* the pool thread's until the work is done */
    struct err failure;  /* why the last attempt failed; for the calls that wait */
    struct timer timer;  /* connect time-out, or "fail the waiting calls on the next pass" */

    /* Of a channel: */
    bool retired;     /* not in client->conns any more: nobody new comes */
    bool closing;     /* nobody is left: freed with its last connection */
    unsigned n_users; /* who took it and did not give it back */
    struct list idle; /* in client->idle while there are none */
    struct list gone; /* in client->gone when retired */
};

#define CONN_CONNECT_TIMEOUT_NS \
    (20ULL * 1000000000ULL) /* as gRPC's own: connection-backoff.md MIN_CONNECT_TIMEOUT */
#define CONN_MAX_STARTS \
    3u /* chosen: one start, and two races with a service that was just leaving */

/** conn_get() - NULL with @err set when out of memory or closing. Borrowed from the client. */
struct conn *conn_get(struct cws_client *client, struct cws_target *target, struct err *err);
/** conn_add() - one with TLS settings of its own: its calls wait for the peer's first words too, because TLS 1.3 says only then
 * whether it took our certificate. @key is copied. NULL with @err set. */
struct conn *conn_add(struct cws_client *client, const char *key, struct cws_target *target,
                      struct tls_config *tls, struct err *err);
/** conn_retire() - it is not found any more; harmless when it is not. */
void conn_retire(struct conn *conn);
/** conn_close() - a retired one that nobody uses. */
void conn_close(struct conn *conn);
/** conn_wait() - until there is a connection, or none can be made. conn_leave() - harmless when it does not wait. */
static inline void conn_wait(struct conn *conn, struct conn_waiter *w)
{
    list_append(&conn->waiting, &w->link);
}
static inline void conn_leave(struct conn_waiter *w)
{
    list_remove(&w->link);
}
/** conn_kick() - start what waits, connecting first if needed. */
void conn_kick(struct conn *conn);
/** conn_is_ours() - the service said that it is one of ours. */
void conn_is_ours(struct conn *conn);
/** conns_close() / conns_free() - the client is ending; free only after the loop ran dry. */
void conns_close(struct cws_client *client);
void conns_free(struct cws_client *client);

#endif
