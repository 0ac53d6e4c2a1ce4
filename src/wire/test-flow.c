/* Flow control, back-pressure, cancelling, connection ends, limits: over a joined pair of
 * connections. */
#include "base/util.h"
#include "wire/test-pair.h"

static void send_zeros(struct grpc_call *call, size_t n)
{
    struct buf body = {0};
    assert_int_equal(buf_reserve(&body, n), 0);
    memset(buf_tail(&body), 0, n);
    buf_commit(&body, n);
    assert_int_equal(grpc_call_send(call, NULL, 0, &body), 0);
}

static struct grpc_limits limits_with_window(uint32_t window)
{
    struct grpc_limits l;
    grpc_limits_init(&l);
    l.stream_window_bytes = window;
    return l;
}

static void test_a_paused_call_stops_the_peer_after_the_window_and_others_go_on(void **state)
{
    struct grpc_limits l = limits_with_window(131072);
    struct pair p;
    struct record slow, quick;
    pair_open(&p, 16384, &l, NULL);
    pair_start(&p, &slow, "/s/Slow");
    pair_start(&p, &quick, "/s/Quick");
    pair_pump(&p);
    grpc_call_pause(slow.call);
    for (int i = 0; i < 64; i++)
        send_zeros(p.served[0].call, 32768);
    size_t before = p.bytes_to_client;
    pair_pump(&p);
    assert_true(p.bytes_to_client - before <= 131072 + 4096);
    assert_true(p.bytes_to_client - before >= 131072);
    assert_int_equal(slow.n_messages, 0);
    assert_true(grpc_call_queued(p.served[0].call) > 1900000);
    assert_int_equal(p.served[0].n_drain, 0);
    send_text(p.served[1].call, "not starved");
    pair_pump(&p);
    assert_last(&quick, "not starved");

    unsigned want = p.n_client_want;
    grpc_call_resume(slow.call);
    assert_int_equal(slow.n_messages,
                     0); /* delivered by the next pull, not from inside resume */
    assert_int_equal(p.n_client_want, want + 1);
    pair_pump(&p);
    assert_int_equal(slow.n_messages, 64);
    assert_int_equal(p.served[0].n_drain, 1);
    pair_close(&p);
    record_done(&slow);
    record_done(&quick);
}

static void test_pausing_in_on_message_hands_out_one_message_per_resume(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &r, "/s/Step");
    r.pause_on_message = true;
    pair_pump(&p);
    for (int i = 0; i < 5; i++)
        send_text(p.served[0].call, "abc");
    assert_int_equal(grpc_call_finish(p.served[0].call, NULL), 0);
    for (size_t i = 1; i <= 5; i++) {
        pair_pump(&p);
        assert_int_equal(r.n_messages, i);
        assert_int_equal(r.n_close,
                         i == 5 ? 1 : 0); /* the status waits for the messages before it */
        if (r.call)
            grpc_call_resume(r.call);
    }
    assert_int_equal(r.status.code, ERR_OK);
    pair_close(&p);
    record_done(&r);
}

static void test_a_paused_server_call_sees_half_close_after_its_messages(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 7, NULL, NULL);
    pair_start(&p, &r, "/s/Up");
    pair_pump(&p);
    grpc_call_pause(p.served[0].call);
    send_text(r.call, "one");
    send_text(r.call, "two");
    assert_int_equal(grpc_call_half_close(r.call), 0);
    pair_pump(&p);
    assert_int_equal(p.served[0].n_messages, 0);
    assert_int_equal(p.served[0].n_half_close, 0);
    grpc_call_resume(p.served[0].call);
    pair_pump(&p);
    assert_int_equal(p.served[0].n_messages, 2);
    assert_int_equal(p.served[0].n_half_close, 1);
    pair_close(&p);
    record_done(&r);
}

static void test_a_message_larger_than_the_stream_window_arrives(void **state)
{
    struct grpc_limits l = limits_with_window(65535);
    struct pair p;
    struct record r;
    pair_open(&p, 16384, &l, &l);
    pair_start(&p, &r, "/s/Wide");
    send_zeros(r.call, 1000000);
    pair_pump(&p);
    assert_int_equal(p.served[0].n_bytes, 1000000);
    pair_close(&p);
    record_done(&r);
}

