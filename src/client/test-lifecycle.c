/* The sandbox state machine and the ways calls fail, against scripted peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "client/testworld.h"

#include <cmocka.h>

/* ---- start and wait ---- */

static void foreign_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "CreateSandbox"))
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    else if (peer_is(c, "GetSandbox") && c->nth < 3)
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_CREATING, -1);
    else if (peer_is(c, "GetSandbox"))
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    else
        peer_fail(c, ERR_UNIMPLEMENTED, NULL, "no");
}

static void test_a_foreign_service_is_polled_until_running(void **state)
{
    struct world w = {0};
    world_begin(&w, false, foreign_handler);
    cws_sandbox *sb = world_sandbox(&w);
    cws_status status;
    assert_int_equal(cws_sandbox_status(sb, &status), 0);
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), 0);
    assert_int_equal(cws_sandbox_status(sb, &status), 1);
    assert_int_equal(status, CWS_STATUS_PENDING); /* accepted, whatever create said */
    cws_op *waits[8];                             /* share one poll */
    for (int i = 0; i < 8; i++)
        waits[i] = cws_sandbox_wait_running(sb, 0, NULL);
    assert_int_equal(cws_op_cancel(waits[3]), 1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(result_of(waits[i]), i == 3 ? CWS_E_CANCELLED : 0);
    assert_int_equal(peer_count(&w.peer, "CreateSandbox"), 1);
    assert_int_equal(peer_count(&w.peer, "GetSandbox"), 3);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void our_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "CreateSandbox")) {
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    } else if (peer_is(c, "StreamExec")) {
        peer_send_ready(c);
        peer_send_output(c, 1, "hello\n");
        peer_send_exit(c, 0);
        peer_finish(c);
    } else if (peer_is(c, "DeleteSandbox")) {
        Pb__DeleteSandboxResponse reply = PB__DELETE_SANDBOX_RESPONSE__INIT;
        Pb__Sandbox sandbox = PB__SANDBOX__INIT;
        Pb__SandboxStatus status = PB__SANDBOX_STATUS__INIT;
        status.state = PB__STATE__STATE_TERMINATING;
        sandbox.sandbox_id = (char *)"sb-1";
        sandbox.status = &status;
        reply.sandbox = &sandbox;
        peer_reply(c, &reply);
    } else if (peer_is(c, "GetSandbox")) {
        assert_string_equal(c->wait, "terminal");
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_TERMINATED, -1);
    }
}

static void test_our_service_needs_no_polls(void **state)
{
    struct world w = {0};
    world_begin(&w, true, our_handler);
    cws_sandbox *sb = world_sandbox(&w);
    const char *argv[] = {"echo", "hello"};
    cws_process *p =
        cws_sandbox_exec(sb, argv, 2, NULL, NULL); /* starts the sandbox by itself */
    assert_int_equal(result_of(cws_op_ref(cws_process_op(p))), 0);
    size_t n;
    assert_string_equal(cws_process_output(p, CWS_STDOUT, &n), "hello\n");
    cws_process_unref(p);
    assert_int_equal(peer_count(&w.peer, "GetSandbox"), 0);
    assert_int_equal(result_of(cws_sandbox_stop(sb, 0, 0, NULL)), 0);
    assert_int_equal(peer_count(&w.peer, "GetSandbox"), 1);
    assert_int_equal(result_of(cws_sandbox_stop(sb, 0, 0, NULL)), 0); /* no call */
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 1);
    assert_int_equal(atomic_load(&w.peer.n_connections), 1);
    p = cws_sandbox_exec(sb, argv, 2, NULL, NULL);
    assert_int_equal(result_of(cws_op_ref(cws_process_op(p))), CWS_E_NOT_RUNNING);
    cws_chunk c;
    assert_int_equal(cws_reader_read(cws_process_stdout(p), LONG, &c, NULL), CWS_READ_END);
    assert_int_equal(cws_reader_read(cws_process_stderr(p), LONG, &c, NULL), CWS_READ_END);
    cws_process_unref(p);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static char request_ids[2][64];

