/*
 * A call's incoming side: bytes to messages, and the rules of pausing.
 *
 * Stream flow control is credited for what was taken out of the stream: handed out as messages
 * or put into the message being assembled (so a message larger than the window still arrives).
 * What arrives while paused is held raw and not credited: the peer can fill the window once and
 * then waits. The connection window is credited at once, always.
 */
#include <errno.h>

#include "wire/h2.h"

#define NO_ROOM_REASON "CWSANDBOX_RUNNER_OVERLOADED" /* docs/errors.md */
/* Chosen: longer than most messages take to arrive. */
#define NO_ROOM_RETRY_NS 1000000000ull

static void credit_stream(struct grpc_call *call, size_t n)
{
    if (n > 0 && call->stream_id > 0)
        (void)conn_check(call->conn, nghttp2_session_consume_stream(call->conn->session,
                                                                    call->stream_id, n));
}

/* In the words that make clients send a file in a stream instead. */
static void reject_no_room(struct grpc_call *call, size_t n)
{
    struct err err = {0};
    (void)err_set_reason(&err, ERR_RESOURCE_EXHAUSTED, NO_ROOM_REASON,
                         "received message larger than max for now (%zu vs. %zu)", n,
                         budget_room(call->reader.budget));
    err.retry_delay_ns = NO_ROOM_RETRY_NS;
    call_fail_status(call, &err);
}

static void reject_message(struct grpc_call *call, int result)
{
    switch (result) {
    case MESSAGE_E_TOO_LARGE:
        call_fail(call, ERR_RESOURCE_EXHAUSTED,
                  "received message larger than max (%zu vs. %zu)", call->reader.length,
                  call->reader.max);
        break;
    case MESSAGE_E_NO_ROOM:
        reject_no_room(call, call->reader.length);
        break;
    case MESSAGE_E_COMPRESSED:
        /* compression.md: an encoding that was announced but is not supported, or one that was
         * not announced. */
        if (call->peer_encoded && call->conn->side == GRPC_SERVER)
            call_fail(call, ERR_UNIMPLEMENTED, "compressed messages are not supported");
        else
            call_fail(call, ERR_INTERNAL,
                      "received a compressed message without a negotiated encoding");
        break;
    case MESSAGE_E_BAD_FLAG:
        call_fail(call, ERR_INTERNAL, "received a message with unknown flags");
        break;
    default:
        call_fail(call, ERR_RESOURCE_EXHAUSTED, "receive a message: out of memory");
        break;
    }
}

/* Hands out messages until the bytes are used up or nobody wants more; returns how many bytes
 * were taken. */
static size_t feed(struct grpc_call *call, const uint8_t *data, size_t n)
{
    const uint8_t *p = data;
    size_t left = n;
    while (left > 0 && !call->paused && !call->discard) {
        const uint8_t *msg = NULL;
        size_t msg_len = 0;
        int e = message_read(&call->reader, &p, &left, &msg, &msg_len);
        if (e == MESSAGE_E_READY)
            call->events->on_message(call->user, call, msg, msg_len);
        else if (e != MESSAGE_E_MORE)
            reject_message(call, e);
        message_release(&call->reader);
    }
    return call->discard ? n : n - left;
}

void call_held_consume(struct grpc_call *call, size_t n)
{
    buf_consume(&call->held, n);
    if (call->reader.budget)
        budget_give(call->reader.budget, n);
}

static void hold(struct grpc_call *call, const uint8_t *data, size_t n)
{
    struct budget *budget = call->reader.budget;
    if (budget && !budget_take(budget, n)) {
        reject_no_room(call, n);
        return;
    }
    if (buf_put(&call->held, data, n) == 0)
        return;
    if (budget)
        budget_give(budget, n);
    call_fail(call, ERR_RESOURCE_EXHAUSTED, "receive a message: out of memory");
}

void call_on_data(struct grpc_call *call, const uint8_t *data, size_t n)
{
    call->n_received += n;
    if (call->discard) {
        credit_stream(call, n);
        return;
    }
    size_t used = 0;
    if (buf_len(&call->held) == 0) {
        used = feed(call, data, n);
        credit_stream(call, used);
    }
    if (used < n)
        hold(call, data + used, n - used);
}

static void report_end(struct grpc_call *call)
{
    if (!call->remote_end || call->end_reported || call->over || buf_len(&call->held) > 0)
        return;
    call->end_reported = true;
    if (call->conn->side == GRPC_CLIENT) {
        client_try_close(call);
        return;
    }
    if (call->discard)
        return;
    if (!message_reader_idle(&call->reader))
        call_fail(call, ERR_INTERNAL, "the request ended inside a message");
    else if (call->events->on_half_close)
        call->events->on_half_close(call->user, call);
}

void call_on_remote_end(struct grpc_call *call)
{
    call->remote_end = true;
    report_end(call);
}

void call_deliver(struct grpc_call *call)
{
    if (call->over || call->paused)
        return;
    size_t used = feed(call, buf_head(&call->held), buf_len(&call->held));
    if (call->discard)
        used = buf_len(&call->held);
    call_held_consume(call, used);
    credit_stream(call, used);
    if (buf_len(&call->held) == 0)
        buf_done(&call->held);
    report_end(call);
}

void grpc_call_pause(struct grpc_call *call)
{
    call->paused = true;
}

void grpc_call_resume(struct grpc_call *call)
{
    if (!call->paused)
        return;
    call->paused = false;
    if (buf_len(&call->held) > 0)
        call_todo(call, TODO_DELIVER);
}
