/* Calls over a joined pair of connections: every kind of call, statuses, flow control, ends. */
#include "wire/test-pair.h"

#include "base/util.h"

static const size_t chunks[] = {1, 7, 16384};

static void test_unary_call_arrives_and_is_answered(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
        struct pair p;
        struct record r;
        pair_open(&p, chunks[i], NULL, NULL);
        p.script = script_echo;
        pair_start(&p, &r, "/a.B/C");
        send_text(r.call, "ping");
        assert_int_equal(grpc_call_half_close(r.call), 0);
        pair_pump(&p);
        assert_string_equal(p.path, "/a.B/C");
        assert_string_equal(p.x_test, "hello");
        assert_string_equal(p.authorization, "Bearer secret");
        assert_int_equal(r.n_messages, 1);
        assert_last(&r, "ping");
        assert_int_equal(r.n_close, 1);
        assert_int_equal(r.status.code, ERR_OK);
        assert_int_equal(p.served[0].n_close, 1);
        assert_int_equal(p.served[0].n_half_close, 1);
        assert_false(p.served[0].by_peer);
        assert_int_equal(p.n_ready, 1);
        assert_int_equal(grpc_conn_n_calls(p.client) + grpc_conn_n_calls(p.server), 0);
        pair_close(&p);
        record_done(&r);
    }
}

static void test_server_streams_messages_in_order(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
        struct pair p;
        struct record r;
        pair_open(&p, chunks[i], NULL, NULL);
        pair_start(&p, &r, "/s/Stream");
        send_text(r.call, "go");
        assert_int_equal(grpc_call_half_close(r.call), 0);
        pair_pump(&p);
        for (int k = 0; k < 10; k++) {
            char text[8];
            (void)snprintf(text, sizeof(text), "m%d;", k);
            send_text(p.served[0].call, text);
            if (k % 3 == 0)
                pair_pump(&p);
        }
        send_text(p.served[0].call, ""); /* an empty message is a message */
        assert_int_equal(grpc_call_finish(p.served[0].call, NULL), 0);
        pair_pump(&p);
        assert_int_equal(r.n_messages, 11);
        assert_int_equal(r.n_headers, 1);
        assert_int_equal(buf_len(&r.all), 30);
        assert_memory_equal(buf_head(&r.all), "m0;m1;m2;m3;m4;m5;m6;m7;m8;m9;", 30);
        assert_int_equal(r.status.code, ERR_OK);
        pair_close(&p);
        record_done(&r);
    }
}

static void test_client_streams_messages_and_both_directions_interleave(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
        struct pair p;
        struct record r;
        pair_open(&p, chunks[i], NULL, NULL);
        p.script = script_echo;
        pair_start(&p, &r, "/s/Bidi");
        for (int k = 0; k < 5; k++) {
            send_text(r.call, "abc");
            pair_pump(&p);
            assert_int_equal(r.n_messages, k + 1);
        }
        assert_int_equal(r.n_close, 0);
        assert_int_equal(grpc_call_half_close(r.call), 0);
        pair_pump(&p);
        assert_int_equal(p.served[0].n_messages, 5);
        assert_int_equal(r.n_close, 1);
        pair_close(&p);
        record_done(&r);
    }
}

static void script_fail(struct record *r, const struct grpc_request *req)
{
    CLEANUP_ERR struct err e = {0};
    (void)err_set_reason(&e, ERR_NOT_FOUND, "CWSANDBOX_SANDBOX_NOT_FOUND",
                         "sandbox \"é 100%%\"\nis gone ");
    err_add_metadata(&e, "sandbox_id", "x");
    err_add_violation(&e, "spec.name", "is too long");
    e.retry_delay_ns = 1500000000;
    assert_int_equal(grpc_call_finish(r->call, &e), 0);
}

static void assert_failed_status(const struct record *r)
{
    assert_int_equal(r->n_close, 1);
    assert_int_equal(r->status.code, ERR_NOT_FOUND);
    assert_string_equal(r->status.message, "sandbox \"é 100%\"\nis gone ");
    assert_string_equal(r->status.reason, "CWSANDBOX_SANDBOX_NOT_FOUND");
    assert_string_equal(r->status.domain, "cwsandbox.com");
    assert_string_equal(err_metadata(&r->status, "sandbox_id"), "x");
    assert_int_equal(r->status.n_violations, 1);
    assert_string_equal(r->status.violations[0].key, "spec.name");
    assert_int_equal(r->status.retry_delay_ns, 1500000000);
}

static void test_status_and_details_survive_a_trailers_only_answer(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 7, NULL, NULL);
    p.script = script_fail;
    pair_start(&p, &r, "/s/Fail");
    send_text(r.call, "x");
    assert_int_equal(grpc_call_half_close(r.call), 0);
    pair_pump(&p);
    assert_failed_status(&r);
    assert_int_equal(r.n_headers, 0);
    pair_close(&p);
    record_done(&r);
}

