/*
 * A call: its sending side and its end. See h2.h for who may free it and when.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "wire/h2.h"

struct grpc_call *call_new(struct grpc_conn *conn)
{
    struct grpc_call *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->conn = conn;
    call->reader.max = conn->limits.max_message_bytes;
    list_init(&call->node);
    list_init(&call->todo_node);
    list_init(&call->wait_node);
    list_append(&conn->calls, &call->node);
    conn->n_calls++;
    return call;
}

void call_todo(struct grpc_call *call, unsigned bits)
{
    if (call->todo == 0)
        list_append(&call->conn->todo, &call->todo_node);
    call->todo |= bits;
    conn_notify(call->conn);
}

void call_reset(struct grpc_call *call, uint32_t h2_error)
{
    if (call->stream_id > 0)
        (void)conn_check(call->conn,
                         nghttp2_submit_rst_stream(call->conn->session, NGHTTP2_FLAG_NONE,
                                                   call->stream_id, h2_error));
}

/* The session may still ask for the stream's data or report its close: it finds no call then.
 */
static void detach(struct grpc_call *call)
{
    if (call->stream_id > 0)
        (void)nghttp2_session_set_stream_user_data(call->conn->session, call->stream_id, NULL);
    call->stream_id = -1;
    list_remove(&call->wait_node);
}

void call_out_give(struct grpc_call *call, size_t n)
{
    if (call->out_budget)
        budget_give(call->out_budget, n);
}

void call_end(struct grpc_call *call)
{
    if (call->over)
        return;
    call->over = true;
    call->discard = true;
    call->local_end = true;
    detach(call);
    call_out_give(call, call->out.bytes);
    segq_clear(&call->out);
    call_todo(call, TODO_CLOSE);
}

void call_close(struct grpc_call *call)
{
    struct grpc_conn *conn = call->conn;
    call->over = true;
    call->discard = true;
    call->local_end = true;
    detach(call);
    list_remove(&call->todo_node);
    call->todo = ~0u; /* functions called on it by on_close must not schedule anything */
    if (call->events && call->events->on_close) {
        const struct grpc_close how = {
            .status = &call->status,
            .refused = call->refused,
            .by_peer = call->by_peer,
            .silent = conn->side == GRPC_CLIENT && call->by_peer && !conn->ready,
        };
        call->events->on_close(call->user, call, &how);
    }
    list_remove(&call->node);
    conn->n_calls--;
    call_out_give(call, call->out.bytes);
    segq_done(&call->out);
    headers_done(&call->header);
    headers_done(&call->in_header);
    message_reader_done(&call->reader);
    call_held_consume(call, buf_len(&call->held));
    buf_done(&call->held);
    err_done(&call->status);
    free(call);
}

void call_fail(struct grpc_call *call, enum err_code code, const char *fmt, ...)
{
    if (call->over || call->failed || call->discard)
        return;
    va_list ap;
    va_start(ap, fmt);
    CLEANUP_FREE char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    struct err err = {0};
    (void)err_set(&err, code, "%s", text ? text : "out of memory");
    call_fail_status(call, &err);
}

void call_fail_status(struct grpc_call *call, struct err *take)
{
    if (call->over || call->failed || call->discard) {
        err_done(take);
        return;
    }
    err_done(&call->status);
    err_move(&call->status, take);
    message_reader_done(
        &call->reader); /* the answer may have to wait, what came of the message not */
    if (call->conn->side == GRPC_SERVER) {
        call->failed = true;
        if (server_finish(call, &call->status) == 0)
            return;
    }
    call_reset(call, NGHTTP2_CANCEL);
    call_end(call);
}

void grpc_call_cancel(struct grpc_call *call, enum err_code code, const char *why)
{
    if (call->over)
        return;
    (void)err_set(&call->status, code, "%s", why ? why : "cancelled");
    call->refused = call->conn->side == GRPC_CLIENT && !call->on_wire;
    call->by_peer = false;
    call_reset(call, NGHTTP2_CANCEL);
    call_end(call);
}

