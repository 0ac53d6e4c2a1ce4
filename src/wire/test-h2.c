/*
 * Peers that do not behave: hand-made frames against one connection. The only test that
 * includes nghttp2.h, to read the header blocks that come back.
 */
#include <nghttp2/nghttp2.h>

#include "wire/test-pair.h"

/* ---- frames by hand ---- */

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *data, size_t n)
{
    const uint8_t head[9] = {(uint8_t)(n >> 16),
                             (uint8_t)(n >> 8),
                             (uint8_t)n,
                             type,
                             flags,
                             (uint8_t)(stream >> 24),
                             (uint8_t)(stream >> 16),
                             (uint8_t)(stream >> 8),
                             (uint8_t)stream};
    assert_int_equal(buf_put(b, head, 9), 0);
    assert_int_equal(buf_put(b, data, n), 0);
}

/* HPACK "literal without indexing, new name" (RFC 7541 6.2.2), lengths under 127. */
static void put_literal(struct buf *b, const char *name, const char *value)
{
    uint8_t lens[3] = {0, (uint8_t)strlen(name), (uint8_t)strlen(value)};
    assert_int_equal(buf_put(b, lens, 2), 0);
    assert_int_equal(buf_put_str(b, name), 0);
    assert_int_equal(buf_put(b, lens + 2, 1), 0);
    assert_int_equal(buf_put_str(b, value), 0);
}

static void put_headers(struct buf *b, uint32_t stream, uint8_t flags,
                        const struct grpc_header *h, size_t n)
{
    CLEANUP_BUF struct buf block = {0};
    for (size_t i = 0; i < n; i++)
        put_literal(&block, h[i].name, h[i].value);
    put_frame(b, NGHTTP2_HEADERS, flags | NGHTTP2_FLAG_END_HEADERS, stream, buf_head(&block),
              buf_len(&block));
}

static const struct grpc_header good_request[] = {
    {":method", "POST"}, {":scheme", "http"}, {":path", "/s/M"},
    {":authority", "x"}, {"te", "trailers"},  {"content-type", "application/grpc+proto"}};

static void put_request(struct buf *b, uint32_t stream, uint8_t flags)
{
    put_headers(b, stream, flags, good_request, ARRAY_SIZE(good_request));
}

/* ---- one connection against bytes ---- */

struct lone {
    struct pair p; /* only one of its ends is used */
    struct grpc_conn *conn;
    struct buf out; /* everything the connection wrote */
    nghttp2_hd_inflater *inflater;
    size_t seen; /* how far `out` was read by next_frame() */
};

static void drain_out(struct lone *l)
{
    struct iovec iov[4];
    int n;
    while ((n = grpc_conn_pull(l->conn, iov, 4)) > 0) {
        size_t sent = 0;
        for (int i = 0; i < n; i++) {
            assert_int_equal(buf_put(&l->out, iov[i].iov_base, iov[i].iov_len), 0);
            sent += iov[i].iov_len;
        }
        grpc_conn_pulled(l->conn, sent);
    }
}

/* Feeds and forgets @bytes. */
static int feed_conn(struct lone *l, struct buf *bytes)
{
    int r = grpc_conn_recv(l->conn, buf_head(bytes), buf_len(bytes));
    buf_clear(bytes);
    drain_out(l);
    return r;
}

