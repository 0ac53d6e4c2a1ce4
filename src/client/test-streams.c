/* Exec and file streams against peers that misbehave. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "base/util.h"
#include "client/testworld.h"

#include <cmocka.h>

static struct peer peer;
static struct cws_client *client;
static cws_sandbox *sb;

static void begin(bool ours, peer_handler handler)
{
    peer_begin(&peer, ours, handler, NULL);
    client = cws_client_new(NULL);
    cws_target *target = cws_target_new(peer.url, NULL, 0, NULL);
    sb = cws_sandbox_new(client, target, NULL, NULL);
    cws_target_unref(target);
    assert_non_null(sb);
}

static void end(void)
{
    cws_sandbox_unref(sb);
    cws_client_unref(client);
    peer_end(&peer);
}

static char last_command[8][512]; /* by nth, joined by blanks */

static void note_command(struct peer_call *c, const uint8_t *data, size_t n)
{
    struct err err = {0};
    Pb__ExecStreamRequest *r =
        proto_unpack(&pb__exec_stream_request__descriptor, data, n, &err);
    char *out = last_command[c->nth];
    out[0] = '\0';
    for (size_t i = 0; r->init && i < r->init->n_command; i++) {
        (void)strncat(out, r->init->command[i], 511 - strlen(out));
        (void)strncat(out, " ", 511 - strlen(out));
    }
    proto_free(r);
}

static cws_process *exec_and_wait(const cws_exec_options *o)
{
    const char *argv[] = {"x"};
    cws_process *p = cws_sandbox_exec(sb, argv, 1, o, NULL);
    assert_non_null(p);
    assert_int_equal(cws_op_wait(cws_process_op(p), LONG), CWS_WAIT_DONE);
    return p;
}

/* ---- exec ---- */

static void send_error(struct peer_call *c, const char *code, const char *text)
{
    Pb__ExecStreamError error = PB__EXEC_STREAM_ERROR__INIT;
    error.code = (char *)code;
    error.message = (char *)text;
    Pb__ExecStreamResponse msg = PB__EXEC_STREAM_RESPONSE__INIT;
    msg.message_case = PB__EXEC_STREAM_RESPONSE__MESSAGE_ERROR;
    msg.error = &error;
    peer_send(c, &msg);
}

static void exec_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (world_basics(c) || !data)
        return;
    switch (c->nth) {
    case 1: /* ends without a word */
        peer_send_output(c, 1, "some");
        peer_finish(c);
        break;
    case 2:
        send_error(c, "STREAM_BACKPRESSURE", "too slow");
        peer_finish(c);
        break;
    case 3:
        send_error(c, "SOMETHING", "went wrong");
        peer_finish(c);
        break;
    case 4: /* bytes that are no message */
        (void)grpc_call_send(c->call, "\xff\xff\xff", 3, NULL);
        break;
    case 5: /* an exit, then more, then an error: only the exit counts; the call is left open */
        peer_send_output(c, 7, "unknown streams are stdout");
        peer_send_exit(c, 300);
        peer_send_output(c, 1, "late");
        send_error(c, "", "late");
        break;
    case 6:
        peer_fail(c, ERR_DEADLINE_EXCEEDED, "CWSANDBOX_COMMAND_TIMEOUT", "time is up");
        break;
    default:
        peer_fail(c, ERR_INTERNAL, NULL, "broken");
        break;
    }
}

static void test_every_bad_end_of_an_exec_is_an_error(void **state)
{
    begin(true, exec_handler);
    static const struct {
        cws_error_kind kind;
        const char *text;
    } want[] = {{CWS_E_EXECUTION, "ended without an exit status"},
                {CWS_E_STREAM_BACKPRESSURE, "too slow"},
                {CWS_E_EXECUTION, "went wrong"},
                {CWS_E_PROTOCOL, "decode"},
                {0, NULL},
                {CWS_E_TIMEOUT, "time is up"},
                {CWS_E_SANDBOX, "broken"}};
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        cws_process *p = exec_and_wait(NULL);
        const cws_error *e = cws_op_error(cws_process_op(p));
        int code = -1;
        assert_int_equal(cws_process_returncode(p, &code), want[i].kind == 0);
        if (want[i].kind) {
            assert_non_null(e);
            assert_int_equal(cws_error_get_kind(e), want[i].kind);
            assert_non_null(strstr(cws_error_message(e), want[i].text));
        } else {
            size_t len;
            assert_null(e);
            assert_int_equal(code, 300);
            assert_string_equal(cws_process_output(p, CWS_STDOUT, &len),
                                "unknown streams are stdout");
        }
        if (i == 1)
            assert_string_equal(cws_error_stream_code(e), "STREAM_BACKPRESSURE");
        if (i == 2)
            assert_string_equal(cws_error_reason(e), "SOMETHING");
        cws_chunk c; /* errors are never in the streams of an exec */
        cws_read_result r;
        while ((r = cws_reader_read(cws_process_stdout(p), LONG, &c, NULL)) == CWS_READ_DATA)
            cws_chunk_release(&c);
        assert_int_equal(r, CWS_READ_END);
        cws_process_unref(p);
    }
    end();
}

