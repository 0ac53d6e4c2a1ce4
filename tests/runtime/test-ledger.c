/* What outlives a runtime: sandboxes that ended, their logs, their request ids. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char g_warning[1024];

static void *on_restore(void *user, const uint8_t *kept, size_t n)
{
    (void)user;
    return n > 0 ? strndup((const char *)kept, n) : NULL;
}

static void on_warning(void *user, const struct err *what)
{
    (void)user;
    (void)snprintf(g_warning, sizeof(g_warning), "%s", err_text(what));
}

static void keep(struct runtime_config *config)
{
    g_warning[0] = '\0';
    config->restore = on_restore;
    config->free_restored = free;
    config->on_warning = on_warning;
}

static struct sandbox *create(struct world *w, const char *request_id, const char *script)
{
    const char *args[] = {"-c", script};
    struct sandbox_spec spec = {.owner = "test",
                                .request_id = request_id,
                                .image = "",
                                .command = script ? "sh" : "",
                                .args = args,
                                .n_args = script ? 2 : 0,
                                .working_dir = "",
                                .memory_bytes = 0,
                                .lifetime_ns = 3600 * NS_PER_SEC,
                                .kept = (const uint8_t *)request_id,
                                .kept_bytes = strlen(request_id)};
    struct sandbox *sb = NULL;
    struct err err = {0};
    bool existing = false;
    if (sandbox_create(w->rt, &spec, strdup(request_id), free, &sb, &existing, &err) < 0)
        fail_msg("sandbox_create: %s", err_text(&err));
    assert_false(existing);
    return sb;
}

static struct sandbox *find(struct world *w, const char *id)
{
    struct err err = {0};
    struct sandbox *sb = sandbox_find(w->rt, "test", id, &err);
    if (!sb)
        fail_msg("%s", err_text(&err));
    return sb;
}

static void check_gone(struct world *w, const char *id)
{
    CLEANUP_ERR struct err err = {0};
    assert_null(sandbox_find(w->rt, "test", id, &err));
}

static size_t n_logs(struct world *w)
{
    char command[128], text[16] = "";
    (void)snprintf(command, sizeof(command), "ls %s/logs | wc -l", w->dir);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof(text), f));
    (void)pclose(f);
    return (size_t)atoi(text);
}

static void copy_id(char ret[static 64], struct sandbox *sb)
{
    (void)snprintf(ret, 64, "%s", info_of(sb).id);
}

static void test_ended_sandboxes_stay_readable_over_a_restart(void **state)
{
    struct world *w = world_open(keep);
    char ids[3][64];
    CLEANUP_BUF struct buf log = {0};
    struct log_spec spec = {0};
    struct sandbox_info before[3];

    struct sandbox *sb = create(w, "first", "echo one; echo two; exit 7");
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    copy_id(ids[0], sb);
    before[0] = info_of(sb);
    sb = create(w, "second", NULL);
    wait_state(w, sb, SANDBOX_RUNNING);
    sandbox_stop(sb, 0, "deleted by a client");
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    copy_id(ids[1], sb);
    before[1] = info_of(sb);
    sb = create(w, "third", NULL); /* alive when the service is told to end */
    wait_state(w, sb, SANDBOX_RUNNING);
    copy_id(ids[2], sb);
    before[2] = info_of(sb);

    for (int round = 0; round < 2;
         round++) { /* the second start reads what the first left alone */
        world_restart(w);
        for (int i = 0; i < 3; i++) {
            struct sandbox_info info = info_of(find(w, ids[i]));
            assert_int_equal(info.seq, before[i].seq);
            assert_int_equal(info.create_wall_ns, before[i].create_wall_ns);
            assert_int_equal(info.start_wall_ns, before[i].start_wall_ns);
            assert_int_equal(info.lifetime_ns, 3600 * NS_PER_SEC);
            assert_true(info.end_wall_ns >= info.start_wall_ns);
        }
        struct sandbox_info info = info_of(find(w, ids[0]));
        assert_int_equal(info.state, SANDBOX_COMPLETED);
        assert_true(info.has_exit_code);
        assert_int_equal(info.exit_code, 7);
        assert_string_equal(info.user_data, "first");
        buf_clear(&log);
        read_log(w, find(w, ids[0]), &spec, &log);
        assert_buf(&log, "one\ntwo\n");
        info = info_of(find(w, ids[1]));
        assert_int_equal(info.state, SANDBOX_TERMINATED);
        assert_string_equal(info.state_reason, "deleted by a client");
        info = info_of(find(w, ids[2]));
        assert_int_equal(info.state, SANDBOX_TERMINATED);
        assert_string_equal(info.state_reason, "the service is shutting down");
        assert_int_equal(runtime_n_active(w->rt), 0);
    }
    assert_string_equal(g_warning, "");
    world_close(w);
}

