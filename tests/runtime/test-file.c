/* Files of a sandbox, and what is not a file. */
#include "harness.h"

#include <string.h>

#include "base/budget.h"
#include "runtime/file.h"
#include "runtime/plan.h"

static struct sandbox *ready_sandbox(struct world *w)
{
    struct sandbox *sb = world_create(w, "", NULL);
    wait_state(w, sb, SANDBOX_RUNNING);
    return sb;
}

static void assert_fault(struct err *err, enum err_code code, const char *reason,
                         const char *path)
{
    assert_int_equal(err->code, code);
    assert_non_null(err->reason);
    assert_string_equal(err->reason, reason);
    assert_string_equal(err_metadata(err, "filepath"), path);
    err_done(err);
}

static void sh(struct world *w, struct sandbox *sb, const char *script)
{
    CLEANUP_RUN struct run r = {0};
    run_sh(w, &r, sb, script);
    if (r.exit_code != 0)
        fail_msg("%s: exit %d: %.*s", script, r.exit_code, (int)buf_len(&r.err),
                 r.err.data ? (const char *)buf_head(&r.err) : "");
}

static void test_what_is_written_is_read_again_at_every_size(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    static const size_t sizes[] = {0, 1, 4096, 65536, 65537, 1 << 20, 32 << 20};
    CLEANUP_FREE uint8_t *data = malloc(32 << 20);
    (void)state;
    for (size_t i = 0; i < 32 << 20; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP_BUF struct buf content = {0};
        CLEANUP_ERR struct err err = {0};
        write_file(w, sb, "/tmp/new/dir/file", data, sizes[i], &err);
        assert_int_equal(err.code, ERR_OK);
        read_file(w, sb, "/tmp/new/dir/file", &content, &err);
        assert_int_equal(err.code, ERR_OK);
        assert_int_equal(buf_len(&content), sizes[i]);
        assert_true(sizes[i] == 0 || memcmp(buf_head(&content), data, sizes[i]) == 0);
    }
    sh(w, sb,
       "test \"$(stat -c %a /tmp/new/dir/file)\" = 644 && test \"$(stat -c %a /tmp/new)\" = "
       "755");
    world_close(w);
}

static void test_shorter_content_replaces_longer_and_keeps_the_mode(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_BUF struct buf content = {0};
    CLEANUP_ERR struct err err = {0};
    (void)state;
    sh(w, sb, "echo a long line of text > /tmp/f; chmod 600 /tmp/f; ln -s f /tmp/link");
    write_file(w, sb, "/tmp/link", "short", 5, &err);
    assert_int_equal(err.code, ERR_OK);
    sh(w, sb,
       "test \"$(cat /tmp/f)\" = short && test -L /tmp/link && test \"$(stat -c %a /tmp/f)\" = "
       "600");
    world_close(w);
}

static void test_files_over_the_cap_are_refused_with_both_sizes(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_BUF struct buf content = {0};
    CLEANUP_ERR struct err err = {0};
    size_t size = (32 << 20) + 1;
    CLEANUP_FREE uint8_t *data = calloc(1, size);
    (void)state;
    write_file(w, sb, "/tmp/f", data, size, &err);
    assert_string_equal(err_metadata(&err, "size_bytes"), "33554433");
    assert_string_equal(err_metadata(&err, "max_size_bytes"), "33554432");
    assert_fault(&err, ERR_RESOURCE_EXHAUSTED, "CWSANDBOX_FILE_TOO_LARGE", "/tmp/f");
    sh(w, sb, "! test -e /tmp/f; truncate -s 33554433 /tmp/f");
    read_file(w, sb, "/tmp/f", &content, &err);
    assert_string_equal(err_metadata(&err, "size_bytes"), "33554433");
    assert_fault(&err, ERR_RESOURCE_EXHAUSTED, "CWSANDBOX_FILE_TOO_LARGE", "/tmp/f");
    world_close(w);
}