/* What a service does whose answer was not taken in time. */
static void reset_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (world_basics(c) || !data)
        return;
    uint64_t until_ns = c->nth == 1 ? clock_now_ns() + c->timeout_ns : 0;
    while (clock_now_ns() < until_ns)
        sched_yield();
    grpc_call_cancel(c->call, ERR_CANCELLED, "not taken");
}

static void test_a_reset_after_the_deadline_is_a_timeout(void **state)
{
    begin(true, reset_handler);
    static const cws_error_kind want[] = {CWS_E_TIMEOUT, CWS_E_NOT_RUNNING};
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        cws_exec_options o = {.timeout_ns = i == 0 ? 20 * NS_PER_MS : 0};
        cws_process *p = exec_and_wait(&o);
        assert_int_equal(cws_error_get_kind(cws_op_error(cws_process_op(p))), want[i]);
        cws_process_unref(p);
    }
    end();
}

static void facts_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    static const struct grpc_header facts = {
        "x-cwsandbox-exec-facts", "signal=9 oom_killed=1 duration_ns=5 later=1 cpu_ns=x"};
    if (world_basics(c) || !data)
        return;
    peer_send_exit(c, 137);
    CHECK(grpc_call_add_trailer(c->call, &facts) == 0);
    if (c->nth == 1)
        peer_finish(c);
    else
        peer_fail(c, ERR_DEADLINE_EXCEEDED, NULL, "the exit came just before");
}

static void assert_told(cws_process *p, bool told)
{
    cws_process_facts f;
    int code;
    assert_int_equal(cws_process_returncode(p, &code), 1);
    assert_int_equal(code, 137);
    assert_int_equal(cws_process_get_facts(p, &f), 1);
    assert_int_equal(f.timed_out, 0);
    assert_int_equal(f.signal, told ? 9 : -1);
    assert_int_equal(f.oom_killed, told ? 1 : -1);
    assert_true(f.duration_ns == (told ? 5 : CWS_NOT_KNOWN));
    assert_true(f.cpu_ns == CWS_NOT_KNOWN && f.peak_memory_bytes == CWS_NOT_KNOWN);
    cws_process_unref(p);
}

static void test_our_service_tells_how_a_command_ended(void **state)
{
    begin(true, facts_handler);
    assert_told(exec_and_wait(NULL), true);
    assert_told(exec_and_wait(NULL), true);
    end();
    begin(false,
          facts_handler); /* its exit is the end: what comes behind it is not waited for */
    assert_told(exec_and_wait(NULL), false);
    end();
}

static void test_a_time_out_is_a_fact_of_any_service(void **state)
{
    cws_process_facts f;
    begin(false, exec_handler);
    for (int i = 1; i < 6; i++)
        cws_process_unref(exec_and_wait(NULL));
    cws_process *p = exec_and_wait(NULL); /* the 6th: "time is up" */
    assert_int_equal(cws_process_get_facts(p, &f), 1);
    assert_true(f.timed_out == 1 && f.oom_killed == -1);
    cws_process_unref(p);
    end();
}

static void mute_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    (void)world_basics(c);
}

static void test_stdin_waits_for_ready_and_not_for_ever(void **state)
{
    begin(true, mute_handler);
    cws_exec_options o = {.want_stdin = 1, .timeout_ns = 50 * NS_PER_MS};
    const char *argv[] = {"cat"};
    cws_process *p = cws_sandbox_exec(sb, argv, 1, &o, NULL);
    cws_op *write = cws_writer_write(cws_process_stdin(p), "x", 1, NULL);
    assert_int_equal(cws_op_wait(cws_process_op(p), LONG), CWS_WAIT_DONE);
    const cws_error *e = cws_op_error(cws_process_op(p));
    assert_int_equal(cws_error_get_kind(e), CWS_E_TIMEOUT);
    assert_non_null(strstr(cws_error_message(e), "ready signal"));
    cws_op_unref(write);
    cws_process_unref(p);
    end();
}

