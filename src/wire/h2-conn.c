/*
 * The life of a connection: settings, bytes in, bytes out, the end. No I/O: see grpc.h.
 */
#include <errno.h>

#include "wire/h2.h"

#define FRAME_BYTES_MIN 16384u /* RFC 9113 6.5.2: the range of SETTINGS_MAX_FRAME_SIZE */
#define FRAME_BYTES_MAX 16777215u
#define WINDOW_MAX 2147483647u /* RFC 9113 6.9.1 */
#define STREAMS_BEFORE_SETTINGS \
    100u /* RFC 9113 6.5.2 recommends no lower limit; nghttp2's default */
#define ACKS_MAX \
    1000u /* PING and SETTINGS we may owe a peer that does not read (CVE-2019-9512) */
#define SETTINGS_ENTRIES_MAX 32u /* CVE-2020-11080 */
#define CONTINUATIONS_MAX 16u    /* CVE-2024-28182; 64 KiB of headers in 16 KiB frames need 4 */
/* RST_STREAM of a client, inside nghttp2 (CVE-2023-44487): as many at once as it may have calls, then so many a second.
 * Chosen: far above what cancelled calls of a real client reach. */
#define RESET_RATE 500u

void grpc_limits_init(struct grpc_limits *limits)
{
    *limits = (struct grpc_limits){
        .max_message_bytes = GRPC_MAX_MESSAGE_BYTES,
        .max_header_bytes = 65536,
        .max_streams = 10000,
        .stream_window_bytes = 1048576,
        .max_frame_bytes = 1048576,
    };
}

/* ---- making ---- */

static nghttp2_option *new_options(const struct grpc_limits *limits)
{
    nghttp2_option *opt = NULL;
    if (nghttp2_option_new(&opt) < 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(opt, 1);
    nghttp2_option_set_no_closed_streams(opt, 1);
    nghttp2_option_set_peer_max_concurrent_streams(opt, STREAMS_BEFORE_SETTINGS);
    nghttp2_option_set_max_outbound_ack(opt, ACKS_MAX);
    nghttp2_option_set_max_settings(opt, SETTINGS_ENTRIES_MAX);
    /* The bound nghttp2 compares is an estimate for incompressible headers: leave it room. */
    nghttp2_option_set_max_send_header_block_length(opt, 2 * limits->max_header_bytes + 65536);
#ifdef HAVE_NGHTTP2_OPTION_SET_STREAM_RESET_RATE_LIMIT
    nghttp2_option_set_stream_reset_rate_limit(opt, limits->max_streams, RESET_RATE);
#endif
#ifdef HAVE_NGHTTP2_OPTION_SET_MAX_CONTINUATIONS
    nghttp2_option_set_max_continuations(opt, CONTINUATIONS_MAX);
#endif
    return opt;
}

/* The session's memory comes through functions of ours so that test-oom.c reaches its
 * allocations too. */
static void *mem_malloc(size_t n, void *user)
{
    return malloc(n);
}

static void mem_free(void *p, void *user)
{
    free(p);
}

static void *mem_calloc(size_t n, size_t size, void *user)
{
    return calloc(n, size);
}

static void *mem_realloc(void *p, size_t n, void *user)
{
    return realloc(p, n);
}

static int open_session(struct grpc_conn *conn)
{
    nghttp2_session_callbacks *cb = NULL;
    if (nghttp2_session_callbacks_new(&cb) < 0)
        return -ENOMEM;
    events_register(cb);
    nghttp2_option *opt = new_options(&conn->limits);
    nghttp2_mem mem = {NULL, mem_malloc, mem_free, mem_calloc, mem_realloc};
    int rv = NGHTTP2_ERR_NOMEM;
    if (opt)
        rv = conn->side == GRPC_SERVER
                 ? nghttp2_session_server_new3(&conn->session, cb, conn, opt, &mem)
                 : nghttp2_session_client_new3(&conn->session, cb, conn, opt, &mem);
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return rv < 0 ? -ENOMEM : 0;
}

const uint8_t shutdown_ping[8] =
    "shutdown"; /* tells its answer from those of grpc_conn_ping() */

static int submit_settings(struct grpc_conn *conn)
{
    const struct grpc_limits *l = &conn->limits;
    const nghttp2_settings_entry first =
        conn->side == GRPC_SERVER
            ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->max_streams}
            : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    const nghttp2_settings_entry iv[] = {
        first,
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, MIN(l->stream_window_bytes, WINDOW_MAX)},
        {NGHTTP2_SETTINGS_MAX_FRAME_SIZE,
         MIN(MAX(l->max_frame_bytes, FRAME_BYTES_MIN), FRAME_BYTES_MAX)},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)MIN(l->max_header_bytes, UINT32_MAX)},
    };
    int rv = nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, iv, ARRAY_SIZE(iv));
    /* One slow call must not starve the others: the connection window never limits, the
     * streams' windows do. */
    if (rv == 0)
        rv = nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)WINDOW_MAX);
    return rv < 0 ? -ENOMEM : 0;
}