static void lone_open(struct lone *l, enum grpc_side side, const struct grpc_limits *limits)
{
    *l = (struct lone){0};
    pair_open(&l->p, 16384, limits, limits);
    l->conn = side == GRPC_SERVER ? l->p.server : l->p.client;
    CLEANUP_BUF struct buf b = {0};
    if (side == GRPC_SERVER)
        assert_int_equal(buf_put_str(&b, NGHTTP2_CLIENT_MAGIC), 0);
    else
        l->seen = NGHTTP2_CLIENT_MAGIC_LEN;
    put_frame(&b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    assert_int_equal(nghttp2_hd_inflate_new(&l->inflater), 0);
    assert_int_equal(feed_conn(l, &b), 0);
}

static void lone_close(struct lone *l)
{
    pair_close(&l->p);
    buf_done(&l->out);
    nghttp2_hd_inflate_del(l->inflater);
}

/* The next frame of type @type that was written; false: none. @ret_data may be NULL. */
static bool next_frame(struct lone *l, uint8_t type, const uint8_t **ret_data, size_t *ret_n)
{
    while (l->seen + 9 <= buf_len(&l->out)) {
        const uint8_t *p = buf_head(&l->out) + l->seen;
        size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        l->seen += 9 + n;
        if (p[3] != type)
            continue;
        if (ret_data) {
            *ret_data = p + 9;
            *ret_n = n;
        }
        return true;
    }
    return false;
}

/* "name=value\n" of the next header block. */
static void next_headers(struct lone *l, char *text, size_t cap)
{
    const uint8_t *p = NULL;
    size_t n = 0;
    assert_true(next_frame(l, NGHTTP2_HEADERS, &p, &n));
    *text = '\0';
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(l->inflater, &nv, &flags, p, n, 1);
        assert_true(used >= 0);
        p += used;
        n -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            (void)snprintf(text + strlen(text), cap - strlen(text), "%s=%s\n", nv.name,
                           nv.value);
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    (void)nghttp2_hd_inflate_end_headers(l->inflater);
}

static uint32_t goaway_code(struct lone *l)
{
    const uint8_t *p = NULL;
    size_t n = 0;
    l->seen = l->conn == l->p.client ? NGHTTP2_CLIENT_MAGIC_LEN : 0;
    if (!next_frame(l, NGHTTP2_GOAWAY, &p, &n))
        return UINT32_MAX;
    return (uint32_t)p[4] << 24 | (uint32_t)p[5] << 16 | (uint32_t)p[6] << 8 | p[7];
}

/* The peer broke HTTP/2: we say why and want nothing more. */
static void assert_broken(struct lone *l, struct buf *bytes, uint32_t code)
{
    (void)feed_conn(l, bytes);
    assert_int_equal(goaway_code(l), code);
    assert_true(grpc_conn_done(l->conn));
    assert_int_equal(grpc_conn_recv(l->conn, (const uint8_t *)"x", 1), -EPROTO);
}

/* ---- requests that are refused ---- */

static void assert_refused(size_t changed, const char *value, const char *expect)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    struct grpc_header h[ARRAY_SIZE(good_request) + 1];
    memcpy(h, good_request, sizeof(good_request));
    h[ARRAY_SIZE(good_request)] = (struct grpc_header){"grpc-timeout", "1S"};
    if (value)
        h[changed].value = value;
    else
        h[changed].name = "x-absent";
    CLEANUP_BUF struct buf b = {0};
    put_headers(&b, 1, 0, h, ARRAY_SIZE(h));
    assert_int_equal(feed_conn(&l, &b), 0);
    char text[1024];
    next_headers(&l, text, sizeof(text));
    if (!strstr(text, expect))
        fail_msg("expected %s in %s", expect, text);
    assert_true(next_frame(&l, NGHTTP2_RST_STREAM, NULL, NULL));
    assert_int_equal(l.p.n_served, 0);
    assert_int_equal(grpc_conn_n_calls(l.conn), 0);
    lone_close(&l);
}

static void test_requests_that_are_not_grpc_get_http_statuses(void **state)
{
    assert_refused(0, "GET", ":status=405");
    assert_refused(5, "application/json", ":status=415");
    assert_refused(5, "application/grpcx", ":status=415");
    assert_refused(5, NULL, ":status=415");
}

static void test_requests_with_broken_grpc_headers_get_grpc_statuses(void **state)
{
    assert_refused(4, NULL, "grpc-status=13");
    assert_refused(6, "1x", "grpc-status=13");
    assert_refused(6, "123456789S", "grpc-status=13");
}

