/* Sandboxes, files, logs and load, against the real service. */
#include "service.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static cws_sandbox *sb;

static int begin(void **state)
{
    if (service_begin(state) < 0)
        return -1;
    sb = must_run();
    return 0;
}

static int end(void **state)
{
    must_stop(sb);
    return service_end(state);
}

/* ---- lifecycle ---- */

static void test_a_sandbox_is_what_its_options_say(void **state)
{
    cws_options *o = cws_options_new(NULL);
    const char *args[] = {"-c", "echo main $WHO; cat /etc/given; exit 4"};
    assert_int_equal(cws_options_set_command(o, "/bin/sh", args, 2, NULL), 0);
    assert_int_equal(cws_options_add_env(o, "WHO", "me", NULL), 0);
    assert_int_equal(cws_options_add_file(o, "/etc/given", "content\n", 8, NULL), 0);
    assert_int_equal(cws_options_set_resources(o, NULL, NULL, "500m", "256Mi", NULL), 0);
    cws_sandbox *mine = cws_sandbox_new(NULL, NULL, o, NULL);
    cws_options_free(o);
    must_finish(cws_sandbox_wait_complete(mine, 0, 1, NULL)); /* starts it, too */
    int code = -1;
    assert_int_equal(cws_sandbox_returncode(mine, &code), 1);
    assert_int_equal(code, 4);
    cws_status status;
    assert_int_equal(cws_sandbox_status(mine, &status), 1);
    assert_int_equal(status, CWS_STATUS_COMPLETED);
    assert_true(cws_sandbox_started_ns(mine) > 0);
    char *cpu = cws_sandbox_resource(mine, "limits.cpu"),
         *memory = cws_sandbox_resource(mine, "requests.memory");
    assert_string_equal(cpu, "500m");
    assert_string_equal(memory, "256Mi");
    free(cpu);
    free(memory);
    cws_reader *log = cws_sandbox_logs(mine, NULL, NULL);
    static const char *const want[] = {"main me\n", "content\n"};
    for (int i = 0; i < 2; i++) {
        cws_chunk c;
        assert_int_equal(cws_reader_read(log, LONG, &c, NULL), CWS_READ_DATA);
        assert_int_equal(c.size, strlen(want[i]));
        assert_memory_equal(c.data, want[i], c.size);
        cws_chunk_release(&c);
    }
    cws_chunk c;
    assert_int_equal(cws_reader_read(log, LONG, &c, NULL), CWS_READ_END);
    cws_reader_unref(log);
    must_finish(cws_sandbox_stop(mine, 0, 0, NULL)); /* ended already: nothing to do */
    cws_sandbox_unref(mine);
}

static void test_status_list_attach_and_delete(void **state)
{
    cws_options *o = cws_options_new(NULL);
    char tag[32];
    (void)snprintf(tag, sizeof(tag), "tag-%d", (int)getpid());
    assert_int_equal(cws_options_add_tag(o, tag, NULL), 0);
    cws_sandbox *mine = cws_sandbox_run(NULL, o, NULL);
    cws_options_free(o);
    cws_op *op = cws_sandbox_get_status(mine, NULL);
    must_succeed(op);
    assert_int_equal(cws_op_int(op), CWS_STATUS_RUNNING);
    cws_op_unref(op);
    const char *tags[] = {tag};
    cws_list_options filter = {.tags = tags, .n_tags = 1};
    op = cws_list(NULL, NULL, &filter, NULL);
    must_succeed(op);
    assert_int_equal(cws_op_n_sandboxes(op), 1);
    char *id = cws_sandbox_id(mine), *listed = cws_sandbox_id(cws_op_sandbox(op, 0));
    assert_string_equal(id, listed);
    must_shell(cws_op_sandbox(op, 0), "echo through a listed handle",
               "through a listed handle\n");
    cws_op_unref(op);
    op = cws_from_id(NULL, NULL, id, 0, NULL);
    must_succeed(op);
    cws_sandbox *attached = cws_sandbox_ref(cws_op_sandbox(op, 0));
    cws_op_unref(op);
    must_finish(cws_delete(NULL, NULL, id, 0, 0, NULL));
    must_finish(cws_sandbox_wait_complete(
        attached, 0, 0, NULL)); /* it sees the end that another handle caused */
    op = cws_sandbox_wait_complete(mine, 0, 1, NULL);
    assert_int_equal(must_fail(op), CWS_E_TERMINATED);
    cws_op_unref(op);
    op = cws_from_id(NULL, NULL, "sb-does-not-exist", 0, NULL);
    assert_int_equal(must_fail(op), CWS_E_NOT_FOUND);
    cws_op_unref(op);
    free(id);
    free(listed);
    cws_sandbox_unref(attached);
    cws_sandbox_unref(mine);
}

