/*
 * Calls we start: queueing behind the peer's stream limit, response headers, and how the status
 * is found. The order of judgement is that of PROTOCOL-HTTP2.md "Responses" and
 * http-grpc-status-mapping.md.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "wire/h2.h"
#include "wire/status.h"

/* ---- starting ---- */

static int build_request(struct headers *h, const struct grpc_start *s)
{
    const struct grpc_header fixed[] = {
        {":method", "POST"},
        {":scheme", s->scheme ? s->scheme : "http"},
        {":path", s->path},
        {":authority", s->authority ? s->authority : "localhost"},
        {"te", "trailers"},
        {"content-type", "application/grpc"},
        {"user-agent", s->user_agent ? s->user_agent : "cwsandbox-c/" CWS_VERSION},
    };
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        int r = headers_add(h, fixed[i].name, fixed[i].value);
        if (r < 0)
            return r;
    }
    if (s->timeout_ns > 0) {
        char text[16];
        status_format_timeout(s->timeout_ns, text);
        int r = headers_add(h, "grpc-timeout", text);
        if (r < 0)
            return r;
    }
    return headers_add_custom(h, s->headers, s->n_headers);
}

static int submit_request(struct grpc_call *call)
{
    int id = submit_block(call, SUBMIT_REQUEST, &call->header);
    if (id < 0)
        return id;
    call->stream_id = id;
    call->data_started = true;
    call->conn->n_streams++;
    headers_done(&call->header);
    return 0;
}