static void test_everything_that_is_no_file_is_named(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    static const struct {
        const char *path;
        enum err_code read, write;
        const char *read_reason, *write_reason, *word;
    } rows[] = {
        {"/tmp/missing/../x", ERR_NOT_FOUND, ERR_OK, "CWSANDBOX_FILE_NOT_FOUND", NULL,
         "No such file"},
        {"/tmp/file/below", ERR_NOT_FOUND, ERR_NOT_FOUND, "CWSANDBOX_FILE_NOT_FOUND",
         "CWSANDBOX_FILE_NOT_FOUND", "Not a directory"},
        {"/tmp", ERR_FAILED_PRECONDITION, ERR_FAILED_PRECONDITION,
         "CWSANDBOX_FILE_IS_DIRECTORY", "CWSANDBOX_FILE_IS_DIRECTORY", "directory"},
        {"/tmp/fifo", ERR_INTERNAL, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED",
         "CWSANDBOX_FILE_IO_FAILED", "FIFO"},
        {"/tmp/loop", ERR_INTERNAL, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED",
         "CWSANDBOX_FILE_IO_FAILED", "symbolic links"},
        {"/dev/null", ERR_INTERNAL, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED",
         "CWSANDBOX_FILE_IO_FAILED", "device"},
        {"/proc/self/fd/3", ERR_INTERNAL, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED",
         "CWSANDBOX_FILE_IO_FAILED", ""},
    };
    (void)state;
    sh(w, sb, "mkfifo /tmp/fifo; ln -s loop /tmp/loop; touch /tmp/file");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_BUF struct buf content = {0};
        CLEANUP_ERR struct err err = {0};
        read_file(w, sb, rows[i].path, &content, &err);
        if (!strstr(err_text(&err), rows[i].word))
            fail_msg("%s: %s", rows[i].path, err_text(&err));
        assert_fault(&err, rows[i].read, rows[i].read_reason, rows[i].path);
        if (!rows[i].write_reason)
            continue;
        write_file(w, sb, rows[i].path, "x", 1, &err);
        if (err.code != rows[i].write)
            fail_msg("%s: %s", rows[i].path, err_text(&err));
        assert_fault(&err, rows[i].write, rows[i].write_reason, rows[i].path);
    }
    world_close(w);
}

static void test_files_of_proc_are_read_and_never_written(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_BUF struct buf content = {0};
    CLEANUP_ERR struct err err = {0};
    (void)state;
    read_file(w, sb, "/proc/cpuinfo", &content, &err);
    assert_int_equal(err.code, ERR_OK);
    assert_true(buf_len(&content) > 100);
    sh(w, sb, "ln -s /proc/1/oom_score_adj /tmp/out");
    write_file(w, sb, "/tmp/out", "1", 1, &err);
    assert_fault(&err, ERR_PERMISSION_DENIED, "CWSANDBOX_FILE_PERMISSION_DENIED", "/tmp/out");
    world_close(w);
}

static void test_relative_path_is_an_invalid_argument(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_BUF struct buf content = {0};
    CLEANUP_ERR struct err err = {0};
    (void)state;
    read_file(w, sb, "etc/passwd", &content, &err);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_int_equal(err.n_violations, 1);
    err_done(&err);
    write_file(w, sb, "", "x", 1, &err);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    world_close(w);
}

static void small_root(struct runtime_config *config)
{
    config->root_size_bytes = 8 << 20;
}

static void test_full_disk_leaves_the_old_content(void **state)
{
    struct world *w = world_open(small_root);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_BUF struct buf content = {0};
    CLEANUP_ERR struct err err = {0};
    size_t size = 16 << 20;
    CLEANUP_FREE uint8_t *data = calloc(1, size);
    (void)state;
    write_file(w, sb, "/root/f", "old content", 11, &err);
    assert_int_equal(err.code, ERR_OK);
    write_file(w, sb, "/root/f", data, size, &err);
    assert_non_null(strstr(err_text(&err), "No space left"));
    assert_fault(&err, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED", "/root/f");
    read_file(w, sb, "/root/f", &content, &err);
    assert_buf(&content, "old content");
    sh(w, sb, "head -c 4000000 /dev/zero > /root/g"); /* what was reserved was given back */
    world_close(w);
}

static void test_files_of_ended_sandbox_are_refused(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "true", NULL);
    CLEANUP_BUF struct buf content = {0};
    CLEANUP_ERR struct err err = {0};
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    read_file(w, sb, "/etc/passwd", &content, &err);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_non_null(strstr(err_text(&err), "COMPLETED"));
    world_close(w);
}