static void test_a_follower_sees_lines_until_the_end(void **state)
{
    cws_options *o = cws_options_new(NULL);
    const char *args[] = {
        "-c", "echo first; while [ ! -e /tmp/go ]; do sleep 0.05; done; printf second"};
    assert_int_equal(cws_options_set_command(o, "/bin/sh", args, 2, NULL), 0);
    cws_sandbox *mine = cws_sandbox_run(NULL, o, NULL);
    cws_options_free(o);
    cws_reader *log = cws_sandbox_logs(mine, &(cws_log_options){.follow = 1}, NULL);
    cws_chunk c;
    assert_int_equal(cws_reader_read(log, LONG, &c, NULL), CWS_READ_DATA);
    assert_memory_equal(c.data, "first\n", c.size);
    cws_chunk_release(&c);
    assert_int_equal(cws_reader_read(log, 0, &c, NULL), CWS_READ_TIMEOUT);
    must_finish(cws_sandbox_write_file(mine, "/tmp/go", "", 0, 0, NULL));
    assert_int_equal(cws_reader_read(log, LONG, &c, NULL), CWS_READ_DATA);
    assert_int_equal(c.size, 6); /* the last line has no newline */
    cws_chunk_release(&c);
    assert_int_equal(cws_reader_read(log, LONG, &c, NULL), CWS_READ_END);
    cws_reader_unref(log);
    must_stop(mine);
}

/* ---- files ---- */

static uint8_t *pattern(size_t n)
{
    uint8_t *data = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
    return data;
}

static void test_files_of_all_sizes_come_back_unchanged(void **state)
{
    static const size_t sizes[] = {0, 1, 65536, 1000003, 20u << 20, 40u << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        uint8_t *data = pattern(sizes[i]);
        must_finish(cws_sandbox_write_file(sb, "/tmp/f", data, sizes[i], 0, NULL));
        cws_op *op = cws_sandbox_read_file(sb, "/tmp/f", 0, NULL);
        must_succeed(op);
        size_t n;
        const void *got = cws_op_data(op, &n);
        assert_int_equal(n, sizes[i]);
        assert_int_equal(n ? memcmp(got, data, n) : 0, 0);
        cws_op_unref(op);
        free(data);
    }
    must_shell(sb, "rm /tmp/f", "");
}

static void test_file_errors_say_which_and_why(void **state)
{
    static const struct {
        const char *path, *reason;
    } bad[] = {{"/no/such/file", "CWSANDBOX_FILE_NOT_FOUND"},
               {"/usr", "CWSANDBOX_FILE_IS_DIRECTORY"}};
    for (size_t i = 0; i < 2; i++) {
        cws_op *op = cws_sandbox_read_file(sb, bad[i].path, 0, NULL);
        assert_int_equal(must_fail(op), CWS_E_FILE);
        assert_string_equal(cws_error_reason(cws_op_error(op)), bad[i].reason);
        assert_string_equal(cws_error_filepath(cws_op_error(op)), bad[i].path);
        cws_op_unref(op);
        cws_reader *r = cws_sandbox_read_file_stream(sb, bad[i].path, 0, NULL);
        cws_chunk c;
        const cws_error *e = NULL;
        assert_int_equal(cws_reader_read(r, LONG, &c, &e), CWS_READ_ERROR);
        assert_int_equal(cws_error_get_kind(e), CWS_E_FILE);
        assert_string_equal(cws_error_reason(e), bad[i].reason);
        cws_reader_unref(r);
    }
    cws_writer *w = NULL;
    cws_op *op = cws_sandbox_write_file_stream(sb, "/etc/hosts/f", 0, &w, NULL);
    cws_op_unref(cws_writer_close(w, NULL));
    assert_int_equal(must_fail(op), CWS_E_FILE);
    assert_non_null(strstr(cws_error_message(cws_op_error(op)), "partial"));
    cws_writer_unref(w);
    cws_op_unref(op);
}

/* Whichever way a file takes: in one message, in a command because of its size, as a stream. */
static void test_missing_directories_are_made_however_a_file_is_written(void **state)
{
    static const size_t sizes[] = {3, 40u << 20};
    for (size_t i = 0; i < 2; i++) {
        uint8_t *data = pattern(sizes[i]);
        must_finish(cws_sandbox_write_file(sb, "/tmp/new/a b/-x/f", data, sizes[i], 0, NULL));
        free(data);
        char size[16];
        (void)snprintf(size, sizeof(size), "%zu 755\n", sizes[i]);
        must_shell(sb,
                   "cd '/tmp/new/a b' && echo $(stat -c %s ./-x/f) $(stat -c %a ./-x) && rm -r "
                   "/tmp/new",
                   size);
    }
    static const char *const paths[] = {"/tmp/new/sub/f", "/new-at-root"};
    for (size_t i = 0; i < 2; i++) {
        cws_writer *w = NULL;
        cws_op *op = cws_sandbox_write_file_stream(sb, paths[i], 0, &w, NULL);
        must_finish(cws_writer_write(w, "abc", 3, NULL));
        must_finish(cws_writer_close(w, NULL));
        cws_writer_unref(w);
        must_finish(op);
    }
    must_shell(sb, "cat /tmp/new/sub/f /new-at-root; rm -r /tmp/new /new-at-root", "abcabc");
}

