/* Who pays for what a peer makes us hold: over a joined pair of connections. */
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

static struct budget_pool no_pool;
static struct budget received, queued;

static void script_charge(struct record *r, const struct grpc_request *req)
{
    grpc_call_charge(r->call, &received, &queued);
    r->on_message = NULL;
}

static void script_charge_echo(struct record *r, const struct grpc_request *req)
{
    grpc_call_charge(r->call, &received, &queued);
    script_echo(r, req);
}

static void budgets_init(size_t received_bytes, size_t queued_bytes)
{
    budget_init(&received, received_bytes, received_bytes, &no_pool);
    budget_init(&queued, queued_bytes, queued_bytes, &no_pool);
}

static void assert_nothing_is_charged(void)
{
    assert_int_equal(received.used, 0);
    assert_int_equal(queued.used, 0);
    assert_int_equal(no_pool.used, 0);
}

/* What was announced costs nothing; what arrived does, whole or not. */
static void test_a_call_pays_for_what_arrived(void **state)
{
    struct pair p;
    struct record r[2];
    budgets_init(1 << 20, 0);
    pair_open(&p, 65536, NULL, NULL);
    p.script = script_charge;
    pair_start(&p, &r[0], "/s/Says");
    send_zeros(r[0].call, 100 << 20);
    pair_pump_to_server(&p, 100000);
    assert_in_range(received.used, 60000, 65535); /* its first window */
    grpc_call_cancel(r[0].call, ERR_CANCELLED, NULL);
    pair_pump(&p);
    assert_nothing_is_charged();
    pair_start(&p, &r[1], "/s/Sends");
    send_zeros(r[1].call, 2 << 20);
    pair_pump(&p);
    assert_int_equal(r[1].status.code, ERR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(r[1].status.message, "message larger than max"));
    assert_string_equal(r[1].status.reason, "CWSANDBOX_RUNNER_OVERLOADED");
    assert_true(r[1].status.retry_delay_ns > 0);
    assert_nothing_is_charged();
    pair_close(&p);
    for (size_t i = 0; i < 2; i++)
        record_done(&r[i]);
}

static void assert_message_fits(size_t n, size_t cap, enum err_code code)
{
    struct pair p;
    struct record r;
    budgets_init(cap, 0);
    pair_open(&p, 1000, NULL, NULL);
    p.script = script_charge_echo;
    pair_start(&p, &r, "/s/Cap");
    send_zeros(r.call, n);
    assert_int_equal(grpc_call_half_close(r.call), 0);
    pair_pump(&p);
    assert_int_equal(r.status.code, code);
    pair_close(&p);
    assert_nothing_is_charged();
    record_done(&r);
}

static void test_a_message_of_the_budget_arrives_and_one_byte_more_does_not(void **state)
{
    assert_message_fits(5000, 5000, ERR_OK);
    assert_message_fits(5001, 5000, ERR_RESOURCE_EXHAUSTED);
    assert_message_fits(5000, 0, ERR_RESOURCE_EXHAUSTED);
}

static void test_a_paused_call_pays_for_what_waits(void **state)
{
    struct pair p;
    struct record r;
    budgets_init(100000, 0);
    pair_open(&p, 16384, NULL, NULL);
    p.script = script_charge;
    pair_start(&p, &r, "/s/Pause");
    pair_pump(&p);
    grpc_call_pause(p.served[0].call);
    send_zeros(r.call, 90000);
    pair_pump(&p);
    assert_int_equal(received.used, 90005);
    send_zeros(r.call, 20000);
    pair_pump(&p);
    assert_int_equal(r.status.code, ERR_RESOURCE_EXHAUSTED);
    pair_close(&p);
    assert_nothing_is_charged();
    record_done(&r);
}

/* From the call to the connection, and gone once pulled. */
static void test_a_call_pays_for_answers_that_are_not_taken(void **state)
{
    struct pair p;
    struct record r;
    budgets_init(0, 100000);
    pair_open(&p, 16384, NULL, NULL);
    p.script = script_charge;
    pair_start(&p, &r, "/s/Answer");
    pair_pump(&p);
    grpc_conn_charge(p.server, &queued);
    send_zeros(p.served[0].call, 50000);
    assert_int_equal(queued.used, 50005);
    assert_false(grpc_call_is_full(p.served[0].call));
    send_zeros(p.served[0].call, 50000);
    assert_true(grpc_call_is_full(p.served[0].call)); /* far below GRPC_HIGH_WATER */
    struct iovec iov[4];
    assert_true(grpc_conn_pull(p.server, iov, 4) > 0);
    assert_in_range(queued.used, 100010, 101000);
    assert_int_equal(grpc_call_queued(p.served[0].call), 0);
    assert_int_equal(p.served[0].n_drain, 1);
    pair_pump(&p);
    assert_int_equal(r.n_messages, 2);
    assert_nothing_is_charged();
    send_zeros(p.served[0].call, 50000);
    assert_true(grpc_conn_pull(p.server, iov, 4) > 0);
    assert_true(queued.used > 50000);
    pair_close(&p);
    assert_nothing_is_charged();
    record_done(&r);
}

/* Two large messages, each of the whole budget but a little: one has to go. */
static void test_large_messages_share_a_budget(void **state)
{
    struct pair p;
    struct record r[3];
    budgets_init(10 << 20, 0);
    pair_open(&p, 65536, NULL, NULL);
    p.script = script_charge_echo;
    for (size_t i = 0; i < 2; i++) {
        pair_start(&p, &r[i], "/s/Large");
        send_zeros(r[i].call, 8 << 20);
        assert_int_equal(grpc_call_half_close(r[i].call), 0);
    }
    pair_pump(&p);
    size_t first = r[0].status.code == ERR_OK ? 0 : 1;
    assert_int_equal(r[first].status.code, ERR_OK);
    assert_int_equal(p.served[first].n_bytes, 8 << 20);
    assert_int_equal(r[1 - first].status.code, ERR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(r[1 - first].status.message, "message larger than max"));
    assert_nothing_is_charged();
    pair_start(&p, &r[2], "/s/Large");
    send_zeros(r[2].call, 8 << 20);
    assert_int_equal(grpc_call_half_close(r[2].call), 0);
    pair_pump(&p);
    assert_int_equal(r[2].status.code, ERR_OK);
    pair_close(&p);
    for (size_t i = 0; i < 3; i++)
        record_done(&r[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_call_pays_for_what_arrived),
        cmocka_unit_test(test_a_message_of_the_budget_arrives_and_one_byte_more_does_not),
        cmocka_unit_test(test_a_paused_call_pays_for_what_waits),
        cmocka_unit_test(test_a_call_pays_for_answers_that_are_not_taken),
        cmocka_unit_test(test_large_messages_share_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
