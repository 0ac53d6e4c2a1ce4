/*
 * Inside of grpc.h: what the h2*.c files share. One HTTP/2 session (nghttp2) and the calls on
 * it.
 *
 *   h2-conn.c     life of a connection, bytes in and out
 *   h2-events.c   what nghttp2 reports, and the DATA it asks for
 *   h2-call.c     a call: sending, closing, the calls' half of grpc.h
 *   h2-recv.c     a call's incoming messages: assemble, pause, deliver
 *   h2-submit.c   header blocks we send
 *   h2-client.c   calls we start: queueing, response headers, statuses
 *   h2-server.c   calls we answer: request checks, trailers
 *
 * Re-entrancy. A call is freed in call_close() only, and that runs only from nghttp2's
 * callbacks, from conn_settle() and from grpc_conn_free(): never inside a function of grpc.h
 * that an event handler may call. Such functions mark what is to be done (call_todo) and
 * conn_settle() does it at the next recv or pull.
 */
#ifndef CWS_WIRE_H2_H
#define CWS_WIRE_H2_H

#include <nghttp2/nghttp2.h>

#include "base/list.h"
#include "wire/grpc.h"
#include "wire/headers.h"
#include "wire/message.h"
#include "wire/segq.h"

/* Chosen: a pull takes about this much out of the session; bounds what a peer that does not
 * read makes us hold. */
#define CONN_OUT_TARGET 262144u

enum call_todo_bits {
    TODO_CLOSE = 1 << 0,   /* on_close; status is final */
    TODO_DELIVER = 1 << 1, /* resumed: hand out what was held */
    TODO_DRAIN = 1 << 2,   /* on_drain */
};

struct grpc_call {
    struct grpc_conn *conn;
    const struct grpc_call_events *events; /* NULL: not bound (server) */
    void *user;
    struct list node;      /* in conn->calls */
    struct list todo_node; /* in conn->todo while todo != 0 */
    struct list
        wait_node; /* in conn->waiting: a client's call before its HEADERS are submitted */
    unsigned todo;
    int32_t
        stream_id; /* 0: not submitted; -1: detached, the stream is gone or not ours any more */

    /* Sending. */
    struct segq out;           /* framed messages not yet handed to the session */
    struct budget *out_budget; /* pays for `out`; NULL: nobody */
    bool
        above_high; /* `out` passed GRPC_HIGH_WATER or was called full, and has not drained since */
    bool headers_sent; /* server: response HEADERS are submitted */
    bool on_wire; /* client: HEADERS were serialised; before that the call is safe to retry */
    bool data_started;  /* the session has a data source for the stream */
    bool data_deferred; /* ... which waits for nghttp2_session_resume_data() */
    bool local_end;     /* nothing will be added: half-closed (client) or finished (server) */
    bool trailers_sent; /* server: trailers were serialised */
    struct headers
        header; /* client: the request until submitted. Server: the trailers until submitted */

    /* Receiving. */
    struct headers in_header; /* the block being received */
    bool header_too_large;
    bool accepted;     /* server: on_call ran; client: response HEADERS were valid */
    bool peer_encoded; /* grpc-encoding names something other than identity */
    bool paused;
    bool discard;    /* failed or cancelled: what arrives is dropped */
    bool remote_end; /* END_STREAM arrived (and its trailers) */
    bool end_reported;
    struct message_reader reader;
    struct buf held; /* raw DATA bytes that arrived while paused; not consumed, so at most the
                        stream window; charged to reader.budget */
    uint64_t n_received;

    /* The end. */
    bool over;        /* no more events but on_close */
    bool have_status; /* client: `status` is the call's result, waiting for held messages to be
                         delivered */
    bool failed;      /* server: `status` is an error found here, answered by us */
    bool refused;
    bool by_peer;
    bool reset_by_peer; /* RST_STREAM arrived; on_stream_close follows */
    struct err status;
};