static void test_two_calls_with_much_to_send_share_the_connection(void **state)
{
    struct pair p;
    struct record a, b;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &a, "/s/A");
    pair_start(&p, &b, "/s/B");
    pair_pump(&p);
    for (int i = 0; i < 40; i++) {
        send_zeros(p.served[0].call, 16384);
        send_zeros(p.served[1].call, 16384);
    }
    pair_pump_to_client(&p, 700000);
    assert_true(a.n_messages > 8);
    assert_true(b.n_messages > 8);
    pair_close(&p);
    record_done(&a);
    record_done(&b);
}

static void test_cancel_by_the_client_reaches_the_server(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &r, "/s/Cancel");
    pair_pump(&p);
    grpc_call_cancel(r.call, ERR_DEADLINE_EXCEEDED, "too slow");
    assert_int_equal(r.n_close, 0); /* never from inside cancel */
    pair_pump(&p);
    assert_int_equal(r.n_close, 1);
    assert_int_equal(r.status.code, ERR_DEADLINE_EXCEEDED);
    assert_string_equal(r.status.message, "too slow");
    assert_false(r.refused);
    assert_int_equal(p.served[0].n_close, 1);
    assert_true(p.served[0].by_peer);
    assert_int_equal(p.served[0].status.code, ERR_CANCELLED);
    pair_close(&p);
    record_done(&r);
}

static void test_cancel_with_much_queued_frees_it_and_keeps_the_connection(void **state)
{
    struct pair p;
    struct record r, next;
    pair_open(&p, 16384, NULL, NULL);
    p.script = script_echo;
    pair_start(&p, &r, "/s/Cancel");
    pair_pump(&p);
    send_zeros(r.call, 5000000);
    pair_pump_to_server(&p, 300000);
    grpc_call_cancel(r.call, ERR_CANCELLED, NULL);
    pair_pump(&p);
    assert_int_equal(p.served[0].n_close, 1);
    pair_start(&p, &next, "/s/Next");
    send_text(next.call, "x");
    assert_int_equal(grpc_call_half_close(next.call), 0);
    pair_pump(&p);
    assert_int_equal(next.status.code, ERR_OK);
    assert_int_equal(next.n_messages, 1);
    pair_close(&p);
    record_done(&r);
    record_done(&next);
}

static void test_cancel_before_anything_left_is_refused_and_unseen_by_the_server(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &r, "/s/Cancel");
    send_text(r.call, "x");
    grpc_call_cancel(r.call, ERR_CANCELLED, NULL);
    assert_int_equal(grpc_call_send(r.call, "y", 1, NULL), -EPIPE);
    assert_int_equal(grpc_call_half_close(r.call), -EPIPE);
    pair_pump(&p);
    assert_int_equal(r.n_close, 1);
    assert_true(r.refused);
    assert_int_equal(p.n_served, 0);
    pair_close(&p);
    record_done(&r);
}

static void test_cancel_by_the_server_ends_the_call_as_cancelled(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 7, NULL, NULL);
    pair_start(&p, &r, "/s/Cancel");
    pair_pump(&p);
    send_text(p.served[0].call, "some");
    grpc_call_cancel(p.served[0].call, ERR_INTERNAL, "gave up");
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_CANCELLED);
    assert_int_equal(p.served[0].status.code, ERR_INTERNAL);
    assert_false(p.served[0].by_peer);
    pair_close(&p);
    record_done(&r);
}

static void cancel_self(struct record *r, const uint8_t *data, size_t n)
{
    grpc_call_cancel(r->call, ERR_CANCELLED, "in on_message");
}

