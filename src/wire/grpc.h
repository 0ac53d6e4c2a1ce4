/*
 * gRPC over HTTP/2, without I/O: bytes in by grpc_conn_recv(), bytes out by grpc_conn_pull(), events by callbacks in
 * between. Both sides. Only h2*.c behind this header include nghttp2.h.
 *
 * Objects: a grpc_conn is one HTTP/2 connection; a grpc_call is one stream on it. A call belongs to its connection and
 * dies right after its on_close callback, which every call gets exactly once (also when the connection is freed).
 * Callbacks run inside grpc_conn_recv(), grpc_conn_pull() or grpc_conn_free(); they may use every function here except
 * grpc_conn_recv() and grpc_conn_free().
 *
 * Flow control: a call that is not paused consumes what arrives; a paused call (grpc_call_pause) gets no on_message and
 * its stream window is not replenished, so the peer stops after `stream_window_bytes`. The connection window is always
 * replenished: one slow call never starves the others. On the sending side grpc_call_queued() is the back-pressure signal.
 *
 * Thread: one thread per connection. Errors: 0 / >= 0, or -errno (-ENOMEM, -EPIPE: call is over, -EMSGSIZE, -EPROTO).
 * Sources: RFC 9113 (HTTP/2), grpc/doc/PROTOCOL-HTTP2.md.
 */
#ifndef CWS_WIRE_GRPC_H
#define CWS_WIRE_GRPC_H

#include <sys/types.h>
#include <sys/uio.h>

#include "base/budget.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/macros.h"

enum grpc_side { GRPC_CLIENT, GRPC_SERVER };

struct grpc_limits {
    size_t max_message_bytes;     /* default GRPC_MAX_MESSAGE_BYTES */
    size_t max_header_bytes;      /* default 65536: both directions of one header block */
    uint32_t max_streams;         /* server: concurrent calls; default 10000 */
    uint32_t stream_window_bytes; /* default 1 MiB */
    uint32_t max_frame_bytes;     /* default 1 MiB; what we accept in one DATA frame */
};
#define GRPC_MAX_MESSAGE_BYTES (104857600u + 65536u) /* 100 MiB + room for the other fields */
void grpc_limits_init(struct grpc_limits *limits);

struct grpc_conn;
struct grpc_call;

struct grpc_header {
    const char *name;  /* lower case */
    const char *value; /* "-bin" values: base64 as on the wire */
};

/* What a client asks for, as the server sees it. Borrowed, valid during on_call only. */
struct grpc_request {
    const char *path;      /* "/package.Service/Method" */
    const char *authority; /* may be "" */
    const char *scheme;
    uint64_t timeout_ns;               /* from grpc-timeout; 0 = none */
    const struct grpc_header *headers; /* custom metadata incl. authorization, user-agent */
    size_t n_headers;
};
const char *grpc_header_find(const struct grpc_header *headers, size_t n, const char *name);

struct grpc_conn_events {
    /* Server: a request's headers are complete. Must call grpc_call_bind() or grpc_call_finish(). */
    void (*on_call)(void *user, struct grpc_call *call, const struct grpc_request *req);
    /* Bytes became ready for grpc_conn_pull(). Edge: once until the next pull. */
    void (*on_want_write)(void *user);
    /* The peer's SETTINGS arrived: the connection is usable (client readiness). May be NULL. */
    void (*on_ready)(void *user);
    /* GOAWAY received: no new calls here; open ones may finish. May be NULL. */
    void (*on_goaway)(void *user);
};

/* How a call ended. For a client it is the call's status; for a server it says whether the peer gave up. */
struct grpc_close {
    const struct err
        *status; /* code ERR_OK = success. Borrowed. Contains decoded grpc-status-details-bin */
    bool
        refused; /* client: the server certainly did not process the call (RFC 9113 8.7): safe to retry */
    bool
        by_peer; /* server: RST_STREAM by the client or the connection was lost, before our trailers went out;
                                * client: the connection was lost */
    bool
        silent; /* client: the connection was lost, and nothing had ever come by it, not even SETTINGS: what
                 * accepted it may have been the backlog of a process that was ending */
};

