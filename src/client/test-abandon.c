/* Starts that are cancelled while the service makes the sandbox. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "client/testpeer.h"

#include <cmocka.h>

#define LONG (30 * NS_PER_SEC)

struct world {
    struct peer peer;
    struct cws_client *client;
    struct cws_target *target;
    sem_t asked, answer;
};

static void world_begin(struct world *w, bool ours, peer_handler handler)
{
    (void)sem_init(&w->asked, 0, 0);
    (void)sem_init(&w->answer, 0, 0);
    peer_begin(&w->peer, ours, handler, w);
    w->client = cws_client_new(NULL);
    w->target = cws_target_new(w->peer.url, NULL, 0, NULL);
    assert_non_null(w->client);
    assert_non_null(w->target);
}

static void world_end(struct world *w)
{
    cws_target_unref(w->target);
    cws_client_unref(w->client);
    peer_end(&w->peer);
}

static cws_sandbox *new_sandbox(struct world *w)
{
    cws_options *o = cws_options_new(NULL);
    cws_options_set_poll(o, NS_PER_SEC, 15 * NS_PER_SEC);
    cws_sandbox *sb = cws_sandbox_new(w->client, w->target, o, NULL);
    cws_options_free(o);
    assert_non_null(sb);
    return sb;
}

static cws_error_kind result_of(cws_op *take_op)
{
    assert_non_null(take_op);
    assert_int_equal(cws_op_wait(take_op, LONG), CWS_WAIT_DONE);
    const cws_error *e = cws_op_error(take_op);
    cws_error_kind kind = e ? cws_error_get_kind(e) : 0;
    cws_op_unref(take_op);
    return kind;
}

static bool is(const struct peer_call *c, const char *method)
{
    return strcmp(c->method, method) == 0;
}

/* Create is held until the test says so. */
static void holding_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    struct world *w = c->peer->user;
    if (!data)
        return;
    if (is(c, "CreateSandbox")) {
        (void)sem_post(&w->asked);
        (void)sem_wait(&w->answer);
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    } else if (is(c, "DeleteSandbox")) {
        peer_reply(c, &(Pb__DeleteSandboxResponse)PB__DELETE_SANDBOX_RESPONSE__INIT);
    }
}

static void test_a_cancelled_start_is_undone(void **state)
{
    struct world w = {0};
    world_begin(&w, true, holding_handler);
    cws_sandbox *sb = new_sandbox(&w);
    cws_op *start = cws_sandbox_start(sb, NULL), *wait = cws_sandbox_wait_running(sb, 0, NULL);
    (void)sem_wait(&w.asked);
    assert_int_equal(cws_op_cancel(start), 1);
    assert_int_equal(cws_op_cancel(wait), 1);
    cws_op *settled = cws_client_settle(w.client, NULL);
    assert_int_equal(cws_op_done(settled), 0);
    (void)sem_post(&w.answer);
    assert_int_equal(result_of(settled), 0);
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 1);
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), 0); /* it has been started */
    cws_op_unref(start);
    cws_op_unref(wait);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void test_a_start_that_somebody_else_wants_is_kept(void **state)
{
    struct world w = {0};
    world_begin(&w, true, holding_handler);
    cws_sandbox *sb = new_sandbox(&w);
    cws_op *first = cws_sandbox_start(sb, NULL), *other = cws_sandbox_start(sb, NULL);
    (void)sem_wait(&w.asked);
    assert_int_equal(cws_op_cancel(first), 1);
    assert_int_equal(cws_op_cancel(other), 1);
    cws_op *again = cws_sandbox_start(sb, NULL); /* before the service has answered */
    (void)sem_post(&w.answer);
    assert_int_equal(result_of(again), 0);
    assert_int_equal(result_of(cws_client_settle(w.client, NULL)), 0);
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 0);
    cws_op_unref(first);
    cws_op_unref(other);
    cws_sandbox_unref(sb);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cancelled_start_is_undone),
        cmocka_unit_test(test_a_start_that_somebody_else_wants_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