void grpc_call_refuse(struct grpc_call *call, const char *why)
{
    if (call->over || call->headers_sent || call->conn->side != GRPC_SERVER)
        return;
    (void)err_set(&call->status, ERR_UNAVAILABLE, "%s", why);
    call->by_peer = false;
    call_reset(call, NGHTTP2_REFUSED_STREAM);
    call_end(call);
}

/* Bytes were added, or the end was reached: the session should ask for them. */
static void wake_data(struct grpc_call *call)
{
    if (call->data_deferred) {
        call->data_deferred = false;
        (void)conn_check(call->conn,
                         nghttp2_session_resume_data(call->conn->session, call->stream_id));
    }
    conn_notify(call->conn);
}

static int start_data(struct grpc_call *call)
{
    if (call->conn->side == GRPC_CLIENT || call->data_started)
        return 0; /* a client's source is part of its request */
    if (!call->headers_sent) {
        int r = grpc_call_send_headers(call, NULL, 0);
        if (r < 0)
            return r;
    }
    return submit_data(call);
}

static int enqueue(struct grpc_call *call, const void *head, size_t head_len,
                   struct buf *take_body)
{
    size_t body_len = buf_len(take_body);
    if (call->over || call->local_end || call->have_status)
        return -EPIPE;
    if (head_len > call->conn->limits.max_message_bytes ||
        body_len > call->conn->limits.max_message_bytes - head_len ||
        head_len + body_len > UINT32_MAX)
        return -EMSGSIZE;
    uint8_t prefix[MESSAGE_PREFIX];
    message_prefix(prefix, (uint32_t)(head_len + body_len));
    const struct iovec parts[] = {{prefix, sizeof(prefix)}, {(void *)head, head_len}};
    int r = segq_put_message(&call->out, parts, ARRAY_SIZE(parts), take_body);
    if (r == 0 && call->out_budget)
        budget_force(call->out_budget, sizeof(prefix) + head_len + body_len);
    return r;
}

int grpc_call_send(struct grpc_call *call, const void *head, size_t head_len,
                   struct buf *take_body)
{
    CLEANUP_BUF struct buf body = {0};
    if (take_body) {
        body = *take_body;
        *take_body = (struct buf){0};
    }
    int r = enqueue(call, head, head_len, &body);
    if (r < 0)
        return r;
    r = start_data(call);
    if (r < 0)
        return r;
    if (call->out.bytes > GRPC_HIGH_WATER)
        call->above_high = true;
    wake_data(call);
    return 0;
}

size_t grpc_call_queued(const struct grpc_call *call)
{
    return call->out.bytes;
}

bool grpc_call_is_full(struct grpc_call *call)
{
    bool poor = call->out_budget && budget_room(call->out_budget) == 0;
    if (call->out.bytes <= (poor ? 0 : GRPC_HIGH_WATER))
        return false;
    call->above_high = true;
    return true;
}

uint64_t grpc_call_received(const struct grpc_call *call)
{
    return call->n_received;
}

int grpc_call_half_close(struct grpc_call *call)
{
    if (call->over || call->local_end || call->have_status || call->conn->side != GRPC_CLIENT)
        return -EPIPE;
    call->local_end = true;
    wake_data(call);
    return 0;
}

int grpc_call_finish(struct grpc_call *call, const struct err *status)
{
    if (call->over || call->local_end || call->conn->side != GRPC_SERVER)
        return -EPIPE;
    call->discard = true; /* what the client still sends interests nobody */
    int r = server_finish(call, status);
    if (r < 0) {
        (void)err_set(&call->status, ERR_RESOURCE_EXHAUSTED, "answer a call: out of memory");
        call_reset(call, NGHTTP2_INTERNAL_ERROR);
        call_end(call);
        return r;
    }
    conn_notify(call->conn);
    return 0;
}

void grpc_call_bind(struct grpc_call *call, const struct grpc_call_events *events, void *user)
{
    call->events = events;
    call->user = user;
}

void grpc_call_limit(struct grpc_call *call, size_t max_message_bytes)
{
    call->reader.max = MIN(max_message_bytes, call->conn->limits.max_message_bytes);
}

void grpc_call_charge(struct grpc_call *call, struct budget *received, struct budget *queued)
{
    call->reader.budget = received;
    call->out_budget = queued;
}

void *grpc_call_user(struct grpc_call *call)
{
    return call->user;
}