static void failing_create_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data || !peer_is(c, "CreateSandbox"))
        return;
    struct err err = {0};
    Pb__CreateSandboxRequest *request =
        proto_unpack(&pb__create_sandbox_request__descriptor, data, n, &err);
    (void)snprintf(request_ids[c->nth - 1], sizeof(request_ids[0]), "%s", request->request_id);
    proto_free(request);
    if (c->nth == 1)
        peer_fail(c, ERR_UNAVAILABLE, NULL, "not now");
    else
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
}

static void test_a_failed_start_may_be_repeated_with_the_same_request_id(void **state)
{
    struct world w = {0};
    world_begin(&w, true, failing_create_handler);
    cws_sandbox *sb = world_sandbox(&w);
    cws_op *first = cws_sandbox_start(sb, NULL),
           *second = cws_sandbox_wait_running(sb, 0, NULL);
    assert_int_equal(result_of(first), CWS_E_UNAVAILABLE);
    assert_int_equal(result_of(second), CWS_E_UNAVAILABLE); /* shared the one create */
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), 0);
    assert_int_equal(strlen(request_ids[0]), 36);
    assert_string_equal(request_ids[0], request_ids[1]);
    assert_int_equal(peer_count(&w.peer, "CreateSandbox"), 2);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void outcome_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    static const Pb__State outcomes[] = {PB__STATE__STATE_FAILED, PB__STATE__STATE_TERMINATED,
                                         PB__STATE__STATE_COMPLETED};
    if (peer_is(c, "CreateSandbox"))
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_PENDING, -1);
    else
        peer_reply_sandbox(c, "sb-1", outcomes[c->nth - 1], c->nth == 3 ? 0 : -1);
}

static void test_how_a_sandbox_ended_decides_what_waiting_says(void **state)
{
    struct world w = {0};
    world_begin(&w, false, outcome_handler);
    static const cws_error_kind running[] = {CWS_E_FAILED, CWS_E_TERMINATED, 0};
    static const cws_error_kind lenient[] = {CWS_E_FAILED, 0, 0};
    for (int i = 0; i < 3; i++) {
        cws_sandbox *sb = world_sandbox(&w);
        assert_int_equal(result_of(cws_sandbox_wait_running(sb, 0, NULL)), running[i]);
        assert_int_equal(result_of(cws_sandbox_wait_complete(sb, 0, 1, NULL)), running[i]);
        assert_int_equal(result_of(cws_sandbox_wait_complete(sb, 0, 0, NULL)), lenient[i]);
        int code = -1;
        assert_int_equal(cws_sandbox_returncode(sb, &code), i == 2);
        cws_sandbox_unref(sb);
    }
    world_end(&w);
}

static void grace_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "CreateSandbox"))
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_PENDING, -1);
    else
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_COMPLETED, c->nth == 2 ? 4 : -1);
}

static void test_a_foreign_service_gets_time_to_tell_the_exit_code(void **state)
{
    struct world w = {0};
    world_begin(&w, false, grace_handler);
    cws_sandbox *sb = world_sandbox(&w);
    assert_int_equal(result_of(cws_sandbox_wait_complete(sb, 0, 1, NULL)), 0);
    int code;
    assert_int_equal(cws_sandbox_returncode(sb, &code), 1);
    assert_int_equal(code, 4);
    assert_int_equal(peer_count(&w.peer, "GetSandbox"), 2);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void flaky_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "CreateSandbox"))
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_PENDING, -1);
    else if (c->nth < 3)
        peer_fail(c, ERR_UNAVAILABLE, NULL, "not now");
    else if (c->nth == 3)
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    else
        peer_fail(c, ERR_PERMISSION_DENIED, NULL, "no");
}