static void test_request_id_finds_its_sandbox_after_a_restart(void **state)
{
    struct world *w = world_open(keep);
    char id[64];
    struct sandbox *sb = create(w, "again", "exit 0");
    (void)wait_terminal(w, sb);
    copy_id(id, sb);
    uint64_t seq = info_of(sb).seq;
    world_restart(w);
    struct sandbox_spec spec = {
        .owner = "test", .request_id = "again", .image = "", .command = "", .working_dir = ""};
    struct err err = {0};
    bool existing = false;
    assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &sb, &existing, &err), 0);
    assert_true(existing);
    assert_string_equal(info_of(sb).id, id);
    spec.owner = "other"; /* somebody else's word for something else */
    spec.kept = (const uint8_t *)"x";
    spec.kept_bytes = 1;
    assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &sb, &existing, &err), 0);
    assert_false(existing);
    assert_true(info_of(sb).seq > seq);
    world_close(w);
}

static void forget_soon(struct runtime_config *config)
{
    keep(config);
    config->retention_ns = NS_PER_MS;
}

static void test_what_was_kept_long_enough_is_forgotten_by_the_next_start(void **state)
{
    struct world *w = world_open(keep);
    char id[64];
    struct sandbox *sb = create(w, "old", "echo x");
    (void)wait_terminal(w, sb);
    copy_id(id, sb);
    forget_soon(&w->config);
    world_restart(w);
    check_gone(w, id);
    world_restart(w); /* for the removal of the file, which another thread does */
    assert_int_equal(n_logs(w), 0);
    world_close(w);
}

static void test_record_that_means_nothing_to_the_service_is_reported(void **state)
{
    struct world *w = world_open(keep);
    char id[64];
    struct sandbox *sb = create(w, "", "echo x"); /* restore says no to nothing kept */
    (void)wait_terminal(w, sb);
    copy_id(id, sb);
    world_restart(w);
    check_gone(w, id);
    assert_non_null(strstr(g_warning, id));
    assert_non_null(strstr(g_warning, "set aside"));
    assert_int_equal(n_logs(w), 0);
    world_close(w);
}

