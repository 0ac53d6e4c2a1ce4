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

static void credit_stream(struct grpc_call *call, size_t n)
{
    if (n > 0 && call->stream_id > 0)
        (void)conn_check(call->conn, nghttp2_session_consume_stream(call->conn->session,
                                                                    call->stream_id, n));
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
        /* In the words that make clients send it in a stream (contract/server.md 3). */
        call_fail(call, ERR_RESOURCE_EXHAUSTED,
                  "received message larger than max for now (%zu vs. %zu)", call->reader.length,
                  call->reader.budget->max_bytes - call->reader.budget->used_bytes);
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
    }
    return call->discard ? n : n - left;
}

void call_on_data(struct grpc_call *call, const uint8_t *data, size_t n)
{
    if (call->discard) {
        credit_stream(call, n);
        return;
    }
    size_t used = 0;
    if (buf_len(&call->held) == 0) {
        used = feed(call, data, n);
        credit_stream(call, used);
    }
    if (used < n && buf_put(&call->held, data + used, n - used) < 0)
        call_fail(call, ERR_RESOURCE_EXHAUSTED, "receive a message: out of memory");
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
    buf_consume(&call->held, used);
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