static void test_status_and_details_survive_after_messages(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 7, NULL, NULL);
    pair_start(&p, &r, "/s/Fail");
    pair_pump(&p);
    const struct grpc_header h = {"x-test", "from server"};
    assert_int_equal(grpc_call_send_headers(p.served[0].call, &h, 1), 0);
    assert_int_equal(grpc_call_send_headers(p.served[0].call, &h, 1), -EPIPE);
    send_text(p.served[0].call, "partial");
    script_fail(&p.served[0], NULL);
    pair_pump(&p);
    assert_string_equal(r.header, "from server");
    assert_last(&r, "partial");
    assert_failed_status(&r);
    pair_close(&p);
    record_done(&r);
}

static void test_finish_before_the_client_half_closed_ends_the_stream(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &r, "/s/Early");
    send_text(r.call, "one");
    pair_pump(&p);
    send_text(p.served[0].call, "bye");
    assert_int_equal(grpc_call_finish(p.served[0].call, NULL), 0);
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_OK);
    assert_last(&r, "bye");
    assert_int_equal(p.served[0].n_close, 1);
    assert_false(p.served[0].by_peer);
    /* The connection goes on. */
    p.script = script_echo;
    struct record r2;
    pair_start(&p, &r2, "/s/Next");
    assert_int_equal(grpc_call_half_close(r2.call), 0);
    pair_pump(&p);
    assert_int_equal(r2.status.code, ERR_OK);
    assert_int_equal(r2.n_close, 1);
    pair_close(&p);
    record_done(&r);
    record_done(&r2);
}

static void test_a_unary_request_leaves_in_one_pull_and_so_does_its_answer(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    p.script = script_echo;
    pair_pump(&p);
    unsigned want = p.n_client_want;
    pair_start(&p, &r, "/s/One");
    send_text(r.call, "x");
    assert_int_equal(grpc_call_half_close(r.call), 0);
    assert_int_equal(p.n_client_want, want + 1); /* edge triggered */
    struct iovec iov[8];
    int n = grpc_conn_pull(p.client, iov, 8);
    assert_int_equal(n, 1); /* coalesced */
    assert_int_equal(grpc_conn_recv(p.server, iov[0].iov_base, iov[0].iov_len), 0);
    grpc_conn_pulled(p.client, iov[0].iov_len);
    assert_int_equal(p.served[0].n_half_close, 1);
    n = grpc_conn_pull(p.server, iov, 8);
    assert_int_equal(n, 1);
    assert_int_equal(grpc_conn_recv(p.client, iov[0].iov_base, iov[0].iov_len), 0);
    grpc_conn_pulled(p.server, iov[0].iov_len);
    assert_int_equal(r.n_close, 1);
    pair_close(&p);
    record_done(&r);
}

static void test_timeout_travels(void **state)
{
    struct pair p;
    struct record r = {0};
    pair_open(&p, 16384, NULL, NULL);
    p.script = script_echo;
    const struct grpc_start start = {.path = "/s/T", .timeout_ns = 2500 * NS_PER_MS};
    assert_int_equal(grpc_call_start(p.client, &start, &record_events, &r, &r.call), 0);
    pair_pump(&p);
    assert_int_equal(p.timeout_ns, 2500 * NS_PER_MS);
    pair_close(&p);
    assert_int_equal(r.status.code, ERR_UNAVAILABLE);
    assert_string_equal(r.status.message, "connection lost");
    record_done(&r);
}

static void test_large_bodies_are_not_copied_into_the_out_queue(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &r, "/s/Big");
    pair_pump(&p);
    struct buf body = {0};
    assert_int_equal(buf_reserve(&body, 60000), 0);
    memset(buf_tail(&body), 'x', 60000);
    buf_commit(&body, 60000);
    const uint8_t *at = buf_head(&body);
    assert_int_equal(grpc_call_send(r.call, "h", 1, &body), 0);
    assert_null(body.data);
    struct iovec iov[8];
    int n = grpc_conn_pull(p.client, iov, 8);
    bool referenced = false;
    for (int i = 0; i < n; i++)
        referenced = referenced || iov[i].iov_base == (void *)at;
    assert_true(referenced);
    pair_pump(&p);
    assert_int_equal(p.served[0].n_bytes, 60001);
    pair_close(&p);
    record_done(&r);
}

static void send_large(struct grpc_call *call, size_t n)
{
    struct buf body = {0};
    assert_int_equal(buf_reserve(&body, n), 0);
    memset(buf_tail(&body), 0x5a, n);
    buf_commit(&body, n);
    assert_int_equal(grpc_call_send(call, NULL, 0, &body), 0);
}