static void exit_at_once_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (world_basics(c) || !data)
        return;
    peer_send_exit(c, 3);
    peer_finish(c);
}

static void cancel_process(cws_op *write, void *user)
{
    (void)write;
    (void)cws_op_cancel(cws_process_op(user));
}

/* A write that waits fails when the exit comes: its callback runs before the process is done. */
static void test_a_cancel_beside_the_exit_invents_no_exit_code(void **state)
{
    begin(true, exit_at_once_handler);
    cws_exec_options o = {.want_stdin = 1, .check = 1};
    const char *argv[] = {"cat"};
    cws_process *p = cws_sandbox_exec(sb, argv, 1, &o, NULL);
    cws_op *writes[32];
    for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
        writes[i] = cws_writer_write(cws_process_stdin(p), "x", 1, NULL);
    for (size_t i = 20; i < ARRAY_SIZE(writes);
         i++) /* those before were queued: done at once */
        if (writes[i])
            assert_int_equal(cws_op_on_done(writes[i], cancel_process, p, NULL), 0);
    assert_int_equal(cws_op_wait(cws_process_op(p), LONG), CWS_WAIT_DONE);
    assert_int_equal(cws_error_get_kind(cws_op_error(cws_process_op(p))), CWS_E_CANCELLED);
    int code = -1;
    assert_int_equal(cws_process_returncode(p, &code), 0);
    for (size_t i = 0; i < ARRAY_SIZE(writes); i++)
        cws_op_unref(writes[i]);
    cws_process_unref(p);
    end();
}

static void cut_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (!world_basics(c) && data)
        peer_fail(c, ERR_UNAVAILABLE, NULL, "the cable was cut");
}

static void test_a_write_is_told_why_its_command_is_gone(void **state)
{
    begin(true, cut_handler);
    cws_exec_options o = {.want_stdin = 1};
    const char *argv[] = {"cat"};
    cws_process *p = cws_sandbox_exec(sb, argv, 1, &o, NULL);
    assert_int_equal(cws_op_wait(cws_process_op(p), LONG), CWS_WAIT_DONE);
    cws_error *e = NULL;
    assert_null(cws_writer_write(cws_process_stdin(p), "x", 1, &e));
    assert_non_null(strstr(cws_error_message(e), "the cable was cut"));
    assert_null(strstr(cws_error_message(e), "exited"));
    cws_error_free(e);
    cws_process_unref(p);
    end();
}

static void test_a_request_larger_than_a_message_says_so(void **state)
{
    begin(true, mute_handler);
    static char word[110 << 10];
    static const char *argv[1 << 10];
    memset(word, 'x', sizeof(word) - 1);
    for (size_t i = 0; i < ARRAY_SIZE(argv); i++)
        argv[i] = word;
    cws_process *p = cws_sandbox_exec(sb, argv, ARRAY_SIZE(argv), NULL, NULL);
    assert_int_equal(cws_op_wait(cws_process_op(p), LONG), CWS_WAIT_DONE);
    const cws_error *e = cws_op_error(cws_process_op(p));
    assert_int_equal(cws_error_get_kind(e), CWS_E_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(cws_error_message(e), "100 MiB"));
    cws_process_unref(p);
    end();
}

/* ---- files ---- */

static _Atomic size_t n_written;

static void file_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (world_basics(c))
        return;
    if (data && (peer_is(c, "ReadFile") || peer_is(c, "WriteFile"))) {
        struct err err = {0};
        (void)err_set_reason(&err, ERR_FAILED_PRECONDITION, "CWSANDBOX_FILE_TOO_LARGE",
                             "too large for a message");
        err_add_metadata(&err, "max_size_bytes", "10");
        err_add_metadata(&err, "size_bytes", "9");
        (void)grpc_call_finish(c->call, &err);
        err_done(&err);
        return;
    }
    if (!peer_is(c, "StreamExec") || !data)
        return;
    if (c->n == 1) {
        note_command(c, data, n);
        peer_send_ready(c);
        if (strstr(last_command[c->nth], "wc -c"))
            return; /* a write: stdin follows */
        peer_send_output(c, 1, c->nth == 3 ? "short" : "nine byte");
        peer_send_exit(c, 0);
        peer_finish(c);
        return;
    }
    struct proto_slice in;
    if (proto_find_exec_stdin(data, n, &in)) {
        atomic_fetch_add(&n_written, in.n);
        return;
    }
    peer_send_output(c, 2, "disk full\n");
    peer_send_exit(c, c->nth == 1 ? 0 : 1);
    peer_finish(c);
}