struct pending {
    bool done;
    enum err_code code;
};

static void on_pending(void *user, struct buf *take_content, const struct err *err)
{
    struct pending *p = user;
    (void)take_content;
    assert_false(p->done);
    p->done = true;
    p->code = err ? err->code : ERR_OK;
}

static void test_request_waits_for_creation_and_fails_with_it(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL), *stopped = world_create(w, "", NULL);
    struct pending a = {0}, b = {0};
    (void)state;
    sandbox_read_file(sb, "/etc/passwd", on_pending, &a);
    sandbox_read_file(stopped, "/etc/passwd", on_pending, &b);
    assert_false(a.done || b.done);
    sandbox_stop(stopped, 0, "test");
    world_wait(w, &a.done);
    world_wait(w, &b.done);
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(b.code, ERR_UNAVAILABLE);
    world_close(w);
}

static void test_many_requests_at_once_take_turns(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    struct pending all[3 * FILE_MAX_COPIES] = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        assert_non_null(sandbox_read_file(sb, "/etc/passwd", on_pending, &all[i]));
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        world_wait(w, &all[i].done);
        assert_int_equal(all[i].code, ERR_OK);
    }
    world_close(w);
}

static void test_a_read_is_paid_for_by_its_owner(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    struct budget_pool pool = {0};
    (void)state;
    run_sh(w, &r, sb, "head -c 300000 /dev/zero > /tmp/f");
    for (size_t more = 0; more < 2; more++) { /* at the cap, and with one byte too few */
        struct budget budget;
        struct pending p = {0};
        budget_init(&budget, 300000 - more, 300000 - more, &pool);
        file_call_charge(sandbox_read_file(sb, "/tmp/f", on_pending, &p), &budget);
        world_wait(w, &p.done);
        assert_int_equal(p.code, more ? ERR_RESOURCE_EXHAUSTED : ERR_OK);
        assert_int_equal(budget.used, 0);
    }
    world_close(w);
}

static void test_a_cancelled_read_holds_nothing_from_then_on(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    struct budget_pool pool = {0};
    struct budget budget;
    struct pending p = {0};
    (void)state;
    sh(w, sb, "truncate -s 32M /tmp/f");
    budget_init(&budget, 32 << 20, 32 << 20, &pool);
    struct file_call *call = sandbox_read_file(sb, "/tmp/f", on_pending, &p);
    file_call_charge(call, &budget);
    while (budget.used == 0)
        world_turn(w);
    assert_false(p.done);
    file_call_cancel(call);
    assert_int_equal(budget.used, 0); /* before anybody has heard of its copier's end */
    world_close(w);
}

static void test_as_many_files_as_may_be_mounted_are_mounted(void **state)
{
    struct world *w = world_open(NULL);
    static struct sandbox_file files[PLAN_MAX_FILES];
    static char paths[PLAN_MAX_FILES][32];
    struct sandbox_spec spec = {
        .owner = "me",
        .request_id = "",
        .image = "",
        .working_dir = "",
        .command = "sh",
        .args = (const char *const[]){"-c", "exit $(($(cat /m/* | wc -c) / 100))"},
        .n_args = 2,
        .files = files,
        .n_files = PLAN_MAX_FILES};
    (void)state;
    for (size_t i = 0; i < PLAN_MAX_FILES; i++) {
        (void)snprintf(paths[i], sizeof(paths[i]), "/m/%zu", i);
        files[i] =
            (struct sandbox_file){.path = paths[i], .content = (const uint8_t *)"x", .size = 1};
    }
    struct sandbox *sb = world_create_spec(w, &spec);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    assert_int_equal(info_of(sb).exit_code, PLAN_MAX_FILES / 100);
    world_close(w);
}