/* Followers of silent logs, say: none of them was answered, and another call lives on the same connection. */
static void test_many_cancelled_calls_do_not_end_the_connection(void **state)
{
    struct pair p;
    struct record witness, r[100];
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &witness, "/s/Witness");
    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(r); i++)
            pair_start(&p, &r[i], "/s/Follow");
        pair_pump(&p);
        for (size_t i = 0; i < ARRAY_SIZE(r); i++)
            grpc_call_cancel(r[i].call, ERR_CANCELLED, "enough");
        pair_pump(&p);
        for (; p.n_served > 1; p.n_served--)
            record_done(&p.served[p.n_served - 1]);
        for (size_t i = 0; i < ARRAY_SIZE(r); i++)
            record_done(&r[i]);
    }
    assert_int_equal(witness.n_close, 0);
    send_text(p.served[0].call, "still here");
    pair_pump(&p);
    assert_last(&witness, "still here");
    pair_close(&p);
    record_done(&witness);
}

static void test_cancel_inside_on_message_stops_delivery(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &r, "/s/Cancel");
    r.on_message = cancel_self;
    pair_pump(&p);
    send_text(p.served[0].call, "one");
    send_text(p.served[0].call, "two");
    pair_pump(&p);
    assert_int_equal(r.n_messages, 1);
    assert_int_equal(r.n_close, 1);
    assert_true(p.served[0].by_peer);
    pair_close(&p);
    record_done(&r);
}

static void test_calls_over_the_stream_limit_wait_their_turn(void **state)
{
    struct grpc_limits l;
    grpc_limits_init(&l);
    l.max_streams = 2;
    struct pair p;
    struct record r[5];
    pair_open(&p, 16384, NULL, &l);
    pair_pump(&p); /* the client knows the limit */
    for (size_t i = 0; i < 5; i++)
        pair_start(&p, &r[i], "/s/Queue");
    send_text(r[4].call, "sent while waiting");
    pair_pump(&p);
    assert_int_equal(p.n_served, 2);
    assert_int_equal(grpc_conn_n_calls(p.client), 5);
    grpc_call_cancel(r[2].call, ERR_CANCELLED, NULL);
    pair_pump(&p);
    assert_true(r[2].refused);
    assert_int_equal(p.n_served, 2);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(p.n_served, MIN(i + 2, 4));
        assert_int_equal(grpc_call_finish(p.served[i].call, NULL), 0);
        pair_pump(&p);
    }
    assert_last(&p.served[3], "sent while waiting");
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(r[i].n_close, 1);
        record_done(&r[i]);
    }
    pair_close(&p);
}

static void test_cancelling_an_active_call_lets_a_waiting_one_start(void **state)
{
    struct grpc_limits l;
    grpc_limits_init(&l);
    l.max_streams = 1;
    struct pair p;
    struct record a, b;
    pair_open(&p, 16384, NULL, &l);
    pair_pump(&p);
    pair_start(&p, &a, "/s/A");
    pair_start(&p, &b, "/s/B");
    pair_pump(&p);
    assert_int_equal(p.n_served, 1);
    grpc_call_cancel(a.call, ERR_CANCELLED, NULL);
    assert_true(pair_pump_to_server(&p, SIZE_MAX) >
                0); /* one pull: nobody would ask for another */
    assert_int_equal(p.n_served, 2);
    pair_close(&p);
    record_done(&a);
    record_done(&b);
}

static void test_graceful_shutdown_lets_calls_finish_and_then_both_ends_are_done(void **state)
{
    struct pair p;
    struct record r, waiting;
    struct grpc_limits l;
    grpc_limits_init(&l);
    l.max_streams = 1;
    pair_open(&p, 16384, NULL, &l);
    pair_pump(&p);
    pair_start(&p, &r, "/s/Last");
    pair_start(&p, &waiting, "/s/Waiting");
    pair_pump(&p);
    grpc_conn_shutdown(p.server);
    pair_pump(&p);
    assert_int_equal(p.n_goaway, 1);
    assert_false(grpc_conn_can_call(p.client));
    assert_int_equal(waiting.n_close, 1);
    assert_true(waiting.refused);
    assert_int_equal(waiting.status.code, ERR_UNAVAILABLE);
    assert_int_equal(r.n_close, 0);
    assert_false(grpc_conn_done(p.server));
    send_text(p.served[0].call, "bye");
    assert_int_equal(grpc_call_finish(p.served[0].call, NULL), 0);
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_OK);
    assert_last(&r, "bye");
    pair_pump(&p);
    assert_true(grpc_conn_done(p.server));
    assert_true(grpc_conn_done(p.client));
    assert_int_equal(p.client_error, 0);
    assert_int_equal(p.server_error, 0);
    pair_close(&p);
    record_done(&r);
    record_done(&waiting);
}