static void test_polls_retry_what_may_pass_and_nothing_else(void **state)
{
    struct world w = {0};
    world_begin(&w, false, flaky_handler);
    cws_sandbox *sb = world_sandbox(&w);
    assert_int_equal(result_of(cws_sandbox_wait_running(sb, 0, NULL)), 0);
    assert_int_equal(peer_count(&w.peer, "GetSandbox"), 3);
    cws_op *op = cws_sandbox_wait_complete(sb, 0, 1, NULL);
    assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
    assert_int_equal(cws_error_get_kind(cws_op_error(op)), CWS_E_AUTHENTICATION);
    assert_non_null(strstr(cws_error_message(cws_op_error(op)), "Permission denied"));
    cws_op_unref(op);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void silent_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (data && peer_is(c, "CreateSandbox"))
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_PENDING, -1);
}

static void test_one_waiters_time_out_is_its_own(void **state)
{
    struct world w = {0};
    world_begin(&w, true, silent_handler);
    cws_sandbox *sb = world_sandbox(&w);
    cws_op *patient = cws_sandbox_wait_running(sb, LONG, NULL);
    assert_int_equal(result_of(cws_sandbox_wait_running(sb, 30 * NS_PER_MS, NULL)),
                     CWS_E_TIMEOUT);
    assert_int_equal(cws_op_done(patient), 0);
    assert_int_equal(cws_op_cancel(patient), 1);
    cws_op_unref(patient);
    cws_sandbox_unref(sb);
    world_end(&w);
}

/* ---- stop ---- */

static void test_stop_before_start_makes_no_call(void **state)
{
    struct world w = {0};
    world_begin(&w, true, our_handler);
    cws_sandbox *sb = world_sandbox(&w);
    assert_int_equal(result_of(cws_sandbox_get_status(sb, NULL)), CWS_E_NOT_RUNNING);
    assert_int_equal(result_of(cws_sandbox_stop(sb, 0, 0, NULL)), 0);
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), CWS_E_NOT_RUNNING);
    assert_int_equal(atomic_load(&w.peer.n_connections), 0);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void test_stop_during_create_deletes_what_was_created(void **state)
{
    struct world w = {0};
    world_begin(&w, true, our_handler);
    cws_sandbox *sb = world_sandbox(&w);
    cws_op *start = cws_sandbox_start(sb, NULL), *wait = cws_sandbox_wait_running(sb, 0, NULL);
    cws_op *stop = cws_sandbox_stop(sb, 0, 0, NULL), *joined = cws_sandbox_stop(sb, 0, 1, NULL);
    assert_int_equal(result_of(start), 0);
    (void)result_of(wait); /* running or stopped: both are true at some time */
    assert_int_equal(result_of(stop), 0);
    assert_int_equal(result_of(joined), 0);
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 1);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void gone_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "CreateSandbox"))
        peer_reply_sandbox(c, "sb-1", PB__STATE__STATE_RUNNING, -1);
    else
        peer_fail(c, ERR_NOT_FOUND, "CWSANDBOX_SANDBOX_NOT_FOUND", "nothing here");
}

static void test_stopping_what_is_gone_is_an_error_only_to_who_minds(void **state)
{
    struct world w = {0};
    world_begin(&w, true, gone_handler);
    cws_sandbox *sb = world_sandbox(&w);
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), 0);
    cws_op *op = cws_sandbox_stop(sb, 0, 0, NULL);
    assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
    const cws_error *e = cws_op_error(op);
    assert_int_equal(cws_error_get_kind(e), CWS_E_NOT_FOUND);
    assert_string_equal(cws_error_sandbox_id(e), "sb-1");
    assert_string_equal(cws_error_reason(e), "CWSANDBOX_SANDBOX_NOT_FOUND");
    assert_non_null(strstr(cws_error_message(e), "not found"));
    cws_op_unref(op);
    cws_status status;
    assert_int_equal(cws_sandbox_status(sb, &status), 1);
    assert_int_equal(status, CWS_STATUS_RUNNING); /* unchanged */
    assert_int_equal(result_of(cws_sandbox_stop(sb, 0, 1, NULL)), 0);
    assert_int_equal(cws_sandbox_status(sb, &status), 1);
    assert_int_equal(status, CWS_STATUS_TERMINATED);
    assert_int_equal(result_of(cws_delete(w.client, w.target, "sb-2", 0, 0, NULL)),
                     CWS_E_NOT_FOUND);
    assert_int_equal(result_of(cws_delete(w.client, w.target, "sb-2", 1, 0, NULL)), 0);
    assert_int_equal(result_of(cws_from_id(w.client, w.target, "sb-2", 0, NULL)),
                     CWS_E_NOT_FOUND);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void forgetful_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (data && peer_is(c, "GetSandbox"))
        peer_fail(c, ERR_NOT_FOUND, NULL, "forgotten");
    else if (data)
        our_handler(c, data, n);
}

