/*
 * rpc: one call, from "wants a connection" to its status, with a deadline and one transparent
 * second try when the service certainly did not see the first (RFC 9113 8.7: refused; or the
 * connection was lost before any answer and the call is idempotent). A connection that was lost
 * before the peer said anything at all is no try: the kernel accepts for a process that is
 * ending.
 *
 * The owner embeds it, fills the [const] part, calls rpc_start() and gets on_close exactly
 * once, never inside rpc_start() or rpc_cancel(). Until then the memory must stay. Thread: the
 * loop's.
 *
 * unary: a heap-allocated rpc with one request and one unpacked answer; frees itself.
 */
#ifndef CWS_CLIENT_RPC_H
#define CWS_CLIENT_RPC_H

#include "client/conn.h"
#include "wire/grpc.h"
#include "wire/proto.h"

struct rpc;

struct rpc_events {
    /* Send the request: rpc_send(), rpc_half_close(). Called again for a second try. 0 or
     * -errno. */
    int (*on_request)(struct rpc *rpc);
    void (*on_message)(struct rpc *rpc, const uint8_t *data, size_t n); /* borrowed bytes */
    void (*on_drain)(struct rpc *rpc);                                  /* may be NULL */
    /* Before on_close, and perhaps before the last messages; may be NULL. */
    void (*on_trailers)(struct rpc *rpc, const struct grpc_header *headers, size_t n);
    void (*on_close)(struct rpc *rpc,
                     const struct err *status); /* last; code ERR_OK = success */
};

#define RPC_MAX_FIELDS 3 /* cwd, user, files */

struct rpc {
    const struct rpc_events *events; /* [const] */
    const char *path;                /* [const] PROTO_PATH_... */
    const char *wait;                /* [const] x-cwsandbox-wait, or NULL */
    struct cws_target *target;       /* [const] reference held by the owner */
    /* [const] of a command: to a service that says that it takes them; borrowed */
    struct grpc_header fields[RPC_MAX_FIELDS];
    size_t n_fields;      /* [const] */
    bool idempotent;      /* [const] a second run does no harm */
    uint64_t deadline_ns; /* [const] UINT64_MAX = none */
    uint64_t patience_ns; /* [const] 0, or what the service may take longer to undo it */

    struct conn *conn;
    struct grpc_call *call; /* NULL: waiting for a connection, or ended */
    struct conn_waiter waiter;
    struct timer timer;      /* the deadline, or the reason below on the next pass */
    enum err_code fail_code; /* set: ends with this and `fail_text` as soon as possible */
    const char *fail_text;
    bool answered; /* something came back: no second try */
    unsigned n_retries;
    unsigned n_silent; /* connections that were lost before they said anything: no tries */
};

/* Chosen: each of these connections was a race with a service that was ending, or nobody who
 * speaks HTTP/2 is there. */
#define RPC_MAX_SILENT 4u
/* The embedded service may be ended and started at any time by whoever shares it; others are run by
 * an operator. Chosen. */
#define RPC_MAX_RETRIES_EMBEDDED 3u
#define RPC_MAX_RETRIES 1u
/* A caller's deadline is enforced by the service, which can say more; this much later by us.
 * Chosen: one round trip. */
#define RPC_DEADLINE_SLACK_NS 50000000u

void rpc_start(struct rpc *rpc, struct conn *conn);
/** rpc_cancel() - on_close follows with ERR_CANCELLED; harmless when it ends already. */
void rpc_cancel(struct rpc *rpc);
/** rpc_abort() - the same with a code and a static text of one's own. */
void rpc_abort(struct rpc *rpc, enum err_code code, const char *static_text);
/** rpc_send() - as grpc_call_send(); -EPIPE when the call is over. */
int rpc_send(struct rpc *rpc, const void *head, size_t head_len, struct buf *take_body);
int rpc_half_close(struct rpc *rpc);
size_t rpc_queued(const struct rpc *rpc);
void rpc_pause(struct rpc *rpc);
void rpc_resume(struct rpc *rpc);
static inline struct timers *rpc_timers(const struct rpc *rpc)
{
    return &rpc->conn->client->loop.timers;
}

/* ---- unary ---- */

struct unary_call {
    const char *path;
    const void *request;      /* a protobuf-c message, packed before unary_start() returns; */
    const struct buf *packed; /* or its bytes, copied */
    const ProtobufCMessageDescriptor
        *reply; /* what to unpack; NULL: hand out the bytes by on_raw */
    struct cws_target *target;
    const char *wait; /* static, or NULL */
    uint64_t timeout_ns;
    bool idempotent;
    /* Once, on a later pass. Exactly one of @reply and @status->code says how it went; both
     * borrowed. */
    void (*done)(void *user, void *reply, const struct err *status);
    int (*on_raw)(void *user, const uint8_t *data,
                  size_t n); /* with reply == NULL; 0, -ENOMEM, or -EBADMSG: no valid message */
    void *user;
};
struct unary;
/** unary_start() - NULL when out of memory: done() is not called then. @take_body: bytes that
 * follow the packed request. */
struct unary *unary_start(struct conn *conn, const struct unary_call *call,
                          struct buf *take_body);
/** unary_cancel() - done() will not be called; accepts NULL. */
void unary_cancel(struct unary *u);

#endif