static const cws_error *failure_of(cws_op *op)
{
    assert_non_null(op);
    assert_int_equal(cws_op_wait(op, LONG), CWS_WAIT_DONE);
    return cws_op_error(op);
}

static void test_files_too_large_for_a_message_go_through_a_command(void **state)
{
    begin(true, file_handler);
    atomic_store(&n_written, 0);
    cws_op *op = cws_sandbox_write_file(sb, "/f", "0123456789abc", 13, 0, NULL);
    assert_null(failure_of(op));
    assert_int_equal(atomic_load(&n_written), 13);
    assert_int_equal(peer_count(&peer, "WriteFile"), 1);
    cws_op_unref(op);
    op = cws_sandbox_read_file(sb, "/f", 0, NULL);
    assert_null(failure_of(op));
    size_t n;
    assert_memory_equal(cws_op_data(op, &n), "nine byte", 9);
    assert_int_equal(n, 9);
    cws_op_unref(op);
    op = cws_sandbox_read_file(sb, "/f", 0, NULL); /* delivers less than the service said */
    const cws_error *e = failure_of(op);
    assert_int_equal(cws_error_get_kind(e), CWS_E_FILE);
    assert_string_equal(cws_error_reason(e), "CWSANDBOX_FILE_TRUNCATED");
    assert_string_equal(cws_error_filepath(e), "/f");
    cws_op_unref(op);
    op = cws_sandbox_write_file(sb, "/f", "0123456789abc", 13, 0,
                                NULL); /* the cap was learned */
    e = failure_of(op);
    assert_int_equal(peer_count(&peer, "WriteFile"), 1);
    assert_int_equal(cws_error_get_kind(e), CWS_E_FILE);
    assert_non_null(strstr(cws_error_message(e), "disk full"));
    assert_non_null(strstr(cws_error_message(e), "partial"));
    cws_op_unref(op);
    end();
}

static void foreign_stream_handler(struct peer_call *c, const uint8_t *data, size_t n)
{
    if (world_basics(c) || !data || c->n > 1)
        return;
    note_command(c, data, n);
    bool stat = strstr(last_command[c->nth], "stat ") != NULL;
    peer_send_output(c, 1, stat ? "200000000\n" : "abc");
    peer_send_exit(c, 0);
    peer_finish(c);
}

static void test_a_truncated_stream_of_a_foreign_service_is_noticed(void **state)
{
    begin(false, foreign_stream_handler);
    cws_reader *r = cws_sandbox_read_file_stream(sb, "/big", 0, NULL);
    cws_chunk c;
    const cws_error *e = NULL;
    assert_int_equal(cws_reader_read(r, LONG, &c, &e), CWS_READ_DATA);
    assert_int_equal(c.size, 3);
    cws_chunk_release(&c);
    assert_int_equal(cws_reader_read(r, LONG, &c, &e), CWS_READ_ERROR);
    assert_string_equal(cws_error_reason(e), "CWSANDBOX_FILE_TRUNCATED");
    assert_int_equal(cws_reader_read(r, LONG, &c, &e), CWS_READ_END);
    cws_reader_unref(r);
    assert_string_equal(last_command[2], "/bin/cat -- /big ");
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bad_end_of_an_exec_is_an_error),
        cmocka_unit_test(test_a_reset_after_the_deadline_is_a_timeout),
        cmocka_unit_test(test_our_service_tells_how_a_command_ended),
        cmocka_unit_test(test_a_time_out_is_a_fact_of_any_service),
        cmocka_unit_test(test_stdin_waits_for_ready_and_not_for_ever),
        cmocka_unit_test(test_a_cancel_beside_the_exit_invents_no_exit_code),
        cmocka_unit_test(test_a_write_is_told_why_its_command_is_gone),
        cmocka_unit_test(test_a_request_larger_than_a_message_says_so),
        cmocka_unit_test(test_files_too_large_for_a_message_go_through_a_command),
        cmocka_unit_test(test_a_truncated_stream_of_a_foreign_service_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