static void test_copy_that_hangs_keeps_nobody_waiting_and_can_be_cancelled(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w), *neighbour = ready_sandbox(w);
    struct pending hung = {0}, waiting = {0};
    struct run stopper = {0};
    const char *const argv[] = {"sh", "-c", "echo; while :; do kill -STOP -1; done 2>/dev/null",
                                NULL};
    struct process_spec spec = {.argv = argv, .n_argv = 3, .cwd = ""};
    CLEANUP_BUF struct buf content = {0};
    CLEANUP_ERR struct err err = {0};
    (void)state;
    sh(w, sb, "truncate -s 32M /tmp/f");
    run_start(&stopper, sb, &spec); /* stops every process that it sees, and so the copiers */
    while (stopper.n_outputs == 0)
        world_turn(w);
    struct file_call *call = sandbox_read_file(sb, "/tmp/f", on_pending, &hung);
    struct file_call *other = sandbox_read_file(sb, "/tmp/f", on_pending, &waiting);
    for (int i = 0; i < 20; i++) {
        buf_done(&content);
        read_file(w, neighbour, "/etc/passwd", &content, &err);
        assert_int_equal(err.code, ERR_OK);
    }
    assert_false(hung.done || waiting.done);
    file_call_cancel(call);
    file_call_cancel(other);
    run_done(&stopper);
    buf_done(&content);
    read_file(w, sb, "/etc/passwd", &content, &err);
    assert_int_equal(err.code, ERR_OK);
    assert_false(hung.done || waiting.done);
    world_close(w);
}

static void test_what_is_written_counts_as_memory_of_the_sandbox(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox_spec spec = {.owner = "me",
                                .request_id = "",
                                .image = "",
                                .command = "",
                                .working_dir = "",
                                .memory_bytes = 64 << 20};
    size_t size = 32 << 20, n = 0;
    CLEANUP_BUF struct buf content = {0};
    CLEANUP_ERR struct err err = {0};
    char path[32];
    (void)state;
    if (!runtime_features(w->rt)->limit_memory) {
        world_close(w);
        skip_because("no memory limit on this host, or for this user");
    }
    CLEANUP_FREE uint8_t *data = calloc(1, size);
    struct sandbox *sb = world_create_spec(w, &spec);
    wait_state(w, sb, SANDBOX_RUNNING);
    for (; n < 4 && err.code == ERR_OK; n++) {
        (void)snprintf(path, sizeof(path), "/tmp/f%zu", n);
        write_file(w, sb, path, data, size, &err);
    }
    assert_in_range(n, 2, 3);
    assert_fault(&err, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED", path);
    sh(w, sb, "rm /tmp/f?"); /* it lives, and the room is its own again */
    write_file(w, sb, "/tmp/again", data, size, &err);
    assert_int_equal(err.code, ERR_OK);
    world_close(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read_again_at_every_size),
        cmocka_unit_test(test_shorter_content_replaces_longer_and_keeps_the_mode),
        cmocka_unit_test(test_files_over_the_cap_are_refused_with_both_sizes),
        cmocka_unit_test(test_everything_that_is_no_file_is_named),
        cmocka_unit_test(test_files_of_proc_are_read_and_never_written),
        cmocka_unit_test(test_relative_path_is_an_invalid_argument),
        cmocka_unit_test(test_full_disk_leaves_the_old_content),
        cmocka_unit_test(test_files_of_ended_sandbox_are_refused),
        cmocka_unit_test(test_request_waits_for_creation_and_fails_with_it),
        cmocka_unit_test(test_many_requests_at_once_take_turns),
        cmocka_unit_test(test_a_read_is_paid_for_by_its_owner),
        cmocka_unit_test(test_a_cancelled_read_holds_nothing_from_then_on),
        cmocka_unit_test(test_as_many_files_as_may_be_mounted_are_mounted),
        cmocka_unit_test(test_copy_that_hangs_keeps_nobody_waiting_and_can_be_cancelled),
        cmocka_unit_test(test_what_is_written_counts_as_memory_of_the_sandbox),
    };
    if (become(argc, argv) < 0)
        return 77;
    cmocka_set_test_filter(getenv("CWS_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