static void answer_compressed(const char *encoding, const char *expect)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    struct grpc_header h[ARRAY_SIZE(good_request) + 1];
    memcpy(h, good_request, sizeof(good_request));
    h[ARRAY_SIZE(good_request)] = (struct grpc_header){"grpc-encoding", encoding};
    CLEANUP_BUF struct buf b = {0};
    put_headers(&b, 1, 0, h, ARRAY_SIZE(h));
    put_frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\1\0\0\0\1x", 6);
    assert_int_equal(feed_conn(&l, &b), 0);
    char text[1024];
    next_headers(&l, text, sizeof(text));
    assert_non_null(strstr(text, expect));
    lone_close(&l);
}

static void test_compressed_messages_are_refused(void **state)
{
    answer_compressed("gzip", "grpc-status=12");
    answer_compressed("gzip", "grpc-accept-encoding=identity");
    answer_compressed("identity", "grpc-status=13");
}

static void test_a_request_that_ends_inside_a_message_is_an_error(void **state)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    CLEANUP_BUF struct buf b = {0};
    put_request(&b, 1, 0);
    put_frame(&b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0\5abc", 8);
    assert_int_equal(feed_conn(&l, &b), 0);
    char text[1024];
    next_headers(&l, text, sizeof(text));
    assert_non_null(strstr(text, "grpc-status=13"));
    assert_int_equal(l.p.served[0].n_half_close, 0);
    assert_int_equal(l.p.served[0].n_close, 1);
    lone_close(&l);
}

/* ---- floods ---- */

/* One record serves them all. */
static void forget_served(struct lone *l)
{
    record_done(&l->p.served[0]);
    l->p.served[0] = (struct record){0};
    l->p.n_served = 0;
}

static void test_a_flood_of_resets_ends_the_connection(void **state)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    CLEANUP_BUF struct buf b = {0};
    int r = 0;
    uint32_t sent = 0;
    for (; sent < 30000 && r == 0 && !grpc_conn_done(l.conn); sent++) {
        put_request(&b, 1 + 2 * sent, 0);
        put_frame(&b, NGHTTP2_RST_STREAM, 0, 1 + 2 * sent, "\0\0\0\10", 4);
        r = feed_conn(&l, &b);
        forget_served(&l);
    }
    assert_in_range(sent, 1001, 29999); /* 10000, and 500 a second, in 30000 a moment */
    assert_int_not_equal(goaway_code(&l), NGHTTP2_NO_ERROR);
    assert_true(grpc_conn_done(l.conn));
    lone_close(&l);
}

/* The peer makes us reset (CVE-2025-8671): its own frames of that kind are not what is counted. */
static void test_a_flood_of_malformed_requests_ends_the_connection(void **state)
{
    const struct grpc_header upper[] = {{":method", "POST"},
                                        {":scheme", "http"},
                                        {":path", "/s/M"},
                                        {":authority", "x"},
                                        {"Upper", "x"}};
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    CLEANUP_BUF struct buf b = {0};
    int r = 0;
    uint32_t sent = 0;
    for (; sent < 5000 && r == 0; sent++) {
        put_headers(&b, 1 + 2 * sent, 0, upper, ARRAY_SIZE(upper));
        r = feed_conn(&l, &b);
        forget_served(&l);
    }
    assert_int_equal(r, -EPROTO);
    assert_in_range(sent, 1001, 1003);
    assert_int_equal(goaway_code(&l), NGHTTP2_ENHANCE_YOUR_CALM);
    lone_close(&l);
}

static void test_resets_after_completed_calls_are_no_flood(void **state)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    l.p.script = script_echo;
    CLEANUP_BUF struct buf b = {0};
    for (uint32_t i = 0; i < 1900; i++) {
        put_request(&b, 1 + 2 * i, i % 2 ? NGHTTP2_FLAG_END_STREAM : 0);
        if (i % 2 == 0)
            put_frame(&b, NGHTTP2_RST_STREAM, 0, 1 + 2 * i, "\0\0\0\10", 4);
        assert_int_equal(feed_conn(&l, &b), 0);
        forget_served(&l);
    }
    lone_close(&l);
}

