/*
 * Header blocks we send: from struct headers to nghttp2, and the headers that carry a status.
 */
#include <errno.h>
#include <string.h>

#include "wire/h2.h"
#include "wire/status.h"

#define NV_ON_STACK 24u /* chosen: a request of ours has 9 */

/* Credentials must not enter a compression context (RFC 7541 7.1.3); a deadline never repeats.
 */
static uint8_t nv_flags(const char *name)
{
    return strcmp(name, "authorization") == 0 || strcmp(name, "grpc-timeout") == 0 ||
                   strcmp(name, "grpc-message") == 0 ||
                   strcmp(name, "grpc-status-details-bin") == 0
               ? NGHTTP2_NV_FLAG_NO_INDEX
               : NGHTTP2_NV_FLAG_NONE;
}

static void fill_nva(const struct headers *h, nghttp2_nv *nva)
{
    char *p = (char *)(uintptr_t)buf_head(&h->text);
    for (size_t i = 0; i < h->n; i++) {
        nghttp2_nv *nv = &nva[i];
        *nv = (nghttp2_nv){.name = (uint8_t *)p, .namelen = strlen(p), .flags = nv_flags(p)};
        p += nv->namelen + 1;
        nv->value = (uint8_t *)p;
        nv->valuelen = strlen(p);
        p += nv->valuelen + 1;
    }
}

static int submit_nva(struct grpc_call *call, enum submit_kind kind, const nghttp2_nv *nva,
                      size_t n)
{
    nghttp2_session *session = call->conn->session;
    nghttp2_data_provider provider = events_data_provider();
    switch (kind) {
    case SUBMIT_REQUEST:
        return nghttp2_submit_request(session, NULL, nva, n, &provider, call);
    case SUBMIT_HEADERS:
        return nghttp2_submit_headers(session, NGHTTP2_FLAG_NONE, call->stream_id, NULL, nva, n,
                                      NULL);
    case SUBMIT_ANSWER:
    case SUBMIT_TRAILER:
        return nghttp2_submit_headers(session, NGHTTP2_FLAG_END_STREAM, call->stream_id, NULL,
                                      nva, n, NULL);
    }
    return NGHTTP2_ERR_INVALID_ARGUMENT;
}

static int to_errno(int nghttp2_error)
{
    return nghttp2_error == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPIPE;
}

/* Returns the stream id for SUBMIT_REQUEST, else 0. */
int submit_block(struct grpc_call *call, enum submit_kind kind, const struct headers *h)
{
    nghttp2_nv few[NV_ON_STACK];
    CLEANUP_FREE nghttp2_nv *many = NULL;
    nghttp2_nv *nva = few;
    if (h->n > NV_ON_STACK) {
        many = calloc(h->n, sizeof(*many));
        if (!many)
            return -ENOMEM;
        nva = many;
    }
    fill_nva(h, nva);
    int rv = conn_check(call->conn, submit_nva(call, kind, nva, h->n));
    return rv < 0 ? to_errno(rv) : rv;
}

int submit_data(struct grpc_call *call)
{
    nghttp2_data_provider provider = events_data_provider();
    int rv =
        conn_check(call->conn, nghttp2_submit_data(call->conn->session, NGHTTP2_FLAG_END_STREAM,
                                                   call->stream_id, &provider));
    if (rv < 0)
        return to_errno(rv);
    call->data_started = true;
    return 0;
}

/* How much of a header block the peer lets us send beside the fixed headers. */
static size_t status_budget(const struct grpc_conn *conn)
{
    size_t theirs = nghttp2_session_get_remote_settings(conn->session,
                                                        NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
    size_t limit = MIN(theirs, conn->limits.max_header_bytes);
    const size_t fixed =
        256; /* :status, content-type, grpc-status and the overhead of five entries */
    return limit > fixed ? limit - fixed : 0;
}

/* The text, shortened until its encoding fits: clients show it to people, half of it is better
 * than none. */
static int add_message(struct headers *h, const char *text, size_t budget)
{
    CLEANUP_BUF struct buf enc = {0};
    CLEANUP_FREE char *cut = strndup(text, budget);
    if (!cut)
        return -ENOMEM;
    for (;;) {
        int r = status_percent_encode(cut, &enc);
        if (r < 0)
            return r;
        if (buf_len(&enc) <= budget)
            break;
        buf_clear(&enc);
        cut[strlen(cut) / 2] = '\0';
    }
    if (buf_len(&enc) == 0)
        return 0;
    static const char name[] = "grpc-message";
    return headers_add_n(h, name, sizeof(name) - 1, buf_head(&enc), buf_len(&enc));
}

static int add_details(struct headers *h, const struct err *status, size_t budget)
{
    CLEANUP_BUF struct buf raw = {0};
    CLEANUP_BUF struct buf text = {0};
    int r = status_encode_details(status, &raw);
    if (r < 0 || buf_len(&raw) == 0 || buf_len(&raw) / 3 * 4 + 4 > budget)
        return r;
    r = base64_encode(buf_head(&raw), buf_len(&raw), &text);
    if (r < 0)
        return r;
    static const char name[] = "grpc-status-details-bin";
    return headers_add_n(h, name, sizeof(name) - 1, buf_head(&text), buf_len(&text));
}

int submit_status_headers(const struct grpc_conn *conn, const struct err *status,
                          struct headers *h)
{
    char code[16];
    (void)snprintf(code, sizeof(code), "%u", status ? (unsigned)status->code : 0u);
    int r = headers_add(h, "grpc-status", code);
    if (r < 0 || !status || status->code == ERR_OK)
        return r;
    size_t budget = status_budget(conn);
    r = add_message(h, err_text(status), budget / 2);
    if (r < 0)
        return r;
    return add_details(h, status, budget / 2);
}