struct grpc_call_events {
    /* Client: initial metadata arrived (not called for trailers-only answers). May be NULL. */
    void (*on_headers)(void *user, struct grpc_call *call, const struct grpc_header *headers,
                       size_t n);
    /* One whole message. Bytes borrowed for the callback. Not called while paused. */
    void (*on_message)(void *user, struct grpc_call *call, const uint8_t *data, size_t n);
    /* Server: the client finished sending (after all its messages). May be NULL. */
    void (*on_half_close)(void *user, struct grpc_call *call);
    /* grpc_call_queued() fell to GRPC_LOW_WATER or below after having been above GRPC_HIGH_WATER, or after
     * grpc_call_is_full() was answered with yes. May be NULL. */
    void (*on_drain)(void *user, struct grpc_call *call);
    /* Last callback. @call is freed when it returns. */
    void (*on_close)(void *user, struct grpc_call *call, const struct grpc_close *how);
    /* Client: metadata at the end of the answer, before on_close; with a paused call also before its last messages. Not called
     * for trailers-only answers. May be NULL. */
    void (*on_trailers)(void *user, struct grpc_call *call, const struct grpc_header *headers,
                        size_t n);
};
#define GRPC_HIGH_WATER 262144u /* chosen: four 64 KiB pipe reads */
#define GRPC_LOW_WATER 65536u

/** grpc_conn_new() - @limits may be NULL (defaults). The preface and SETTINGS are queued at once. NULL: out of memory. */
struct grpc_conn *grpc_conn_new(enum grpc_side side, const struct grpc_limits *limits,
                                const struct grpc_conn_events *events, void *user);
/** grpc_conn_free() - closes every call with ERR_UNAVAILABLE, text @why ("connection lost" if NULL). Accepts NULL. */
void grpc_conn_free(struct grpc_conn *conn, const char *why);
/** grpc_conn_recv() - @n bytes from the peer. -EPROTO etc.: fatal; pull once more (GOAWAY is queued), then close.
 *  Some protocol errors show only when GOAWAY was pulled: then grpc_conn_done() turns true instead. */
int grpc_conn_recv(struct grpc_conn *conn, const uint8_t *data, size_t n);
/** grpc_conn_recv_some() - the same, but stops where much work was made (about 128 requests, or a thousand pieces of data), so that
 *  other connections get their turn: returns how many bytes were taken; the rest is to be given again. */
ssize_t grpc_conn_recv_some(struct grpc_conn *conn, const uint8_t *data, size_t n);
/** grpc_conn_pull() - up to @max iovecs of bytes to send, in order; valid until grpc_conn_pulled(). 0 = nothing to send. */
int grpc_conn_pull(struct grpc_conn *conn, struct iovec *iov, int max);
/** grpc_conn_pulled() - the first @n bytes of what pull returned were sent. */
void grpc_conn_pulled(struct grpc_conn *conn, size_t n);
/** grpc_conn_shutdown() - graceful: GOAWAY; open calls go on. Idle after that = grpc_conn_done(). */
void grpc_conn_shutdown(struct grpc_conn *conn);
/** grpc_conn_done() - nothing more to send or receive: the owner should close the byte stream. */
bool grpc_conn_done(const struct grpc_conn *conn);
/** grpc_conn_is_broken() - the peer broke the protocol, or memory ran out: no call of it goes on. */
bool grpc_conn_is_broken(const struct grpc_conn *conn);
size_t grpc_conn_n_calls(const struct grpc_conn *conn);
/** grpc_conn_can_call() - client: no GOAWAY seen and stream ids left. */
bool grpc_conn_can_call(const struct grpc_conn *conn);
/** grpc_conn_ping() - send PING; the ack is not reported; keeps NATs open. */
int grpc_conn_ping(struct grpc_conn *conn);