static void test_a_request_racing_with_the_shutdown_notice_is_still_served(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    pair_pump(&p);
    p.script = script_echo;
    grpc_conn_shutdown(p.server);
    pair_start(&p, &r, "/s/Race");
    assert_int_equal(grpc_call_half_close(r.call), 0);
    pair_pump_to_server(&p,
                        SIZE_MAX); /* the request is on its way before the client saw GOAWAY */
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_OK);
    assert_int_equal(r.n_close, 1);
    pair_close(&p);
    record_done(&r);
}

static void test_client_shutdown_finishes_its_calls(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &r, "/s/C");
    pair_pump(&p);
    grpc_conn_shutdown(p.client);
    assert_false(grpc_conn_can_call(p.client));
    pair_pump(&p);
    assert_int_equal(grpc_call_finish(p.served[0].call, NULL), 0);
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_OK);
    assert_true(grpc_conn_done(p.client));
    pair_close(&p);
    record_done(&r);
}

static void test_request_headers_over_the_cap_are_answered_with_a_status(void **state)
{
    struct grpc_limits wide, narrow;
    grpc_limits_init(&wide);
    grpc_limits_init(&narrow);
    wide.max_header_bytes = 200000;
    narrow.max_header_bytes = 8192;
    CLEANUP_FREE char *value = malloc(9001);
    memset(value, 'v', 9000);
    value[9000] = '\0';
    const struct grpc_header h = {"x-test", value};
    const struct grpc_start start = {.path = "/s/H", .headers = &h, .n_headers = 1};
    struct pair p;
    struct record r = {0};
    pair_open(&p, 16384, &wide, &narrow);
    assert_int_equal(grpc_call_start(p.client, &start, &record_events, &r, &r.call), 0);
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_RESOURCE_EXHAUSTED);
    assert_int_equal(p.n_served, 0);
    pair_close(&p);
    record_done(&r);

    r = (struct record){0};
    pair_open(&p, 16384, &narrow, &wide);
    assert_int_equal(grpc_call_start(p.client, &start, &record_events, &r, &r.call), -EMSGSIZE);
    assert_int_equal(grpc_conn_n_calls(p.client), 0);
    /* The answer's headers are capped too. */
    const struct grpc_start small = {.path = "/s/H"};
    assert_int_equal(grpc_call_start(p.client, &small, &record_events, &r, &r.call), 0);
    pair_pump(&p);
    assert_int_equal(grpc_call_send_headers(p.served[0].call, &h, 1), 0);
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_RESOURCE_EXHAUSTED);
    pair_close(&p);
    record_done(&r);
}

static void test_a_status_text_longer_than_the_peer_accepts_is_cut(void **state)
{
    struct grpc_limits narrow;
    grpc_limits_init(&narrow);
    narrow.max_header_bytes = 4096;
    struct pair p;
    struct record r;
    pair_open(&p, 16384, &narrow, NULL);
    pair_start(&p, &r, "/s/Long");
    pair_pump(&p);
    CLEANUP_FREE char *text = malloc(100001);
    memset(text, 'e', 100000);
    text[100000] = '\0';
    CLEANUP_ERR struct err e = {0};
    (void)err_set_reason(&e, ERR_ABORTED, "CWSANDBOX_X", "%s", text);
    assert_int_equal(grpc_call_finish(p.served[0].call, &e), 0);
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_ABORTED);
    assert_true(strlen(r.status.message) > 500);
    pair_close(&p);
    record_done(&r);
}