static void test_a_stopped_sandbox_that_is_forgotten_has_no_known_end(void **state)
{
    struct world w = {0};
    world_begin(&w, true, forgetful_handler);
    cws_sandbox *sb = world_sandbox(&w);
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), 0);
    assert_int_equal(result_of(cws_sandbox_stop(sb, 0, 0, NULL)),
                     CWS_E_TERMINAL_STATE_UNAVAILABLE);
    cws_sandbox_unref(sb);
    world_end(&w);
}

/* ---- connections ---- */

static void dropping_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    if (peer_is(c, "CreateSandbox") && c->nth == 1) {
        peer_drop(
            c->peer); /* the first create is lost; its request id makes a second try safe */
    } else if (peer_is(c, "StreamExec")) {
        peer_send_output(c, 1, "partial");
        peer_drop(c->peer);
    } else {
        our_handler(c, data, n);
    }
}

static void test_a_lost_connection_fails_calls_that_may_have_run(void **state)
{
    struct world w = {0};
    world_begin(&w, true, dropping_handler);
    cws_sandbox *sb = world_sandbox(&w);
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), 0);
    assert_int_equal(peer_count(&w.peer, "CreateSandbox"), 2);
    const char *argv[] = {"x"};
    cws_process *p = cws_sandbox_exec(sb, argv, 1, NULL, NULL);
    assert_int_equal(result_of(cws_op_ref(cws_process_op(p))), CWS_E_UNAVAILABLE);
    assert_int_equal(peer_count(&w.peer, "StreamExec"), 1);
    int code;
    assert_int_equal(cws_process_returncode(p, &code), 0); /* never an invented exit */
    cws_process_unref(p);
    assert_int_equal(result_of(cws_sandbox_stop(sb, 0, 0, NULL)), 0); /* on a new connection */
    assert_int_equal(atomic_load(&w.peer.n_connections), 3);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void goaway_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (data)
        our_handler(c, data, n);
    if (data && peer_is(c, "CreateSandbox"))
        peer_goaway(c->peer);
}

static void test_a_goaway_is_no_error_of_the_next_call(void **state)
{
    struct world w = {0};
    world_begin(&w, true, goaway_handler);
    for (int i = 0; i < 20; i++) {
        cws_sandbox *sb = world_sandbox(&w);
        assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), 0);
        assert_int_equal(result_of(cws_sandbox_stop(sb, 0, 0, NULL)), 0);
        cws_sandbox_unref(sb);
    }
    assert_int_equal(peer_count(&w.peer, "DeleteSandbox"), 20);
    world_end(&w);
}

static void test_a_connection_that_says_nothing_is_no_try(void **state)
{
    struct world w = {0};
    world_begin(&w, true, foreign_handler);
    atomic_store(&w.peer.n_mute, 3);
    cws_sandbox *sb = world_sandbox(&w);
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), 0);
    assert_int_equal(peer_count(&w.peer, "CreateSandbox"), 1);
    assert_int_equal(atomic_load(&w.peer.n_connections), 4);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void test_a_peer_that_never_says_anything_is_unavailable(void **state)
{
    struct world w = {0};
    world_begin(&w, true, foreign_handler);
    atomic_store(&w.peer.n_mute, 1000);
    cws_sandbox *sb = world_sandbox(&w);
    assert_int_equal(result_of(cws_sandbox_start(sb, NULL)), CWS_E_UNAVAILABLE);
    assert_in_range(atomic_load(&w.peer.n_connections), 2, 10);
    cws_sandbox_unref(sb);
    world_end(&w);
}

