/* Peers whose few bytes make much work: a server connection against bytes made by hand. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/grpc.h"

#define DATA 0
#define HEADERS 1
#define GOAWAY 7
#define END_STREAM 1
#define END_HEADERS 4
#define ENHANCE_YOUR_CALM 11 /* RFC 9113 7 */

struct server {
    struct grpc_conn *conn;
    struct buf out; /* everything it wrote */
    size_t n_calls;
};

static void on_close(void *user, struct grpc_call *call, const struct grpc_close *how)
{
}

static void on_call(void *user, struct grpc_call *call, const struct grpc_request *req)
{
    static const struct grpc_call_events events = {.on_close = on_close};
    struct server *s = user;
    s->n_calls++;
    grpc_call_bind(call, &events, s);
    assert_int_equal(grpc_call_finish(call, NULL), 0);
}

static void server_open(struct server *s)
{
    static const struct grpc_conn_events events = {.on_call = on_call};
    *s = (struct server){0};
    s->conn = grpc_conn_new(GRPC_SERVER, NULL, &events, s);
    assert_non_null(s->conn);
}

static void server_close(struct server *s)
{
    grpc_conn_free(s->conn, NULL);
    buf_done(&s->out);
}

static void put(struct buf *b, const void *data, size_t n)
{
    assert_int_equal(buf_put(b, data, n), 0);
}

static void put_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream,
                      const struct buf *payload)
{
    size_t n = buf_len(payload);
    const uint8_t head[] = {(uint8_t)(n >> 16),
                            (uint8_t)(n >> 8),
                            (uint8_t)n,
                            type,
                            flags,
                            (uint8_t)(stream >> 24),
                            (uint8_t)(stream >> 16),
                            (uint8_t)(stream >> 8),
                            (uint8_t)stream};
    put(b, head, sizeof(head));
    put(b, buf_head(payload), n);
}

/* Literal with an indexed name or a new one, RFC 7541 6.2.1 (enters the table) and 6.2.2. */
static void put_string(struct buf *b, const char *text)
{
    size_t n = strlen(text);
    uint8_t length[] = {127, (uint8_t)((n - 127) % 128 + 128), (uint8_t)((n - 127) / 128)};
    if (n < 127)
        length[0] = (uint8_t)n;
    put(b, length, n < 127 ? 1 : 3);
    put(b, text, n);
}

static void put_literal(struct buf *b, uint8_t kind, const char *name, const char *value)
{
    put(b, &kind, 1);
    put_string(b, name);
    put_string(b, value);
}

static void put_request_fields(struct buf *b)
{
    put_literal(b, 0, ":method", "POST");
    put_literal(b, 0, ":scheme", "http");
    put_literal(b, 0, ":path", "/s/M");
    put_literal(b, 0, ":authority", "x");
    put_literal(b, 0, "te", "trailers");
    put_literal(b, 0, "content-type", "application/grpc");
}

static void put_preface(struct buf *b)
{
    put(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(b, 4, 0, 0, &(struct buf){0});
}

static int feed(struct server *s, struct buf *b)
{
    int r = grpc_conn_recv(s->conn, buf_head(b), buf_len(b));
    struct iovec iov;
    while (grpc_conn_pull(s->conn, &iov, 1) > 0) {
        put(&s->out, iov.iov_base, iov.iov_len);
        grpc_conn_pulled(s->conn, iov.iov_len);
    }
    buf_clear(b);
    return r;
}

/* The error code of its GOAWAY, or 0. */
static unsigned goaway_code(const struct server *s)
{
    const uint8_t *p = buf_head(&s->out);
    size_t left = buf_len(&s->out);
    while (left >= 9) {
        size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];
        assert_true(left >= 9 + n);
        if (p[3] == GOAWAY)
            return p[16];
        p += 9 + n;
        left -= 9 + n;
    }
    return 0;
}

/* A call, with an entry of @value_len bytes in the table and then @n references to it. */
static void put_bomb(struct buf *b, uint32_t stream, size_t value_len, size_t n)
{
    char value[4000];
    memset(value, 'a', value_len);
    value[value_len] = '\0';
    CLEANUP_BUF struct buf block = {0};
    put_request_fields(&block);
    put_literal(&block, 0x40, "x", value);
    for (size_t i = 0; i < n; i++)
        put(&block, "\xbe", 1); /* index 62: the newest entry */
    put_frame(b, HEADERS, END_HEADERS | END_STREAM, stream, &block);
}

static void test_headers_that_multiply_end_the_connection_within_their_block(void **state)
{
    struct server s;
    CLEANUP_BUF struct buf b = {0};
    server_open(&s);
    put_preface(&b);
    put_bomb(&b, 1, 3900, 10000);
    assert_int_equal(feed(&s, &b), -EPROTO);
    assert_int_equal(s.n_calls, 0);
    assert_int_equal(goaway_code(&s), ENHANCE_YOUR_CALM);
    assert_true(grpc_conn_done(s.conn));
    server_close(&s);
}