/* In a process of its own: creates, tells the id, and waits to be killed. */
static void serve_until_killed(struct world *w, int pipe_fd)
{
    char ids[2][64] = {0};
    if (uv_loop_fork(&w->loop) < 0)
        _exit(1);
    world_start(w);
    struct sandbox *done = create(w, "done", "echo said; exit 5");
    (void)wait_terminal(w, done);
    struct sandbox *alive = create(w, "alive", "echo begun; sleep 1000");
    wait_state(w, alive, SANDBOX_RUNNING);
    copy_id(ids[0], done);
    copy_id(ids[1], alive);
    if (write(pipe_fd, ids, sizeof(ids)) != sizeof(ids))
        _exit(1);
    for (;;)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

static void test_killed_service_leaves_true_records(void **state)
{
    struct world *w = world_open(keep);
    char ids[2][64];
    int fds[2], status;
    CLEANUP_BUF struct buf log = {0};
    struct log_spec spec = {0};
    world_stop(w);
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        serve_until_killed(w, fds[1]);
    assert_int_equal(read(fds[0], ids, sizeof(ids)), sizeof(ids));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(fds[0]);
    (void)close(fds[1]);
    world_start(w);
    struct sandbox_info info = info_of(find(w, ids[0]));
    assert_int_equal(info.state, SANDBOX_COMPLETED);
    assert_int_equal(info.exit_code, 5);
    read_log(w, find(w, ids[0]), &spec, &log);
    assert_buf(&log, "said\n");
    info = info_of(find(w, ids[1]));
    assert_int_equal(info.state, SANDBOX_FAILED);
    assert_false(info.has_exit_code);
    assert_non_null(strstr(info.state_reason, "the service was killed"));
    assert_string_equal(info.user_data, "alive");
    world_close(w);
}

static void test_full_disk_refuses_a_sandbox_by_name(void **state)
{
    struct world *w = world_open(keep);
    struct err err = {0};
    struct sandbox *sb = NULL;
    bool existing;
    int r = 0, n = 0;
    world_stop(w);
    if (mount("ledger-test", w->dir, "tmpfs", 0, "size=32k,mode=700") < 0) {
        world_start(w);
        world_close(w);
        skip_because("may not mount");
    }
    world_start(w);
    struct sandbox_spec spec = {.owner = "test",
                                .request_id = "",
                                .image = "",
                                .command = "",
                                .working_dir = "",
                                .kept = (const uint8_t *)"k",
                                .kept_bytes = 1};
    while (r == 0 && n++ < 20)
        r = sandbox_create(w->rt, &spec, NULL, NULL, &sb, &existing, &err);
    assert_int_equal(r, -1);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(err_text(&err), "/ledger/records: No space left on device"));
    assert_int_equal(runtime_n_active(w->rt), n - 1);
    sb = sandbox_next(w->rt, NULL);
    wait_state(w, sb, SANDBOX_RUNNING);
    sandbox_stop(sb, 0, "make room"); /* what there is goes on: its end is recorded */
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    assert_string_equal(g_warning, "");
    err_done(&err);
    world_stop(w);
    assert_int_equal(umount(w->dir), 0);
    world_start(w);
    world_close(w);
}

static void test_newer_ledger_stops_the_start_before_anything_runs(void **state)
{
    struct world *w = world_open(keep);
    struct err err = {0};
    char path[128];
    struct sandbox *sb = create(w, "kept", "exit 0");
    (void)wait_terminal(w, sb);
    world_stop(w);
    (void)snprintf(path, sizeof(path), "%s/ledger/records", w->dir);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, 16, SEEK_SET), 0);
    assert_int_equal(fputc(9, f), 9);
    assert_int_equal(fclose(f), 0);
    world_launch(w);
    assert_int_equal(runtime_new(&w->loop, &w->config, &w->rt, &err), -1);
    assert_int_equal(waitpid(w->launch_pid, NULL, 0), w->launch_pid);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_non_null(strstr(err_text(&err), path));
    err_done(&err);
    assert_int_equal(unlink(path), 0);
    world_start(w);
    world_close(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ended_sandboxes_stay_readable_over_a_restart),
        cmocka_unit_test(test_request_id_finds_its_sandbox_after_a_restart),
        cmocka_unit_test(test_what_was_kept_long_enough_is_forgotten_by_the_next_start),
        cmocka_unit_test(test_record_that_means_nothing_to_the_service_is_reported),
        cmocka_unit_test(test_killed_service_leaves_true_records),
        cmocka_unit_test(test_full_disk_refuses_a_sandbox_by_name),
        cmocka_unit_test(test_newer_ledger_stops_the_start_before_anything_runs),
    };
    if (become(argc, argv) < 0)
        return 77;
    cmocka_set_test_filter(getenv("CWS_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
