/*
 * What nghttp2 reports about one connection, and the DATA it asks for. Everything is handed on
 * to the call's files; only counting of abuse happens here.
 */
#include <errno.h>
#include <string.h>

#include "wire/h2.h"

/* Source: RFC 9113 10.5; numbers chosen: far above what cancelled calls of a real client reach.
 */
#define RESETS_MAX \
    1000u /* resets that a peer provoked, not balanced by completed calls (CVE-2025-8671) */
/* A count knows no time: sooner or later it would end every connection whose client gives calls up. nghttp2's rate does
 * better for those, where it has one. */
#ifdef HAVE_NGHTTP2_OPTION_SET_STREAM_RESET_RATE_LIMIT
#define COUNT_RESETS_BY_PEER false
#else
#define COUNT_RESETS_BY_PEER true
#endif
/* DATA frames without bytes or END_STREAM (CVE-2019-9518), not balanced by frames with bytes. */
#define EMPTY_DATA_MAX 1000u
/* One turn of a connection: chosen so that it takes about a millisecond. */
#define WORK_MAX 1024u
#define WORK_REQUEST 8u
/* Header bytes beyond max_header_bytes of their block. A few bytes name an entry of the HPACK table again and again, and each
 * time the whole of it is inflated and checked. Chosen: four blocks that are twice too large; each completed call allows for a
 * little more, as on a connection that a proxy fills with the calls of many. */
#define HEADERS_OVER_MAX 262144u
#define HEADERS_OVER_PER_CALL 1024u

/* Largest DATA frame sent, if the peer allows it. With other calls on the connection a frame
 * must not hold them up. */
#define FRAME_MAX_ALONE 1048576u
#define FRAME_MAX_SHARED 65536u

static struct grpc_call *find(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

/* ---- receiving ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct grpc_conn *conn = user;
    if (conn->side != GRPC_SERVER || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    conn->n_streams++;
    conn->work += WORK_REQUEST;
    struct grpc_call *call = call_new(conn);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    call->stream_id = frame->hd.stream_id;
    (void)nghttp2_session_set_stream_user_data(session, call->stream_id,
                                               call); /* the stream exists: cannot fail */
    return 0;
}

/* Of a block that is too large, or whose call is gone: counted only. */
static int drop_header(struct grpc_conn *conn, size_t size)
{
    conn->n_over += size;
    if (conn->n_over <= HEADERS_OVER_MAX + conn->n_completed * HEADERS_OVER_PER_CALL)
        return 0;
    conn_calm_down(conn);
    return NGHTTP2_ERR_CALLBACK_FAILURE; /* the rest of the input is not looked at */
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    struct grpc_conn *conn = user;
    struct grpc_call *call = find(session, frame->hd.stream_id);
    size_t size = name_len + value_len + HEADERS_ENTRY_OVERHEAD;
    if (!call || call->header_too_large)
        return drop_header(conn, size);
    struct headers *h = &call->in_header;
    if (h->size + size > conn->limits.max_header_bytes) {
        call->header_too_large = true;
        return drop_header(conn, size);
    }
    if (headers_add_n(h, name, name_len, value, value_len) < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return conn->work >= WORK_MAX ? NGHTTP2_ERR_PAUSE : 0;
}

static void on_headers_frame(struct grpc_conn *conn, struct grpc_call *call,
                             const nghttp2_frame *frame)
{
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (conn->side == GRPC_CLIENT) {
        client_on_headers(call, end);
    } else if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        server_on_request(call, end);
    } else {
        headers_done(&call->in_header); /* trailers of a request mean nothing in gRPC */
        if (end)
            call_on_remote_end(call);
    }
}

static void on_data_frame(struct grpc_conn *conn, struct grpc_call *call,
                          const nghttp2_frame *frame)
{
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.length > 0)
        conn->n_empty_data -= conn->n_empty_data > 0;
    else if (!end && ++conn->n_empty_data > EMPTY_DATA_MAX)
        conn_calm_down(conn);
    if (!call || !end)
        return;
    if (conn->side == GRPC_CLIENT) {
        /* A gRPC answer ends with trailers, never with DATA. */
        call_fail(call, ERR_INTERNAL, "the server ended the call without a status");
    } else {
        call_on_remote_end(call);
    }
}

static void on_settings(struct grpc_conn *conn, const nghttp2_frame *frame)
{
    if (frame->hd.flags & NGHTTP2_FLAG_ACK || conn->ready)
        return;
    conn->ready = true;
    if (conn->events.on_ready)
        conn->events.on_ready(conn->user);
}

static void on_goaway(struct grpc_conn *conn)
{
    bool first = !conn->goaway_received;
    conn->goaway_received = true;
    client_refuse_waiting(conn);
    if (first && conn->events.on_goaway)
        conn->events.on_goaway(conn->user);
}

