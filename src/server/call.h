/*
 * One RPC in the service, from its headers to its end: the request as a message, the deadline,
 * the owner who called, the answer, and the state a method keeps while it waits.
 *
 * Life: call_accept() (headers) -> method->on_request (unary and server-streaming: the one
 * message and the half-close have arrived) or method->on_message / on_half_close (bidi) ->
 * call_finish(). method->on_release runs exactly once, from call_finish() or when the client,
 * the connection or the deadline ended the call; it frees `state`. After call_finish() a
 * handler must not touch its state any more: it returns.
 *
 * Owner: the call frees itself in the last callback of its gRPC call. Thread: the loop's.
 * Logging: one line per call.
 */
#ifndef CWS_SERVER_CALL_H
#define CWS_SERVER_CALL_H

#include "server/exec-headers.h"
#include "server/keys.h"
#include "server/service.h"
#include "wire/proto.h"

struct call;
struct grpc_call;
struct grpc_request;

enum method_kind { METHOD_UNARY, METHOD_SERVER_STREAM, METHOD_BIDI };

struct method {
    const char *path;
    enum method_kind kind;
    bool open;         /* also for callers without a key: health */
    bool runs_command; /* its deadline kills a command, and says so */
    size_t max_request_bytes;
    const ProtobufCMessageDescriptor *request; /* NULL: not built, see on_request */
    /* UNARY, SERVER_STREAM: @request is the decoded message, owned by the call. */
    void (*on_request)(struct call *call, void *request);
    /* BIDI: raw bytes of each message. */
    void (*on_message)(struct call *call, const uint8_t *data, size_t n);
    void (*on_half_close)(struct call *call);
    void (*on_drain)(struct call *call); /* may be NULL */
    void (*on_stopping)(
        struct call *call); /* the service drains: long waits should end; may be NULL */
    void (*on_release)(struct call *call); /* may be NULL */
    /* The deadline passed. True: it undoes what the call has begun, and calls call_expire() when that is done. May be NULL. */
    bool (*on_expire)(struct call *call);
};

enum call_wait {
    CALL_WAIT_NONE,
    CALL_WAIT_STABLE,
    CALL_WAIT_TERMINAL
}; /* header x-cwsandbox-wait */

#define CALL_OWNER_MAX ACCOUNT_NAME_MAX

struct call {
    struct list link; /* service->calls */
    struct service *service;
    struct grpc_call *grpc; /* valid until the call frees itself */
    const struct method *method;
    char owner[CALL_OWNER_MAX]; /* "uid:0", a key's name, "anonymous" */
    struct account *account;    /* the owner's, or that of all strangers */
    const char *peer;           /* borrowed from the transport, for the log */
    void *request;              /* UNARY, SERVER_STREAM: decoded message or NULL */
    void *state;                /* the method's */
    struct timer deadline;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; 0 = none */
    bool expired;         /* on_expire is at work */
    uint64_t start_ns;
    enum call_wait wait;
    struct exec_headers exec; /* of a method that runs_command */
    struct timer patience;    /* a request must go on arriving, an answer must be taken */
    uint64_t progress;        /* when it was last looked at */
    size_t request_bytes;     /* charged for `request` */
    bool counted;             /* in SHARE_CALLS; else refused for want of it */
    bool stranger;            /* presented no valid key */
    bool half_closed;
    bool headers_sent;
    bool finished;
    enum err_code code; /* once finished */
};

/** call_accept() - on_call of a connection: find the method, the owner, the deadline; binds or
 * finishes @grpc. */
void call_accept(struct service *s, struct connection *c, struct grpc_call *grpc,
                 const struct grpc_request *req);
/** call_send() - initial metadata if not yet sent, then one message: @head (copied, may be empty) followed by
 * @take_body's bytes (may be NULL). -ENOBUFS: the one message of a unary call is large and its owner has no share left for it (call_refuse_full). The source of a stream asks call_is_full() instead. */
int call_send(struct call *call, const void *head, size_t head_len, struct buf *take_body);
/** call_send_message() - pack and send any generated message. -ENOMEM, -EPIPE. */
int call_send_message(struct call *call, const void *message);
/** call_add_trailer() - metadata that goes with the end of the answer; lost when there is no memory, or no message before it. */
void call_add_trailer(struct call *call, const char *name, const char *value);
/** call_finish() - end with @status (NULL = OK), after what was sent; releases the state.
 * Idempotent. */
void call_finish(struct call *call, const struct err *status);
/** call_reply() - call_send_message() and call_finish(), in one write. */
void call_reply(struct call *call, const void *message);
/** call_refuse() - end with a code, an optional CWSANDBOX_* reason and a text. */
void call_refuse(struct call *call, enum err_code code, const char *reason, const char *fmt,
                 ...) PRINTF_LIKE(4, 5);
/** call_refuse_full() - end a call because its owner holds its share of @share. */
void call_refuse_full(struct call *call, enum share share);
/** call_turn_away() - nothing was done for the call, and its client may try it again, also elsewhere. */
void call_turn_away(struct call *call, const char *why);
/** call_pause() - no on_message until call_resume(), which may deliver one at once; the peer is held
 * back. */
void call_pause(struct call *call);
void call_resume(struct call *call);
/** call_is_full() - enough waits to be taken: the source should pause until on_drain, which
 * follows. */
bool call_is_full(struct call *call);
/** call_share() - what the owner of @call has of @share. */
static inline struct budget *call_share(struct call *call, enum share share)
{
    return &call->account->shares[share];
}
/** call_stop_waiting() - the service drains: tells the method. */
void call_stop_waiting(struct call *call);

/** call_expire() - the answer to a call whose deadline passed, once its command is dead. */
void call_expire(struct call *call);

#endif