static void test_headers_that_http_forbids_are_refused(void **state)
{
    const struct grpc_header bad[] = {{"X-Upper", "v"}, {"x", "a\nb"},  {"x", " v"},
                                      {"", "v"},        {":path", "v"}, {"grpc-status", "0"},
                                      {"x", "\xc3\xa9"}};
    struct pair p;
    struct record r = {0};
    pair_open(&p, 16384, NULL, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct grpc_start start = {.path = "/s/H", .headers = &bad[i], .n_headers = 1};
        assert_int_equal(grpc_call_start(p.client, &start, &record_events, &r, &r.call),
                         -EINVAL);
    }
    pair_close(&p);
}

static void test_freeing_a_connection_closes_every_call_once(void **state)
{
    struct pair p;
    struct record sent, unsent;
    pair_open(&p, 16384, NULL, NULL);
    pair_start(&p, &sent, "/s/A");
    pair_pump(&p);
    pair_start(&p, &unsent, "/s/B");
    grpc_conn_free(p.client, "socket closed");
    p.client = NULL;
    assert_int_equal(sent.n_close, 1);
    assert_string_equal(sent.status.message, "socket closed");
    assert_int_equal(sent.status.code, ERR_UNAVAILABLE);
    assert_false(sent.refused);
    assert_true(unsent.refused);
    pair_close(&p);
    record_done(&sent);
    record_done(&unsent);
}

static void finish_twice(struct record *r, const struct grpc_request *req)
{
    assert_int_equal(grpc_call_finish(r->call, NULL), 0);
    assert_int_equal(grpc_call_finish(r->call, NULL), -EPIPE);
    assert_int_equal(grpc_call_send(r->call, "x", 1, NULL), -EPIPE);
}

static void test_nothing_can_be_sent_after_finish(void **state)
{
    struct pair p;
    struct record r;
    pair_open(&p, 16384, NULL, NULL);
    p.script = finish_twice;
    pair_start(&p, &r, "/s/F");
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_OK);
    assert_int_equal(r.n_messages, 0);
    pair_close(&p);
    record_done(&r);
}

static void test_ping_is_answered(void **state)
{
    struct pair p;
    pair_open(&p, 16384, NULL, NULL);
    pair_pump(&p);
    size_t before = p.bytes_to_client;
    assert_int_equal(grpc_conn_ping(p.client), 0);
    pair_pump(&p);
    assert_int_equal(p.bytes_to_client - before, 17); /* one PING frame */
    pair_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_paused_call_stops_the_peer_after_the_window_and_others_go_on),
        cmocka_unit_test(test_pausing_in_on_message_hands_out_one_message_per_resume),
        cmocka_unit_test(test_a_paused_server_call_sees_half_close_after_its_messages),
        cmocka_unit_test(test_a_message_larger_than_the_stream_window_arrives),
        cmocka_unit_test(test_two_calls_with_much_to_send_share_the_connection),
        cmocka_unit_test(test_cancel_by_the_client_reaches_the_server),
        cmocka_unit_test(test_cancel_with_much_queued_frees_it_and_keeps_the_connection),
        cmocka_unit_test(test_cancel_before_anything_left_is_refused_and_unseen_by_the_server),
        cmocka_unit_test(test_cancel_by_the_server_ends_the_call_as_cancelled),
        cmocka_unit_test(test_many_cancelled_calls_do_not_end_the_connection),
        cmocka_unit_test(test_cancel_inside_on_message_stops_delivery),
        cmocka_unit_test(test_calls_over_the_stream_limit_wait_their_turn),
        cmocka_unit_test(test_cancelling_an_active_call_lets_a_waiting_one_start),
        cmocka_unit_test(test_graceful_shutdown_lets_calls_finish_and_then_both_ends_are_done),
        cmocka_unit_test(test_a_request_racing_with_the_shutdown_notice_is_still_served),
        cmocka_unit_test(test_client_shutdown_finishes_its_calls),
        cmocka_unit_test(test_request_headers_over_the_cap_are_answered_with_a_status),
        cmocka_unit_test(test_a_status_text_longer_than_the_peer_accepts_is_cut),
        cmocka_unit_test(test_headers_that_http_forbids_are_refused),
        cmocka_unit_test(test_freeing_a_connection_closes_every_call_once),
        cmocka_unit_test(test_nothing_can_be_sent_after_finish),
        cmocka_unit_test(test_ping_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