static void on_ping_ack(struct grpc_conn *conn, const nghttp2_ping *ping)
{
    /* The client has seen the notice, so no request sent before it is still on its way: name
     * the last one. */
    if (!conn->shutting_down || conn->goaway_sent ||
        memcmp(ping->opaque_data, shutdown_ping, 8) != 0)
        return;
    conn->goaway_sent = true;
    (void)conn_check(
        conn, nghttp2_submit_goaway(conn->session, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(conn->session),
                                    NGHTTP2_NO_ERROR, NULL, 0));
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct grpc_conn *conn = user;
    struct grpc_call *call =
        frame->hd.stream_id > 0 ? find(session, frame->hd.stream_id) : NULL;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (call)
            on_headers_frame(conn, call, frame);
        break;
    case NGHTTP2_DATA:
        on_data_frame(conn, call, frame);
        break;
    case NGHTTP2_RST_STREAM:
        if (call)
            call->reset_by_peer = true;
        break;
    case NGHTTP2_SETTINGS:
        on_settings(conn, frame);
        break;
    case NGHTTP2_GOAWAY:
        on_goaway(conn);
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            on_ping_ack(conn, &frame->ping);
        break;
    default:
        break;
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                         const uint8_t *data, size_t n, void *user)
{
    struct grpc_conn *conn = user;
    (void)conn_check(conn, nghttp2_session_consume_connection(session, n));
    struct grpc_call *call = find(session, stream_id);
    if (call)
        call_on_data(call, data, n);
    return ++conn->work >= WORK_MAX ? NGHTTP2_ERR_PAUSE : 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t h2_error,
                           void *user)
{
    struct grpc_conn *conn = user;
    if (conn->n_streams > 0)
        conn->n_streams--;
    struct grpc_call *call = find(session, stream_id);
    if (!call)
        return 0;
    if (conn->side == GRPC_CLIENT) {
        client_on_lost(call, h2_error);
        return 0;
    }
    if (call->trailers_sent) {
        conn->n_completed++;
    } else {
        call->by_peer = true;
        (void)err_set(&call->status, ERR_CANCELLED, "the client gave the call up: %s",
                      nghttp2_http2_strerror(h2_error));
        if ((!call->reset_by_peer || COUNT_RESETS_BY_PEER) &&
            ++conn->n_resets > RESETS_MAX + conn->n_completed)
            conn_calm_down(conn);
    }
    call_close(call);
    return 0;
}

/* ---- sending ---- */

static ssize_t read_data(nghttp2_session *session, int32_t stream_id, uint8_t *buf,
                         size_t length, uint32_t *data_flags, nghttp2_data_source *source,
                         void *user)
{
    struct grpc_call *call = find(session, stream_id);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* cancelled: RST_STREAM is already queued
                                                       */
    size_t n = MIN(length, call->out.bytes);
    bool last = call->local_end && n == call->out.bytes;
    if (n == 0 && !last) {
        call->data_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0)
        *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (last) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
        if (call->conn->side == GRPC_SERVER) {
            *data_flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            if (call->header.n > 0 && server_submit_trailers(call) < 0)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
    }
    return (ssize_t)n;
}

nghttp2_data_provider events_data_provider(void)
{
    return (nghttp2_data_provider){.read_callback = read_data};
}

/* Ask for no more than there is: nghttp2 sizes its frame buffer by this. */
static ssize_t read_length(nghttp2_session *session, uint8_t frame_type, int32_t stream_id,
                           int32_t session_window, int32_t stream_window,
                           uint32_t remote_max_frame, void *user)
{
    struct grpc_conn *conn = user;
    struct grpc_call *call = find(session, stream_id);
    size_t want = call ? MAX(call->out.bytes, (size_t)1) : 1;
    size_t most =
        MIN(remote_max_frame, conn->n_streams > 1 ? FRAME_MAX_SHARED : FRAME_MAX_ALONE);
    return (ssize_t)MIN(want, most);
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
                     size_t length, nghttp2_data_source *source, void *user)
{
    struct grpc_conn *conn = user;
    struct grpc_call *call = find(session, frame->hd.stream_id);
    if (!call)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t before = call->out.bytes;
    bool moved = segq_put_copy(&conn->out, frame_head, 9) == 0 &&
                 segq_move(&conn->out, &call->out, length) == 0;
    call_out_give(call, before - call->out.bytes);
    if (!moved) {
        conn->send_error = -ENOMEM; /* half a frame may be queued: nothing may follow it */
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (call->above_high && call->out.bytes <= GRPC_LOW_WATER) {
        call->above_high = false;
        call_todo(call, TODO_DRAIN);
    }
    return conn->out.bytes >= CONN_OUT_TARGET ? NGHTTP2_ERR_PAUSE : 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct grpc_conn *conn = user;
    struct grpc_call *call = find(session, frame->hd.stream_id);
    if (!call)
        return 0;
    call->on_wire = true;
    if (conn->side == GRPC_SERVER && frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
        call->trailers_sent = true;
        if (!nghttp2_session_get_stream_remote_close(session, call->stream_id))
            call_reset(call, NGHTTP2_NO_ERROR);
    }
    return 0;
}

/* A block that could not be sent would leave its call hanging. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame,
                             int lib_error, void *user)
{
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    struct grpc_call *call = find(session, frame->hd.stream_id);
    if (call && call->conn->side == GRPC_SERVER)
        call_reset(call, NGHTTP2_INTERNAL_ERROR);
    return 0;
}

void events_register(nghttp2_session_callbacks *cb)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(cb, send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(cb, read_length);
    nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
}