static void test_nobody_listening_is_unavailable(void **state)
{
    struct cws_client *client = cws_client_new(NULL);
    cws_target *target = cws_target_new("unix:///tmp/cws-nobody-listens-here", NULL, 0, NULL);
    cws_op *op = cws_list(client, target, NULL, NULL);
    assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
    assert_int_equal(cws_error_get_kind(cws_op_error(op)), CWS_E_UNAVAILABLE);
    assert_int_equal(cws_error_status(cws_op_error(op)), ERR_UNAVAILABLE);
    assert_non_null(strstr(cws_error_message(cws_op_error(op)), "cws-nobody-listens-here"));
    cws_op_unref(op);
    cws_target_unref(target);
    cws_client_unref(client);
}

/* ---- list ---- */

static void list_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!data)
        return;
    struct err err = {0};
    Pb__ListSandboxesRequest *request =
        proto_unpack(&pb__list_sandboxes_request__descriptor, data, n, &err);
    bool loop = request->n_tags == 1; /* the test's way to ask for a bad service */
    int page = *request->page_token ? atoi(request->page_token) : 0;
    proto_free(request);
    Pb__Sandbox sandbox = PB__SANDBOX__INIT, *list = &sandbox;
    char id[16], token[16];
    (void)snprintf(id, sizeof(id), "sb-%d", page);
    (void)snprintf(token, sizeof(token), "%d", loop ? 7 : page + 1);
    sandbox.sandbox_id = id;
    Pb__ListSandboxesResponse reply = PB__LIST_SANDBOXES_RESPONSE__INIT;
    reply.sandboxes = &list;
    reply.n_sandboxes = 1;
    if (loop || page < 2)
        reply.next_page_token = token;
    peer_reply(c, &reply);
}

static void test_list_fetches_all_pages_and_notices_a_loop(void **state)
{
    struct world w = {0};
    world_begin(&w, false, list_handler);
    cws_op *op = cws_list(w.client, w.target, NULL, NULL);
    assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
    assert_null(cws_op_error(op));
    assert_int_equal(cws_op_n_sandboxes(op), 3);
    char *id = cws_sandbox_id(cws_op_sandbox(op, 2));
    assert_string_equal(id, "sb-2");
    assert_null(cws_op_sandbox(op, 3));
    free(id);
    cws_op_unref(op);
    const char *tags[] = {"loop"};
    op = cws_list(w.client, w.target, &(cws_list_options){.tags = tags, .n_tags = 1}, NULL);
    assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
    assert_int_equal(cws_error_get_kind(cws_op_error(op)), CWS_E_GENERIC);
    assert_non_null(strstr(cws_error_message(cws_op_error(op)), "pagination loop"));
    cws_op_unref(op);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_foreign_service_is_polled_until_running),
        cmocka_unit_test(test_our_service_needs_no_polls),
        cmocka_unit_test(test_a_failed_start_may_be_repeated_with_the_same_request_id),
        cmocka_unit_test(test_how_a_sandbox_ended_decides_what_waiting_says),
        cmocka_unit_test(test_a_foreign_service_gets_time_to_tell_the_exit_code),
        cmocka_unit_test(test_polls_retry_what_may_pass_and_nothing_else),
        cmocka_unit_test(test_one_waiters_time_out_is_its_own),
        cmocka_unit_test(test_stop_before_start_makes_no_call),
        cmocka_unit_test(test_stop_during_create_deletes_what_was_created),
        cmocka_unit_test(test_stopping_what_is_gone_is_an_error_only_to_who_minds),
        cmocka_unit_test(test_a_stopped_sandbox_that_is_forgotten_has_no_known_end),
        cmocka_unit_test(test_a_lost_connection_fails_calls_that_may_have_run),
        cmocka_unit_test(test_a_goaway_is_no_error_of_the_next_call),
        cmocka_unit_test(test_a_connection_that_says_nothing_is_no_try),
        cmocka_unit_test(test_a_peer_that_never_says_anything_is_unavailable),
        cmocka_unit_test(test_nobody_listening_is_unavailable),
        cmocka_unit_test(test_list_fetches_all_pages_and_notices_a_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