struct grpc_start {
    const char *path;
    const char *authority;
    const char *scheme; /* "http" or "https" */
    uint64_t
        timeout_ns; /* sent as grpc-timeout; 0 = none. Enforcing it locally is the caller's business */
    const struct grpc_header *headers;
    size_t n_headers;
    const char *user_agent;
};
/** grpc_call_start() - client: open a call. Queued (not failed) while the peer's stream limit is reached. */
int grpc_call_start(struct grpc_conn *conn, const struct grpc_start *start,
                    const struct grpc_call_events *events, void *user,
                    struct grpc_call **ret_call);
/** grpc_call_bind() - server: in on_call. @user is handed to the events. */
void grpc_call_bind(struct grpc_call *call, const struct grpc_call_events *events, void *user);
/** grpc_call_limit() - server: in on_call; messages longer than this are refused as soon as their length is known, before they
 *  are held. The connection's limit stays the upper end. */
void grpc_call_limit(struct grpc_call *call, size_t max_message_bytes);
/** grpc_call_charge() - server: in on_call; who pays for what the call makes us hold. Both outlive the call.
 *  @received: bytes of unfinished messages and of messages that wait for grpc_call_resume(). Without room for more the call
 *  ends with RESOURCE_EXHAUSTED.
 *  @queued: bytes of answers not yet pulled. They are never refused: see grpc_call_is_full(). */
void grpc_call_charge(struct grpc_call *call, struct budget *received, struct budget *queued);
/** grpc_conn_charge() - who pays for the bytes of answers that were handed to the connection and wait for the peer to read
 *  them. NULL: nobody. Outlives the connection. */
void grpc_conn_charge(struct grpc_conn *conn, struct budget *queued);
/** grpc_call_send_headers() - server: custom initial metadata, before the first message. Optional. */
int grpc_call_send_headers(struct grpc_call *call, const struct grpc_header *headers, size_t n);
/** grpc_call_send() - queue one message: @head (copied, may be empty) followed by @take_body's bytes (may be NULL; emptied). */
int grpc_call_send(struct grpc_call *call, const void *head, size_t head_len,
                   struct buf *take_body);
/** grpc_call_queued() - bytes queued on this call and not yet pulled. */
size_t grpc_call_queued(const struct grpc_call *call);
/** grpc_call_is_full() - the source of the answer should wait for on_drain, which follows: more than GRPC_HIGH_WATER is queued,
 *  or anything at all while the budget is used up. */
bool grpc_call_is_full(struct grpc_call *call);
/** grpc_call_received() - bytes of messages that arrived on this call so far, whole messages or not. */
uint64_t grpc_call_received(const struct grpc_call *call);
/** grpc_call_half_close() - client: END_STREAM after what is queued. */
int grpc_call_half_close(struct grpc_call *call);
/** grpc_call_add_trailer() - server: metadata for the end of an answer; dropped when that is trailers-only. */
int grpc_call_add_trailer(struct grpc_call *call, const struct grpc_header *trailer);
/** grpc_call_finish() - server: trailers after what is queued. @status NULL = OK. Trailers-only if nothing was sent.
 *  If the client has not half-closed, RST_STREAM(NO_ERROR) follows. on_close comes when all of it was pulled. */
int grpc_call_finish(struct grpc_call *call, const struct err *status);
/** grpc_call_cancel() - RST_STREAM; on_close follows (from the next recv/pull) with @code and @why. */
void grpc_call_cancel(struct grpc_call *call, enum err_code code, const char *why);
/** grpc_call_refuse() - server: RST_STREAM(REFUSED_STREAM), before anything was sent: nothing was done for the call, and the
 *  client may try it again elsewhere (RFC 9113 8.7). on_close follows as for grpc_call_cancel(). */
void grpc_call_refuse(struct grpc_call *call, const char *why);
void grpc_call_pause(struct grpc_call *call);
void grpc_call_resume(struct grpc_call *call);
void *grpc_call_user(struct grpc_call *call);

#endif