static bool stream_available(const struct grpc_conn *conn)
{
    return conn->n_streams < nghttp2_session_get_remote_settings(
                                 conn->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

static void refuse(struct grpc_call *call, const char *why)
{
    (void)err_set(&call->status, ERR_UNAVAILABLE, "%s", why);
    call->refused = true;
    call_end(call);
}

bool client_can_submit(const struct grpc_conn *conn)
{
    return !list_empty(&conn->waiting) && stream_available(conn);
}

void client_submit_waiting(struct grpc_conn *conn)
{
    while (client_can_submit(conn)) {
        struct grpc_call *call =
            CONTAINER_OF(list_first(&conn->waiting), struct grpc_call, wait_node);
        list_remove(&call->wait_node);
        if (submit_request(call) < 0)
            refuse(call, "start a call: the connection accepts no more");
    }
}

void client_refuse_waiting(struct grpc_conn *conn)
{
    while (!list_empty(&conn->waiting))
        refuse(CONTAINER_OF(list_first(&conn->waiting), struct grpc_call, wait_node),
               "the server is shutting down");
}

int grpc_call_start(struct grpc_conn *conn, const struct grpc_start *start,
                    const struct grpc_call_events *events, void *user,
                    struct grpc_call **ret_call)
{
    if (!grpc_conn_can_call(conn))
        return -EPIPE;
    struct headers h = {0};
    int r = build_request(&h, start);
    if (r == 0 && h.size > conn->limits.max_header_bytes)
        r = -EMSGSIZE;
    struct grpc_call *call = r == 0 ? call_new(conn) : NULL;
    if (!call) {
        headers_done(&h);
        return r < 0 ? r : -ENOMEM;
    }
    call->header = h;
    if (list_empty(&conn->waiting) && stream_available(conn))
        r = submit_request(call);
    else
        list_append(&conn->waiting, &call->wait_node);
    if (r < 0) {
        call_close(call); /* not bound yet: nobody is told */
        return r;
    }
    grpc_call_bind(call, events, user);
    *ret_call = call;
    conn_notify(conn);
    return 0;
}

/* ---- ending ---- */

void client_try_close(struct grpc_call *call)
{
    if (!call->have_status || buf_len(&call->held) > 0)
        return;
    if (call->status.code == ERR_OK && !message_reader_idle(&call->reader))
        (void)err_set(&call->status, ERR_INTERNAL, "the answer ended inside a message");
    call_close(call);
}

/* The status is known. Our own direction may still be open: nobody reads it any more. */
static void complete(struct grpc_call *call)
{
    call->have_status = true;
    call->remote_end = true;
    if (nghttp2_session_get_stream_local_close(call->conn->session, call->stream_id) == 0)
        call_reset(call, NGHTTP2_NO_ERROR);
    segq_clear(&call->out);
    client_try_close(call);
}

static void decode_details(const char *text, struct err *status)
{
    /* Values of a repeated binary header may come joined by commas; the first that yields
     * anything wins. */
    while (*text) {
        size_t n = strcspn(text, ",");
        CLEANUP_BUF struct buf raw = {0};
        if (base64_decode(text, n, &raw) == 0 && buf_len(&raw) > 0)
            status_decode_details(buf_head(&raw), buf_len(&raw), status);
        if (status->reason || status->n_violations > 0 || status->retry_delay_ns > 0)
            return;
        text += n;
        text += strspn(text, ", ");
    }
}

static enum err_code parse_code(const char *text)
{
    unsigned v = 0;
    size_t n = 0;
    for (; text[n] >= '0' && text[n] <= '9' && n < 3; n++)
        v = v * 10 + (unsigned)(text[n] - '0');
    return n > 0 && text[n] == '\0' && v < ERR_CODE_MAX ? (enum err_code)v : ERR_UNKNOWN;
}

static void status_from_headers(struct err *status, const struct grpc_header *h, size_t n)
{
    const char *message = grpc_header_find(h, n, "grpc-message");
    CLEANUP_BUF struct buf text = {0};
    if (message && (status_percent_decode(message, &text) < 0 || buf_put(&text, "", 1) < 0))
        message = NULL;
    enum err_code code = parse_code(grpc_header_find(h, n, "grpc-status"));
    if (code == ERR_OK)
        return;
    (void)err_set(status, code, "%s", message ? (const char *)buf_head(&text) : "");
    for (size_t i = 0; i < n && !status->reason; i++)
        if (strcmp(h[i].name, "grpc-status-details-bin") == 0)
            decode_details(h[i].value, status);
}

/* The HTTP status as a number; 0 if malformed. */
static int http_status(const struct grpc_header *h, size_t n)
{
    const char *text = grpc_header_find(h, n, ":status");
    if (!text || strspn(text, "0123456789") != 3 || text[3] != '\0')
        return 0;
    return (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
}

static void on_end_headers(struct grpc_call *call, struct grpc_header *h, size_t n)
{
    int http = http_status(h, n);
    if (grpc_header_find(h, n, "grpc-status"))
        status_from_headers(&call->status, h, n);
    else if (!call->accepted && http != 200)
        (void)err_set(&call->status, status_from_http(http),
                      "the server answered with HTTP status %d", http);
    else
        (void)err_set(&call->status, ERR_UNKNOWN, "the server ended the call without a status");
    if (call->accepted && !call->over && call->events->on_trailers)
        call->events->on_trailers(call->user, call, h, headers_drop_reserved(h, n));
    if (!call->over) /* else it was cancelled just now */
        complete(call);
}

static void on_initial_headers(struct grpc_call *call, struct grpc_header *h, size_t n)
{
    int http = http_status(h, n);
    const char *type = grpc_header_find(h, n, "content-type");
    const char *encoding = grpc_header_find(h, n, "grpc-encoding");
    if (http != 200) {
        call_fail(call, status_from_http(http), "the server answered with HTTP status %d",
                  http);
    } else if (!type || strncasecmp(type, "application/grpc", 16) != 0) {
        call_fail(call, ERR_UNKNOWN, "the server answered with content-type %s",
                  type ? type : "(none)");
    } else {
        call->accepted = true;
        call->peer_encoded = encoding && strcmp(encoding, "identity") != 0;
        size_t kept = headers_drop_reserved(h, n);
        if (call->events->on_headers)
            call->events->on_headers(call->user, call, h, kept);
    }
}

void client_on_headers(struct grpc_call *call, bool end_stream)
{
    struct headers block = call->in_header; /* the call may be freed below */
    call->in_header = (struct headers){0};
    CLEANUP_FREE struct grpc_header *list = headers_list(&block);
    if (!list)
        call_fail(call, ERR_RESOURCE_EXHAUSTED, "receive headers: out of memory");
    else if (call->header_too_large)
        call_fail(call, ERR_RESOURCE_EXHAUSTED, "received headers larger than max (%zu bytes)",
                  call->conn->limits.max_header_bytes);
    else if (end_stream)
        on_end_headers(call, list, block.n);
    else if (!call->accepted && http_status(list, block.n) >= 200)
        on_initial_headers(call, list, block.n);
    headers_done(&block);
}

void client_on_lost(struct grpc_call *call, uint32_t h2_error)
{
    if (call->have_status) {
        call->stream_id = -1;
        return; /* held messages first */
    }
    if (h2_error == NGHTTP2_NO_ERROR) {
        (void)err_set(&call->status, ERR_INTERNAL,
                      "the server ended the call without a status");
    } else {
        (void)err_set(&call->status, status_from_h2_error(h2_error),
                      "the server reset the call: %s", nghttp2_http2_strerror(h2_error));
        call->refused = h2_error == NGHTTP2_REFUSED_STREAM;
    }
    call_close(call);
}