/* A mistake costs its call, and only who repeats it the connection. */
static void test_one_block_too_large_costs_its_call_and_repeats_the_connection(void **state)
{
    struct server s;
    CLEANUP_BUF struct buf b = {0};
    server_open(&s);
    put_preface(&b);
    put_bomb(&b, 1, 3900, 30); /* 118 KiB */
    assert_int_equal(feed(&s, &b), 0);
    assert_int_equal(goaway_code(&s), 0);
    put_bomb(&b, 3, 3900, 10);
    assert_int_equal(feed(&s, &b), 0);
    assert_int_equal(s.n_calls, 1);
    int r = 0;
    uint32_t stream = 5;
    for (; r == 0 && stream < 99; stream += 2) {
        put_bomb(&b, stream, 3900, 30);
        r = feed(&s, &b);
    }
    assert_int_equal(r, -EPROTO);
    assert_in_range(stream, 9, 19);
    server_close(&s);
}

static void test_headers_at_the_cap_are_served_and_one_byte_more_is_not(void **state)
{
    for (size_t more = 0; more < 2; more++) {
        struct server s;
        CLEANUP_BUF struct buf b = {0}, block = {0};
        char value[4000] = {0};
        server_open(&s);
        put_preface(&b);
        put_request_fields(&block);
        /* 65536 = 272 of the request's fields and 17 others: name, value, 32 each */
        size_t left = 65536 - 272 + more;
        for (size_t i = 0; i < 17; i++) {
            size_t n = (left - 33 * (17 - i)) / (17 - i);
            memset(value, 'b', n);
            value[n] = '\0';
            put_literal(&block, 0, "y", value);
            left -= n + 33;
        }
        CLEANUP_BUF struct buf first = {0};
        put(&first, buf_head(&block), 16000);
        put_frame(&b, HEADERS, END_STREAM, 1, &first);
        buf_consume(&block, 16000);
        put_frame(&b, 9, END_HEADERS, 1, &block); /* our max_frame_bytes is 1 MiB */
        assert_int_equal(feed(&s, &b), 0);
        assert_int_equal(s.n_calls, more == 0 ? 1 : 0);
        assert_int_equal(goaway_code(&s), 0);
        server_close(&s);
    }
}

static void test_a_turn_takes_a_number_of_requests_and_goes_on_from_there(void **state)
{
    struct server s;
    CLEANUP_BUF struct buf b = {0}, block = {0};
    server_open(&s);
    put_preface(&b);
    put_request_fields(&block);
    for (uint32_t i = 0; i < 1000; i++)
        put_frame(&b, HEADERS, END_HEADERS | END_STREAM, 1 + 2 * i, &block);
    unsigned turns = 0;
    for (size_t before = 0; buf_len(&b) > 0; before = s.n_calls, turns++) {
        ssize_t n = grpc_conn_recv_some(s.conn, buf_head(&b), buf_len(&b));
        assert_true(n > 0);
        assert_in_range(s.n_calls - before, 1, 129);
        buf_consume(&b, (size_t)n);
    }
    assert_int_equal(s.n_calls, 1000);
    assert_in_range(turns, 7, 9);
    server_close(&s);
}

static int feed_data(struct server *s, size_t n_frames, const char *bytes)
{
    CLEANUP_BUF struct buf b = {0}, payload = {0};
    put(&payload, bytes, strlen(bytes));
    for (size_t i = 0; i < n_frames; i++)
        put_frame(&b, DATA, 0, 1, &payload);
    return feed(s, &b);
}

static void on_call_wait(void *user, struct grpc_call *call, const struct grpc_request *req)
{
    static const struct grpc_call_events events = {.on_close = on_close};
    grpc_call_bind(call, &events, user);
    grpc_call_pause(call);
}

static void test_empty_frames_between_full_ones_are_no_flood(void **state)
{
    static const struct grpc_conn_events events = {.on_call = on_call_wait};
    struct server s = {.conn = grpc_conn_new(GRPC_SERVER, NULL, &events, &s)};
    CLEANUP_BUF struct buf b = {0}, block = {0};
    put_preface(&b);
    put_request_fields(&block);
    put_frame(&b, HEADERS, END_HEADERS, 1, &block);
    assert_int_equal(feed(&s, &b), 0);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(feed_data(&s, 1, ""), 0);
        assert_int_equal(feed_data(&s, 1, "x"), 0);
    }
    assert_int_equal(feed_data(&s, 1000, ""), 0);
    assert_int_equal(feed_data(&s, 1, ""), -EPROTO);
    assert_int_equal(goaway_code(&s), ENHANCE_YOUR_CALM);
    server_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers_that_multiply_end_the_connection_within_their_block),
        cmocka_unit_test(test_one_block_too_large_costs_its_call_and_repeats_the_connection),
        cmocka_unit_test(test_headers_at_the_cap_are_served_and_one_byte_more_is_not),
        cmocka_unit_test(test_a_turn_takes_a_number_of_requests_and_goes_on_from_there),
        cmocka_unit_test(test_empty_frames_between_full_ones_are_no_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
