/* Starts that are cancelled while the service makes the sandbox. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "client/testworld.h"

#include <cmocka.h>

static sem_t asked, answer;

/* Create is held until the test says so. */
static void holding_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "CreateSandbox")) {
        (void)sem_post(&asked);
        (void)sem_wait(&answer);
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    } else if (peer_is(c, "GetSandbox")) {
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    } else if (peer_is(c, "DeleteSandbox")) {
        peer_reply(c, &(Pb__DeleteSandboxResponse)PB__DELETE_SANDBOX_RESPONSE__INIT);
    }
}

static void begin(struct world *w, peer_handler handler)
{
    (void)sem_init(&asked, 0, 0);
    (void)sem_init(&answer, 0, 0);
    world_begin(w, true, handler);
}

static void expect_undone(cws_op *op)
{
    assert_int_equal(cws_op_wait(op, CWS_FOREVER), CWS_WAIT_DONE);
    assert_int_equal(cws_error_get_kind(cws_op_error(op)), CWS_E_NOT_RUNNING);
    assert_non_null(
        strstr(cws_error_message(cws_op_error(op)), "because its start was cancelled"));
}

static void test_a_cancelled_start_is_undone(void **state)
{
    struct world w = {0};
    begin(&w, holding_handler);
    cws_sandbox *sb = world_sandbox(&w);
    cws_op *start = cws_sandbox_start(sb, NULL), *wait = cws_sandbox_wait_running(sb, 0, NULL);
    (void)sem_wait(&asked);
    assert_int_equal(cws_op_cancel(start), 1);
    assert_int_equal(cws_op_cancel(wait), 1);
    cws_op *settled = cws_client_settle(w.client, NULL);
    assert_int_equal(cws_op_done(settled), 0);
    (void)sem_post(&answer);
    assert_int_equal(result_of(settled), 0);
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 1);
    /* Too late: what would be had is gone, whether the stop is under way or over. */
    static const char *const argv[] = {"true"};
    cws_process *p = cws_sandbox_exec(sb, argv, 1, NULL, NULL);
    expect_undone(cws_process_op(p));
    cws_op *late[] = {cws_sandbox_start(sb, NULL), cws_sandbox_wait_running(sb, 0, NULL)};
    for (size_t i = 0; i < ARRAY_SIZE(late); i++) {
        expect_undone(late[i]);
        cws_op_unref(late[i]);
    }
    cws_process_unref(p);
    cws_op_unref(start);
    cws_op_unref(wait);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void test_a_start_that_somebody_else_wants_is_kept(void **state)
{
    struct world w = {0};
    begin(&w, holding_handler);
    cws_sandbox *sb = world_sandbox(&w);
    cws_op *first = cws_sandbox_start(sb, NULL), *other = cws_sandbox_start(sb, NULL);
    (void)sem_wait(&asked);
    assert_int_equal(cws_op_cancel(first), 1);
    assert_int_equal(cws_op_cancel(other), 1);
    cws_op *again = cws_sandbox_start(sb, NULL); /* before the service has answered */
    /* On the loop by now, behind the cancels, and before the answer */
    assert_int_equal(result_of(cws_client_settle(w.client, NULL)), 0);
    (void)sem_post(&answer);
    assert_int_equal(result_of(again), 0);
    assert_int_equal(result_of(cws_client_settle(w.client, NULL)), 0);
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 0);
    cws_op_unref(first);
    cws_op_unref(other);
    cws_sandbox_unref(sb);
    world_end(&w);
}

/* ---- while the token is asked for ---- */

/* The first create is answered without the token, the second is held as above. */
static void token_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (data && peer_is(c, "CreateSandbox") && c->nth == 1)
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    else
        holding_handler(c, data, n);
}

static cws_sandbox *sandbox_with_token(struct world *w)
{
    cws_options *o = cws_options_new(NULL);
    cws_service_options endpoint = {.port = 80,
                                    .visibility = CWS_VISIBILITY_PUBLIC,
                                    .endpoint_kind = CWS_ENDPOINT_HTTPS,
                                    .endpoint_auth = CWS_ENDPOINT_AUTH_SHARE_TOKEN};
    assert_int_equal(cws_options_add_service(o, &endpoint, NULL), 0);
    cws_sandbox *sb = cws_sandbox_new(w->client, w->target, o, NULL);
    cws_options_free(o);
    assert_non_null(sb);
    return sb;
}

static void test_a_start_cancelled_while_it_waits_for_the_token_is_undone(void **state)
{
    struct world w = {0};
    begin(&w, token_handler);
    cws_sandbox *sb = sandbox_with_token(&w);
    cws_op *start = cws_sandbox_start(sb, NULL), *other = cws_sandbox_start(sb, NULL);
    (void)sem_wait(&asked);
    assert_int_equal(cws_op_cancel(start), 1);
    assert_int_equal(result_of(cws_client_settle(w.client, NULL)), 0);
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 0);
    assert_int_equal(cws_op_cancel(other), 1);
    cws_op *settled = cws_client_settle(w.client, NULL);
    (void)sem_post(&answer);
    assert_int_equal(result_of(settled), 0);
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 1);
    cws_op_unref(start);
    cws_op_unref(other);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void test_a_sandbox_in_use_is_kept_when_its_start_is_cancelled(void **state)
{
    struct world w = {0};
    begin(&w, token_handler);
    cws_sandbox *sb = sandbox_with_token(&w);
    cws_op *start = cws_sandbox_start(sb, NULL);
    (void)sem_wait(&asked);
    cws_op *user = cws_sandbox_wait_running(sb, 0, NULL);
    assert_int_equal(cws_op_cancel(start), 1);
    assert_int_equal(result_of(cws_client_settle(w.client, NULL)), 0);
    (void)sem_post(&answer);
    assert_int_equal(result_of(user), 0);
    assert_int_equal(result_of(cws_client_settle(w.client, NULL)), 0);
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 0);
    cws_op_unref(start);
    cws_sandbox_unref(sb);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cancelled_start_is_undone),
        cmocka_unit_test(test_a_start_that_somebody_else_wants_is_kept),
        cmocka_unit_test(test_a_start_cancelled_while_it_waits_for_the_token_is_undone),
        cmocka_unit_test(test_a_sandbox_in_use_is_kept_when_its_start_is_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