struct grpc_conn *grpc_conn_new(enum grpc_side side, const struct grpc_limits *limits,
                                const struct grpc_conn_events *events, void *user)
{
    struct grpc_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return NULL;
    conn->side = side;
    if (limits)
        conn->limits = *limits;
    else
        grpc_limits_init(&conn->limits);
    conn->events = *events;
    conn->user = user;
    list_init(&conn->calls);
    list_init(&conn->todo);
    list_init(&conn->waiting);
    conn->depth = 1; /* no want_write before the caller has the object: it pulls once anyway */
    if (open_session(conn) < 0 || submit_settings(conn) < 0) {
        grpc_conn_free(conn, NULL);
        return NULL;
    }
    conn->depth = 0;
    return conn;
}

void grpc_conn_free(struct grpc_conn *conn, const char *why)
{
    if (!conn)
        return;
    conn->freeing = true;
    conn->depth++;
    while (!list_empty(&conn->calls)) {
        struct grpc_call *call = CONTAINER_OF(list_first(&conn->calls), struct grpc_call, node);
        if (!call->over && !call->trailers_sent) {
            (void)err_set(&call->status, ERR_UNAVAILABLE, "%s", why ? why : "connection lost");
            call->by_peer = true;
            call->refused = conn->side == GRPC_CLIENT && !call->on_wire;
        }
        call_close(call);
    }
    nghttp2_session_del(conn->session);
    segq_done(&conn->out);
    conn_charge_out(conn);
    free(conn);
}

/* ---- failing ---- */

void conn_fail(struct grpc_conn *conn, int error)
{
    if (conn->recv_error == 0)
        conn->recv_error = error;
}

int conn_check(struct grpc_conn *conn, int rv)
{
    if (rv == NGHTTP2_ERR_NOMEM) {
        conn_fail(conn, -ENOMEM);
        conn->send_error = -ENOMEM;
    }
    return rv;
}

void conn_calm_down(struct grpc_conn *conn)
{
    (void)conn_check(
        conn, nghttp2_session_terminate_session(conn->session, NGHTTP2_ENHANCE_YOUR_CALM));
    conn_fail(conn, -EPROTO);
}

/* ---- who pays ---- */

void conn_charge_out(struct grpc_conn *conn)
{
    if (!conn->out_budget)
        return;
    size_t now = conn->out.bytes;
    if (now > conn->out_charged)
        budget_force(conn->out_budget, now - conn->out_charged);
    else
        budget_give(conn->out_budget, conn->out_charged - now);
    conn->out_charged = now;
}

void grpc_conn_charge(struct grpc_conn *conn, struct budget *queued)
{
    if (conn->out_charged > 0)
        budget_give(conn->out_budget, conn->out_charged);
    conn->out_charged = 0;
    conn->out_budget = queued;
    conn_charge_out(conn);
}

/* ---- turning ---- */

void conn_settle(struct grpc_conn *conn)
{
    while (!list_empty(&conn->todo)) {
        struct grpc_call *call =
            CONTAINER_OF(list_first(&conn->todo), struct grpc_call, todo_node);
        unsigned bits = call->todo;
        call->todo = 0;
        list_remove(&call->todo_node);
        if (bits & TODO_CLOSE) {
            call_close(call);
            continue;
        }
        if (bits & TODO_DRAIN && call->events && call->events->on_drain)
            call->events->on_drain(call->user, call);
        if (bits & TODO_DELIVER)
            call_deliver(call); /* may free the call */
    }
    if (conn->send_error == 0)
        client_submit_waiting(conn);
}

void conn_notify(struct grpc_conn *conn)
{
    if (conn->depth > 0 || conn->write_signalled)
        return;
    if (conn->out.bytes == 0 && list_empty(&conn->todo) &&
        (conn->send_error < 0 || !nghttp2_session_want_write(conn->session)))
        return;
    conn->write_signalled = true;
    if (conn->events.on_want_write)
        conn->events.on_want_write(conn->user);
}

static int recv_errno(struct grpc_conn *conn, ssize_t rv)
{
    switch (rv) {
    case NGHTTP2_ERR_NOMEM:
        conn->send_error = -ENOMEM;
        return -ENOMEM;
    case NGHTTP2_ERR_FLOODED:
        conn_calm_down(conn);
        return -EPROTO;
    case NGHTTP2_ERR_CALLBACK_FAILURE:
        if (conn->recv_error == -EPROTO)
            return -EPROTO; /* a callback ended it, with a GOAWAY that can still leave */
        conn->send_error = -ENOMEM;
        return -ENOMEM;
    default:
        (void)conn_check(
            conn, nghttp2_session_terminate_session(conn->session, NGHTTP2_PROTOCOL_ERROR));
        return -EPROTO;
    }
}