static void test_a_flood_of_empty_data_frames_ends_the_connection(void **state)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    CLEANUP_BUF struct buf b = {0};
    put_request(&b, 1, 0);
    for (int i = 0; i < 1001; i++)
        put_frame(&b, NGHTTP2_DATA, 0, 1, NULL, 0);
    assert_int_equal(feed_conn(&l, &b), -EPROTO);
    assert_int_equal(goaway_code(&l), NGHTTP2_ENHANCE_YOUR_CALM);
    lone_close(&l);
}

static void test_a_flood_of_pings_that_nobody_reads_ends_the_connection(void **state)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    CLEANUP_BUF struct buf b = {0};
    for (int i = 0; i < 5000; i++)
        put_frame(&b, NGHTTP2_PING, 0, 0, "12345678", 8);
    assert_int_equal(feed_conn(&l, &b), -EPROTO);
    lone_close(&l);
}

static void test_a_flood_of_settings_ends_the_connection(void **state)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    CLEANUP_BUF struct buf b = {0};
    for (int i = 0; i < 5000; i++)
        put_frame(&b, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    assert_int_equal(feed_conn(&l, &b), -EPROTO);
    lone_close(&l);
}

static void test_streams_over_the_cap_are_refused_by_the_server(void **state)
{
    struct grpc_limits limits;
    grpc_limits_init(&limits);
    limits.max_streams = 3;
    struct lone l;
    lone_open(&l, GRPC_SERVER, &limits);
    CLEANUP_BUF struct buf b = {0};
    put_frame(&b, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
    for (uint32_t i = 0; i < 4; i++)
        put_request(&b, 1 + 2 * i, 0);
    (void)feed_conn(&l, &b);
    assert_int_equal(l.p.n_served, 3);
    lone_close(&l);
}

/* ---- broken bytes ---- */

static void test_a_wrong_preface_is_a_protocol_error(void **state)
{
    struct pair p;
    pair_open(&p, 16384, NULL, NULL);
    static const char http1[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_int_equal(grpc_conn_recv(p.server, (const uint8_t *)http1, sizeof(http1) - 1),
                     -EPROTO);
    assert_int_equal(grpc_conn_recv(p.server, (const uint8_t *)http1, 1), -EPROTO);
    pair_close(&p);
}

static void test_a_frame_over_the_allowed_size_ends_the_connection(void **state)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    CLEANUP_BUF struct buf b = {0};
    put_request(&b, 1, 0);
    CLEANUP_FREE char *big = calloc(1, 2000000);
    put_frame(&b, NGHTTP2_DATA, 0, 1, big, 2000000);
    assert_broken(&l, &b, NGHTTP2_FRAME_SIZE_ERROR);
    lone_close(&l);
}

static void test_broken_header_compression_ends_the_connection(void **state)
{
    struct lone l;
    lone_open(&l, GRPC_SERVER, NULL);
    CLEANUP_BUF struct buf b = {0};
    put_frame(&b, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, "\xff\xff\xff\xff\xff", 5);
    assert_broken(&l, &b, NGHTTP2_COMPRESSION_ERROR);
    lone_close(&l);
}

/* Deterministic noise: every byte of a valid conversation is damaged once, in turn. */
static void test_damaged_bytes_never_crash_the_server(void **state)
{
    CLEANUP_BUF struct buf valid = {0};
    assert_int_equal(buf_put_str(&valid, NGHTTP2_CLIENT_MAGIC), 0);
    put_frame(&valid, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    put_request(&valid, 1, 0);
    put_frame(&valid, NGHTTP2_DATA, 0, 1, "\0\0\0\0\3abc", 8);
    put_frame(&valid, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0\0", 5);
    put_frame(&valid, NGHTTP2_PING, 0, 0, "12345678", 8);
    for (size_t i = 0; i < 2 * buf_len(&valid); i++) {
        struct lone l = {0};
        pair_open(&l.p, 16384, NULL, NULL);
        l.p.script = script_echo;
        l.conn = l.p.server;
        CLEANUP_BUF struct buf b = {0};
        assert_int_equal(buf_put(&b, buf_head(&valid), buf_len(&valid)), 0);
        b.data[i / 2] ^= i % 2 ? 0x81 : 0x7e;
        (void)feed_conn(&l, &b);
        pair_close(&l.p);
        buf_done(&l.out);
    }
}

/* ---- servers that do not behave ---- */

struct client_case {
    const char *what;
    void (*answer)(struct buf *b);
    enum err_code code;
    bool refused;
};

static const struct grpc_header ok_headers[] = {{":status", "200"},
                                                {"content-type", "application/grpc"}};

static void answer_http_503(struct buf *b)
{
    const struct grpc_header h[] = {{":status", "503"}, {"content-type", "text/html"}};
    put_headers(b, 1, 0, h, 2);
    put_frame(b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "<html>", 6);
}

static void answer_http_404_headers_only(struct buf *b)
{
    const struct grpc_header h[] = {{":status", "404"}};
    put_headers(b, 1, NGHTTP2_FLAG_END_STREAM, h, 1);
}

static void answer_http_wins_only_without_status(struct buf *b)
{
    const struct grpc_header h[] = {{":status", "404"}, {"grpc-status", "5"}};
    put_headers(b, 1, NGHTTP2_FLAG_END_STREAM, h, 2);
}

static void answer_html(struct buf *b)
{
    const struct grpc_header h[] = {{":status", "200"}, {"content-type", "text/html"}};
    put_headers(b, 1, 0, h, 2);
}

static void answer_data_without_trailers(struct buf *b)
{
    put_headers(b, 1, 0, ok_headers, 2);
    put_frame(b, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, "\0\0\0\0\1x", 6);
}

static void answer_trailers_without_status(struct buf *b)
{
    const struct grpc_header t = {"x-other", "1"};
    put_headers(b, 1, 0, ok_headers, 2);
    put_headers(b, 1, NGHTTP2_FLAG_END_STREAM, &t, 1);
}

static void answer_strange_status(struct buf *b)
{
    const struct grpc_header t = {"grpc-status", "17"};
    put_headers(b, 1, 0, ok_headers, 2);
    put_headers(b, 1, NGHTTP2_FLAG_END_STREAM, &t, 1);
}

static void answer_half_message(struct buf *b)
{
    const struct grpc_header t = {"grpc-status", "0"};
    put_headers(b, 1, 0, ok_headers, 2);
    put_frame(b, NGHTTP2_DATA, 0, 1, "\0\0\0\0\5ab", 7);
    put_headers(b, 1, NGHTTP2_FLAG_END_STREAM, &t, 1);
}

static void answer_compressed_message(struct buf *b)
{
    put_headers(b, 1, 0, ok_headers, 2);
    put_frame(b, NGHTTP2_DATA, 0, 1, "\1\0\0\0\1x", 6);
}

static void answer_informational_first(struct buf *b)
{
    const struct grpc_header early = {":status", "103"};
    const struct grpc_header t[] = {{"grpc-status", "7"}, {"grpc-message", "no%20way%"}};
    put_headers(b, 1, 0, &early, 1);
    put_headers(b, 1, 0, ok_headers, 2);
    put_headers(b, 1, NGHTTP2_FLAG_END_STREAM, t, 2);
}

static void answer_rst_refused(struct buf *b)
{
    put_frame(b, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\7", 4);
}

static void answer_rst_cancel(struct buf *b)
{
    put_frame(b, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\10", 4);
}

static void answer_rst_calm(struct buf *b)
{
    put_frame(b, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\13", 4);
}

static void answer_goaway_below(struct buf *b)
{
    put_frame(b, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
}

static void answer_status_then_rst(struct buf *b)
{
    const struct grpc_header t[] = {
        {":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "9"}};
    put_headers(b, 1, NGHTTP2_FLAG_END_STREAM, t, 3);
    put_frame(b, NGHTTP2_RST_STREAM, 0, 1, "\0\0\0\0", 4);
}

static void test_every_kind_of_answer_becomes_the_right_status(void **state)
{
    static const struct client_case cases[] = {
        {"HTTP 503", answer_http_503, ERR_UNAVAILABLE, false},
        {"HTTP 404", answer_http_404_headers_only, ERR_UNIMPLEMENTED, false},
        {"HTTP 404 with a status", answer_http_wins_only_without_status, ERR_NOT_FOUND, false},
        {"HTML", answer_html, ERR_UNKNOWN, false},
        {"no trailers", answer_data_without_trailers, ERR_INTERNAL, false},
        {"no status", answer_trailers_without_status, ERR_UNKNOWN, false},
        {"status 17", answer_strange_status, ERR_UNKNOWN, false},
        {"half a message", answer_half_message, ERR_INTERNAL, false},
        {"compressed", answer_compressed_message, ERR_INTERNAL, false},
        {"103 first", answer_informational_first, ERR_PERMISSION_DENIED, false},
        {"REFUSED_STREAM", answer_rst_refused, ERR_UNAVAILABLE, true},
        {"CANCEL", answer_rst_cancel, ERR_CANCELLED, false},
        {"ENHANCE_YOUR_CALM", answer_rst_calm, ERR_RESOURCE_EXHAUSTED, false},
        {"GOAWAY", answer_goaway_below, ERR_UNAVAILABLE, true},
        {"status, then reset", answer_status_then_rst, ERR_FAILED_PRECONDITION, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct lone l;
        struct record r;
        lone_open(&l, GRPC_CLIENT, NULL);
        pair_start(&l.p, &r, "/s/M");
        drain_out(&l);
        CLEANUP_BUF struct buf b = {0};
        cases[i].answer(&b);
        assert_int_equal(feed_conn(&l, &b), 0);
        if (r.n_close != 1 || r.status.code != cases[i].code || r.refused != cases[i].refused)
            fail_msg("%s: closed %u times, %s, refused %d", cases[i].what, r.n_close,
                     err_code_name(r.status.code), r.refused);
        lone_close(&l);
        record_done(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_that_are_not_grpc_get_http_statuses),
        cmocka_unit_test(test_requests_with_broken_grpc_headers_get_grpc_statuses),
        cmocka_unit_test(test_compressed_messages_are_refused),
        cmocka_unit_test(test_a_request_that_ends_inside_a_message_is_an_error),
        cmocka_unit_test(test_a_flood_of_resets_ends_the_connection),
        cmocka_unit_test(test_a_flood_of_malformed_requests_ends_the_connection),
        cmocka_unit_test(test_resets_after_completed_calls_are_no_flood),
        cmocka_unit_test(test_a_flood_of_empty_data_frames_ends_the_connection),
        cmocka_unit_test(test_a_flood_of_pings_that_nobody_reads_ends_the_connection),
        cmocka_unit_test(test_a_flood_of_settings_ends_the_connection),
        cmocka_unit_test(test_streams_over_the_cap_are_refused_by_the_server),
        cmocka_unit_test(test_a_wrong_preface_is_a_protocol_error),
        cmocka_unit_test(test_a_frame_over_the_allowed_size_ends_the_connection),
        cmocka_unit_test(test_broken_header_compression_ends_the_connection),
        cmocka_unit_test(test_damaged_bytes_never_crash_the_server),
        cmocka_unit_test(test_every_kind_of_answer_becomes_the_right_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