struct grpc_conn {
    enum grpc_side side;
    struct grpc_limits limits;
    struct grpc_conn_events events;
    void *user;
    nghttp2_session *session;
    struct segq out;
    struct budget *out_budget; /* pays for `out`; NULL: nobody */
    size_t out_charged;
    struct list calls;
    struct list todo;
    struct list waiting; /* client: calls over the peer's stream limit, oldest first */
    size_t n_calls;
    uint32_t n_streams; /* streams the session knows */
    unsigned depth;     /* > 0: inside recv, pull or free; want_write waits until the end */
    bool in_session;    /* inside nghttp2_session_mem_*: must not be entered again */
    bool write_signalled;
    bool ready;
    bool goaway_received;
    bool shutting_down; /* server: the first of two GOAWAYs is out */
    bool goaway_sent;
    bool freeing;
    int recv_error; /* fatal, -errno: nothing is read any more */
    int send_error; /* fatal, -errno: the session writes nothing any more */
    unsigned work;  /* done in this recv */
    size_t
        n_resets; /* server: streams that ended by our RST_STREAM before they were answered */
    size_t n_completed;
    size_t n_empty_data;
    size_t n_over; /* header bytes that came beyond the cap of their block */
};

/* h2-conn.c */
extern const uint8_t shutdown_ping[8];
void conn_fail(struct grpc_conn *conn, int error);
/* Out of memory or a bug in the session: records it; returns @rv unchanged. */
int conn_check(struct grpc_conn *conn, int rv);
void conn_notify(struct grpc_conn *conn);
/* Brings what is charged for `out` up to date. */
void conn_charge_out(struct grpc_conn *conn);
void conn_settle(struct grpc_conn *conn);
/* Closes the connection for a peer that abuses it. */
void conn_calm_down(struct grpc_conn *conn);

/* h2-events.c */
void events_register(nghttp2_session_callbacks *callbacks);
nghttp2_data_provider events_data_provider(void);

/* h2-call.c */
struct grpc_call *call_new(struct grpc_conn *conn);
void call_todo(struct grpc_call *call, unsigned bits);
/* No events but on_close from now on; the stream is not ours any more. @refused and status are
 * set by the caller. */
void call_end(struct grpc_call *call);
void call_close(struct grpc_call *call);
/* @n bytes of `out` are gone. */
void call_out_give(struct grpc_call *call, size_t n);
/* RST_STREAM, if there is a stream. */
void call_reset(struct grpc_call *call, uint32_t h2_error);
/* A violation by the peer or a limit of ours: answers (server) or cancels (client) with this
 * status. */
void call_fail(struct grpc_call *call, enum err_code code, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The same with a ready status. */
void call_fail_status(struct grpc_call *call, struct err *take);

/* h2-recv.c */
void call_on_data(struct grpc_call *call, const uint8_t *data, size_t n);
void call_on_remote_end(struct grpc_call *call);
void call_deliver(struct grpc_call *call);
/* Drops the first @n bytes of what waits. */
void call_held_consume(struct grpc_call *call, size_t n);

/* h2-submit.c */
enum submit_kind { SUBMIT_REQUEST, SUBMIT_HEADERS, SUBMIT_ANSWER, SUBMIT_TRAILER };
int submit_block(struct grpc_call *call, enum submit_kind kind,
                 const struct headers *h) WARN_UNUSED;
int submit_data(struct grpc_call *call) WARN_UNUSED;
/* grpc-status, grpc-message, grpc-status-details-bin, cut to what the peer accepts. */
int submit_status_headers(const struct grpc_conn *conn, const struct err *status,
                          struct headers *h) WARN_UNUSED;

/* h2-client.c */
bool client_can_submit(const struct grpc_conn *conn);
void client_submit_waiting(struct grpc_conn *conn);
void client_refuse_waiting(struct grpc_conn *conn);
void client_on_headers(struct grpc_call *call, bool end_stream);
/* The stream is gone or its data ended without trailers. */
void client_on_lost(struct grpc_call *call, uint32_t h2_error);
/* Delivers on_close once the status is known and no message is held back. */
void client_try_close(struct grpc_call *call);

/* h2-server.c */
void server_on_request(struct grpc_call *call, bool end_stream);
/* Trailers for @status after what is queued. */
int server_finish(struct grpc_call *call, const struct err *status) WARN_UNUSED;
/* Everything queued was handed over: submit the trailers. */
int server_submit_trailers(struct grpc_call *call) WARN_UNUSED;

#endif