/* nghttp2 answers a connection error by queueing GOAWAY and then wants no more bytes; so does
 * an orderly end. */
static bool is_terminated(const struct grpc_conn *conn)
{
    if (nghttp2_session_want_read(conn->session))
        return false;
    return conn->n_streams > 0 || !(conn->goaway_received || conn->goaway_sent);
}

ssize_t grpc_conn_recv_some(struct grpc_conn *conn, const uint8_t *data, size_t n)
{
    CHECK(!conn->in_session && !conn->freeing);
    if (conn->recv_error < 0)
        return conn->recv_error;
    conn->depth++;
    conn_settle(conn);
    conn->in_session = true;
    conn->work = 0;
    ssize_t rv = nghttp2_session_mem_recv(conn->session, data, n);
    conn->in_session = false;
    if (rv < 0)
        conn_fail(conn, recv_errno(conn, rv));
    conn_settle(conn);
    conn->depth--;
    ssize_t r = conn->recv_error < 0 ? conn->recv_error : rv;
    if (r == 0)
        r = (ssize_t)n; /* a session that wants no more */
    conn_notify(conn);
    return r;
}

int grpc_conn_recv(struct grpc_conn *conn, const uint8_t *data, size_t n)
{
    ssize_t r;
    do {
        r = grpc_conn_recv_some(conn, data, n);
        if (r < 0)
            return (int)r;
        data += r;
        n -= (size_t)r;
    } while (n > 0);
    return 0;
}

/* Moves what the session wants to send into `out`, until that holds a good deal. */
static void fill_out(struct grpc_conn *conn)
{
    conn->in_session = true;
    while (conn->send_error == 0 && conn->out.bytes < CONN_OUT_TARGET) {
        const uint8_t *data = NULL;
        ssize_t n = nghttp2_session_mem_send(conn->session, &data);
        if (n == 0)
            break;
        if (n < 0 || segq_put_copy(&conn->out, data, (size_t)n) < 0) {
            conn->send_error = -ENOMEM; /* the only way sending fails: memory */
            conn_fail(conn, -ENOMEM);
        }
    }
    conn->in_session = false;
    if (conn->send_error == 0 && is_terminated(conn))
        conn_fail(conn, -EPROTO);
}

int grpc_conn_pull(struct grpc_conn *conn, struct iovec *iov, int max)
{
    conn->write_signalled = false;
    if (!conn->in_session && !conn->freeing) {
        conn->depth++;
        do {
            conn_settle(conn);
            fill_out(conn);
        } while (conn->send_error == 0 &&
                 (!list_empty(&conn->todo) || client_can_submit(conn)));
        conn->depth--;
        conn_charge_out(conn);
    }
    return segq_iov(&conn->out, iov, max);
}

void grpc_conn_pulled(struct grpc_conn *conn, size_t n)
{
    segq_consume(&conn->out, n);
    conn_charge_out(conn);
}

/* ---- ending ---- */

void grpc_conn_shutdown(struct grpc_conn *conn)
{
    if (conn->shutting_down || conn->freeing)
        return;
    conn->shutting_down = true;
    if (conn->side == GRPC_CLIENT) {
        conn->goaway_sent = true;
        (void)conn_check(conn, nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE, 0,
                                                     NGHTTP2_NO_ERROR, NULL, 0));
    } else {
        /* RFC 9113 6.8: a notice first; the PING's answer says that the client has seen it. */
        (void)conn_check(conn, nghttp2_submit_shutdown_notice(conn->session));
        (void)conn_check(conn,
                         nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, shutdown_ping));
    }
    conn_notify(conn);
}

bool grpc_conn_is_broken(const struct grpc_conn *conn)
{
    return conn->recv_error < 0;
}

bool grpc_conn_done(const struct grpc_conn *conn)
{
    if (conn->out.bytes > 0)
        return false;
    if (conn->send_error < 0)
        return true;
    if (nghttp2_session_want_write(conn->session))
        return false;
    if (conn->recv_error < 0)
        return true;
    return !nghttp2_session_want_read(conn->session) && conn->n_calls == 0;
}

size_t grpc_conn_n_calls(const struct grpc_conn *conn)
{
    return conn->n_calls;
}

bool grpc_conn_can_call(const struct grpc_conn *conn)
{
    return conn->side == GRPC_CLIENT && !conn->freeing && !conn->goaway_received &&
           !conn->shutting_down && conn->recv_error == 0 && conn->send_error == 0 &&
           nghttp2_session_get_next_stream_id(conn->session) <= INT32_MAX;
}

int grpc_conn_ping(struct grpc_conn *conn)
{
    if (conn->freeing || conn->send_error < 0)
        return -EPIPE;
    int rv = conn_check(conn, nghttp2_submit_ping(conn->session, NGHTTP2_FLAG_NONE, NULL));
    conn_notify(conn);
    return rv < 0 ? -ENOMEM : 0;
}
