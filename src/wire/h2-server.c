/*
 * Calls we answer: checks of the request's headers, and trailers. HTTP-level refusals follow
 * PROTOCOL-HTTP2.md "Responses"; everything else is answered with a gRPC status.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "wire/h2.h"
#include "wire/status.h"

/* A plain HTTP answer for something that does not speak gRPC. */
static void refuse_http(struct grpc_call *call, const char *status)
{
    struct headers h = {0};
    call->failed = call->discard = call->local_end = call->headers_sent = true;
    (void)err_set(&call->status, ERR_INTERNAL, "not a gRPC request");
    int r = headers_add(&h, ":status", status);
    if (r == 0)
        r = submit_block(call, SUBMIT_ANSWER, &h);
    headers_done(&h);
    if (r < 0) {
        call_reset(call, NGHTTP2_INTERNAL_ERROR);
        call_end(call);
    }
}

/* "application/grpc", also with "+proto" or ";charset=..." */
static bool is_grpc(const char *content_type)
{
    const char *rest = NULL;
    static const char grpc[] = "application/grpc";
    if (content_type && strncasecmp(content_type, grpc, sizeof(grpc) - 1) == 0)
        rest = content_type + sizeof(grpc) - 1;
    return rest && (*rest == '\0' || *rest == '+' || *rest == ';');
}

/* False: the call was answered. */
static bool check_request(struct grpc_call *call, const struct grpc_header *h, size_t n,
                          struct grpc_request *req)
{
    const char *method = grpc_header_find(h, n, ":method");
    if (!method || strcmp(method, "POST") != 0) {
        refuse_http(call, "405");
        return false;
    }
    if (!is_grpc(grpc_header_find(h, n, "content-type"))) {
        refuse_http(call, "415");
        return false;
    }
    if (call->header_too_large) {
        call_fail(call, ERR_RESOURCE_EXHAUSTED, "request headers larger than max (%zu bytes)",
                  call->conn->limits.max_header_bytes);
        return false;
    }
    const char *te = grpc_header_find(h, n, "te");
    if (!te || strcmp(te, "trailers") != 0) {
        /* A proxy that strips TE also strips trailers: the answer could not arrive whole. */
        call_fail(call, ERR_INTERNAL, "request header `te` is not `trailers`");
        return false;
    }
    const char *timeout = grpc_header_find(h, n, "grpc-timeout");
    if (timeout && status_parse_timeout(timeout, &req->timeout_ns) < 0) {
        call_fail(call, ERR_INTERNAL, "malformed grpc-timeout");
        return false;
    }
    if (timeout && req->timeout_ns == 0)
        req->timeout_ns = 1; /* 0 means none; "0S" means already over */
    return true;
}

void server_on_request(struct grpc_call *call, bool end_stream)
{
    struct grpc_conn *conn = call->conn;
    CLEANUP_FREE struct grpc_header *list = headers_list(&call->in_header);
    size_t n = call->in_header.n;
    if (!list) {
        call_reset(call, NGHTTP2_INTERNAL_ERROR);
        call_end(call);
        return;
    }
    struct grpc_request req = {0};
    if (check_request(call, list, n, &req)) {
        const char *path = grpc_header_find(list, n, ":path");
        const char *authority = grpc_header_find(list, n, ":authority");
        if (!authority)
            authority = grpc_header_find(list, n, "host");
        const char *scheme = grpc_header_find(list, n, ":scheme");
        const char *encoding = grpc_header_find(list, n, "grpc-encoding");
        call->peer_encoded = encoding && strcmp(encoding, "identity") != 0;
        req.path = path ? path : "";
        req.authority = authority ? authority : "";
        req.scheme = scheme ? scheme : "";
        req.headers = list;
        req.n_headers = headers_drop_reserved(list, n);
        call->accepted = true;
        conn->events.on_call(conn->user, call, &req);
        if (!call->events && !call->local_end && !call->over)
            call_fail(call, ERR_UNIMPLEMENTED, "nobody answers this method");
    }
    headers_done(&call->in_header);
    if (end_stream && !call->over)
        call_on_remote_end(call);
}

int grpc_call_send_headers(struct grpc_call *call, const struct grpc_header *headers, size_t n)
{
    if (call->over || call->local_end || call->headers_sent || call->conn->side != GRPC_SERVER)
        return -EPIPE;
    struct headers h = {0};
    int r = headers_add(&h, ":status", "200");
    if (r == 0)
        r = headers_add(&h, "content-type", "application/grpc");
    if (r == 0)
        r = headers_add_custom(&h, headers, n);
    if (r == 0 && h.size > call->conn->limits.max_header_bytes)
        r = -EMSGSIZE;
    if (r == 0)
        r = submit_block(call, SUBMIT_HEADERS, &h);
    headers_done(&h);
    if (r < 0)
        return r;
    call->headers_sent = true;
    conn_notify(call->conn);
    return 0;
}

int grpc_call_add_trailer(struct grpc_call *call, const struct grpc_header *trailer)
{
    if (call->over || call->local_end || call->conn->side != GRPC_SERVER)
        return -EPIPE;
    return headers_add_custom(&call->header, trailer, 1);
}

int server_submit_trailers(struct grpc_call *call)
{
    int r = submit_block(call, SUBMIT_TRAILER, &call->header);
    headers_done(&call->header);
    return r;
}

static int submit_trailers_only(struct grpc_call *call, const struct err *status)
{
    struct headers h = {0};
    int r = headers_add(&h, ":status", "200");
    if (r == 0)
        r = headers_add(&h, "content-type", "application/grpc");
    if (r == 0 && call->peer_encoded)
        r = headers_add(&h, "grpc-accept-encoding", "identity");
    if (r == 0)
        r = submit_status_headers(call->conn, status, &h);
    if (r == 0)
        r = submit_block(call, SUBMIT_ANSWER, &h);
    headers_done(&h);
    return r;
}

int server_finish(struct grpc_call *call, const struct err *status)
{
    call->discard = true;
    if (call->local_end)
        return -EPIPE;
    call->local_end = true;
    if (!call->headers_sent) {
        call->headers_sent = true;
        return submit_trailers_only(call, status);
    }
    int r = submit_status_headers(call->conn, status, &call->header);
    if (r < 0)
        return r;
    /* With bytes still queued the data source submits the trailers itself, right behind the
     * last byte. */
    if (call->out.bytes > 0)
        return 0;
    return server_submit_trailers(call);
}