static void test_a_100_mib_message_arrives_both_ways(void **state)
{
    const size_t n = 100u << 20;
    struct pair p;
    struct record r;
    pair_open(&p, 262144, NULL, NULL);
    pair_start(&p, &r, "/s/Huge");
    send_large(r.call, n);
    assert_int_equal(grpc_call_half_close(r.call), 0);
    pair_pump(&p);
    assert_int_equal(p.served[0].n_bytes, n);
    assert_int_equal(r.n_drain, 1);
    send_large(p.served[0].call, n);
    assert_int_equal(grpc_call_finish(p.served[0].call, NULL), 0);
    pair_pump(&p);
    assert_int_equal(r.n_bytes, n);
    assert_int_equal(r.status.code, ERR_OK);
    pair_close(&p);
    record_done(&r);
}

static void test_a_message_over_max_is_refused_by_the_server(void **state)
{
    for (size_t extra = 0; extra <= 1; extra++) {
        struct grpc_limits small;
        grpc_limits_init(&small);
        small.max_message_bytes = 1000;
        struct pair p;
        struct record r;
        pair_open(&p, 7, NULL, &small);
        p.script = script_echo;
        pair_start(&p, &r, "/s/Max");
        send_large(r.call, 1000 + extra);
        assert_int_equal(grpc_call_half_close(r.call), 0);
        pair_pump(&p);
        assert_int_equal(r.status.code, extra ? ERR_RESOURCE_EXHAUSTED : ERR_OK);
        if (extra) {
            assert_string_equal(r.status.message,
                                "received message larger than max (1001 vs. 1000)");
            assert_int_equal(p.served[0].status.code, ERR_RESOURCE_EXHAUSTED);
            assert_false(p.served[0].by_peer);
        }
        assert_int_equal(p.served[0].n_close, 1);
        assert_int_equal(p.served[0].n_messages, extra ? 0 : 1);
        pair_close(&p);
        record_done(&r);
    }
}

static void script_echo_little(struct record *r, const struct grpc_request *req)
{
    grpc_call_limit(r->call, 100);
    script_echo(r, req);
}

/* Refused by its prefix: nothing that follows is held, however much of it comes. */
static void test_a_call_may_have_a_lower_limit_than_its_connection(void **state)
{
    for (size_t extra = 0; extra <= 1; extra++) {
        struct pair p;
        struct record r;
        pair_open(&p, 7, NULL, NULL);
        p.script = script_echo_little;
        pair_start(&p, &r, "/s/Little");
        send_large(r.call, 100 + extra);
        pair_pump(&p);
        assert_int_equal(p.served[0].n_messages, extra ? 0 : 1);
        assert_int_equal(r.n_close, extra ? 1 : 0); /* answered before the half-close */
        if (extra)
            assert_string_equal(r.status.message,
                                "received message larger than max (101 vs. 100)");
        pair_close(&p);
        record_done(&r);
    }
}

static void test_a_message_over_max_is_refused_by_the_client(void **state)
{
    struct grpc_limits small;
    grpc_limits_init(&small);
    small.max_message_bytes = 1000;
    struct pair p;
    struct record r;
    pair_open(&p, 16384, &small, NULL);
    pair_start(&p, &r, "/s/Max");
    CLEANUP_BUF struct buf big = {0};
    assert_int_equal(buf_reserve(&big, 1001), 0);
    memset(buf_tail(&big), 0, 1001);
    buf_commit(&big, 1001);
    assert_int_equal(grpc_call_send(r.call, NULL, 0, &big), -EMSGSIZE);
    pair_pump(&p);
    send_large(p.served[0].call, 5000);
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(r.status.message, "message larger than max (5000 vs. 1000)"));
    assert_true(p.served[0].by_peer);
    assert_int_equal(p.served[0].status.code, ERR_CANCELLED);
    pair_close(&p);
    record_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unary_call_arrives_and_is_answered),
        cmocka_unit_test(test_server_streams_messages_in_order),
        cmocka_unit_test(test_client_streams_messages_and_both_directions_interleave),
        cmocka_unit_test(test_status_and_details_survive_a_trailers_only_answer),
        cmocka_unit_test(test_status_and_details_survive_after_messages),
        cmocka_unit_test(test_finish_before_the_client_half_closed_ends_the_stream),
        cmocka_unit_test(test_a_unary_request_leaves_in_one_pull_and_so_does_its_answer),
        cmocka_unit_test(test_timeout_travels),
        cmocka_unit_test(test_large_bodies_are_not_copied_into_the_out_queue),
        cmocka_unit_test(test_a_100_mib_message_arrives_both_ways),
        cmocka_unit_test(test_a_message_over_max_is_refused_by_the_server),
        cmocka_unit_test(test_a_call_may_have_a_lower_limit_than_its_connection),
        cmocka_unit_test(test_a_message_over_max_is_refused_by_the_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