static void test_streams_carry_large_files(void **state)
{
    enum { N = 60, PART = 1 << 20 };
    uint8_t *part = pattern(PART);
    cws_writer *w = NULL;
    cws_op *op = cws_sandbox_write_file_stream(sb, "/tmp/big", 0, &w, NULL);
    for (int i = 0; i < N; i++)
        must_finish(cws_writer_write(w, part, PART, NULL));
    must_finish(cws_writer_close(w, NULL));
    cws_writer_unref(w);
    must_finish(op);
    cws_reader *r = cws_sandbox_read_file_stream(sb, "/tmp/big", 0, NULL);
    size_t n = 0;
    cws_chunk c;
    const cws_error *e = NULL;
    cws_read_result result;
    while ((result = cws_reader_read(r, LONG, &c, &e)) == CWS_READ_DATA) {
        for (size_t i = 0; i < c.size; i++)
            if (c.data[i] != part[(n + i) % PART])
                fail_msg("byte %zu differs", n + i);
        n += c.size;
        cws_chunk_release(&c);
    }
    if (result != CWS_READ_END)
        fail_msg("read: %s", e ? cws_error_message(e) : "?");
    assert_int_equal(n, (size_t)N * PART);
    cws_reader_unref(r);
    free(part);
    must_shell(sb, "rm /tmp/big", "");
}

/* ---- load ---- */

static void *fifty_execs(void *arg)
{
    for (int i = 0; i < 50; i++) {
        char want[32], script[48];
        (void)snprintf(want, sizeof(want), "%p %d\n", arg, i);
        (void)snprintf(script, sizeof(script), "echo %p %d", arg, i);
        must_shell(sb, script, want);
    }
    return NULL;
}

static void test_eight_threads_run_fifty_execs_each(void **state)
{
    pthread_t threads[8];
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fifty_execs, (void *)(i + 1)), 0);
    for (size_t i = 0; i < 8; i++)
        (void)pthread_join(threads[i], NULL);
}

static void test_hundreds_of_execs_at_once(void **state)
{
    enum { N = 200 };
    cws_process *p[N];
    cws_op *ops[N];
    for (int i = 0; i < N; i++) {
        p[i] = must_exec(sb, ARGV("echo", "hi"), NULL);
        ops[i] = cws_process_op(p[i]);
    }
    unsigned char done[N];
    assert_int_equal(cws_wait(ops, N, 0, LONG, done), CWS_WAIT_DONE);
    for (int i = 0; i < N; i++) {
        must_succeed(ops[i]);
        size_t n;
        assert_string_equal(cws_process_output(p[i], CWS_STDOUT, &n), "hi\n");
        cws_process_unref(p[i]);
    }
}

static void test_sandboxes_start_and_stop_in_parallel(void **state)
{
    enum { N = 20 };
    cws_sandbox *many[N];
    cws_process *p[N];
    for (int i = 0; i < N; i++) {
        many[i] = cws_sandbox_new(NULL, NULL, NULL, NULL);
        p[i] = must_exec(many[i], ARGV("echo", "hi"),
                         NULL); /* create, then exec, without this thread */
    }
    cws_op *stops[N];
    for (int i = 0; i < N; i++) {
        must_succeed(cws_process_op(p[i]));
        stops[i] = cws_sandbox_stop(many[i], 0, 0, NULL);
        cws_process_unref(p[i]);
    }
    for (int i = 0; i < N; i++) {
        must_finish(stops[i]);
        cws_sandbox_unref(many[i]);
    }
}

static void test_two_clients_work_side_by_side(void **state)
{
    cws_client *other = cws_client_new(NULL);
    cws_sandbox *theirs = cws_sandbox_new(other, NULL, NULL, NULL);
    must_shell(theirs, "echo other", "other\n");
    must_shell(sb, "echo first", "first\n");
    cws_process *open = must_exec(theirs, ARGV("sleep", "1000"), NULL);
    must_finish(cws_sandbox_wait_running(theirs, 0, NULL));
    char *id = cws_sandbox_id(theirs);
    cws_client_unref(other); /* with a call in flight */
    assert_int_equal(must_fail(cws_process_op(open)), CWS_E_CLOSED);
    cws_process_unref(open);
    cws_sandbox_unref(theirs);
    must_shell(sb, "echo first", "first\n");
    must_finish(cws_delete(NULL, NULL, id, 0, 0, NULL));
    free(id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sandbox_is_what_its_options_say),
        cmocka_unit_test(test_status_list_attach_and_delete),
        cmocka_unit_test(test_a_follower_sees_lines_until_the_end),
        cmocka_unit_test(test_files_of_all_sizes_come_back_unchanged),
        cmocka_unit_test(test_file_errors_say_which_and_why),
        cmocka_unit_test(test_missing_directories_are_made_however_a_file_is_written),
        cmocka_unit_test(test_streams_carry_large_files),
        cmocka_unit_test(test_eight_threads_run_fifty_execs_each),
        cmocka_unit_test(test_hundreds_of_execs_at_once),
        cmocka_unit_test(test_sandboxes_start_and_stop_in_parallel),
        cmocka_unit_test(test_two_clients_work_side_by_side),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
