/* The life of sandboxes: creation, ends of every kind. */
#include "harness.h"

#include <signal.h>
#include <string.h>

static const char *const sleep_args[] = {"infinity", NULL};

static struct sandbox_spec base_spec(void)
{
    return (struct sandbox_spec){
        .owner = "test", .request_id = "", .image = "", .command = "", .working_dir = ""};
}

static struct sandbox *create_sh(struct world *w, const char *script)
{
    return world_create(w, "sh", (const char *const[]){"-c", script, NULL});
}

static void test_main_process_ends_the_sandbox_with_its_exit_code(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "echo hello; echo problem >&2; exit 3");
    CLEANUP_BUF struct buf log = {0};
    struct log_spec spec = {0};
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    struct sandbox_info info = info_of(sb);
    assert_true(info.has_exit_code);
    assert_int_equal(info.exit_code, 3);
    assert_true(info.start_wall_ns >= info.create_wall_ns &&
                info.end_wall_ns >= info.start_wall_ns);
    read_log(w, sb, &spec, &log);
    assert_buf(&log, "hello\nproblem\n");
    world_close(w);
}

static void test_missing_main_command_completes_with_127_and_says_so(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "no-such-command", NULL);
    CLEANUP_BUF struct buf log = {0};
    struct log_spec spec = {0};
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    assert_int_equal(info_of(sb).exit_code, 127);
    read_log(w, sb, &spec, &log);
    assert_buf(&log, "no-such-command: command not found\n");
    world_close(w);
}

static void test_files_are_there_before_the_main_process(void **state)
{
    struct world *w = world_open(NULL);
    CLEANUP_FREE uint8_t *big = calloc(1, 1 << 20);
    const struct sandbox_file files[] = {
        {"/workspace/deep/a.txt", (const uint8_t *)"alpha\n", 6},
        {"/tmp/empty", NULL, 0},
        {"/big", big, 1 << 20}};
    struct sandbox_spec spec = base_spec();
    CLEANUP_BUF struct buf log = {0};
    struct log_spec all = {0};
    const char *const args[] = {
        "-c", "cat /workspace/deep/a.txt; stat -c '%a %s' /workspace/deep/a.txt /tmp/empty "
              "/big; stat -c %a /workspace/deep"};
    (void)state;
    spec.files = files;
    spec.n_files = 3;
    spec.command = "sh";
    spec.args = args;
    spec.n_args = 2;
    struct sandbox *sb = world_create_spec(w, &spec);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    read_log(w, sb, &all, &log);
    assert_buf(&log, "alpha\n444 6\n444 0\n444 1048576\n755\n");
    world_close(w);
}

static void test_bad_specifications_are_invalid_arguments(void **state)
{
    struct world *w = world_open(NULL);
    const struct sandbox_file relative = {"a.txt", NULL, 0}, root = {"/", NULL, 0};
    const struct sandbox_file twice[] = {{"/a", NULL, 0}, {"/a", NULL, 0}};
    const struct string_pair env = {"A=B", ""};
    const char *const arg = ""; /* a command without a name */
    struct sandbox_spec specs[6];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(specs); i++)
        specs[i] = base_spec();
    specs[0].files = &relative, specs[0].n_files = 1;
    specs[1].files = &root, specs[1].n_files = 1;
    specs[2].files = twice, specs[2].n_files = 2;
    specs[3].env = &env, specs[3].n_env = 1;
    specs[4].args = &arg, specs[4].n_args = 1;
    specs[5].working_dir = "rel";
    for (size_t i = 0; i < ARRAY_SIZE(specs); i++) {
        struct sandbox *sb = NULL;
        struct err err = {0};
        bool existing;
        assert_int_equal(sandbox_create(w->rt, &specs[i], NULL, NULL, &sb, &existing, &err),
                         -1);
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        assert_int_equal(err.n_violations, 1);
        err_done(&err);
    }
    assert_int_equal(runtime_n_active(w->rt), 0);
    world_close(w);
}

static void test_unknown_image_fails_with_its_name(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox_spec spec = base_spec();
    (void)state;
    spec.image = "no/such:image";
    struct sandbox *sb = world_create_spec(w, &spec);
    assert_int_equal(info_of(sb).state, SANDBOX_FAILED);
    assert_non_null(strstr(info_of(sb).state_reason, "no/such:image"));
    world_close(w);
}

static void with_alias(struct runtime_config *config)
{
    static const struct image_alias alias = {"python:*", "host"};
    config->image_aliases = &alias;
    config->n_image_aliases = 1;
}

static void test_aliased_image_runs_as_its_target(void **state)
{
    struct world *w = world_open(with_alias);
    struct sandbox_spec spec = base_spec();
    (void)state;
    spec.image = "python:3.11";
    struct sandbox *sb = world_create_spec(w, &spec);
    wait_state(w, sb, SANDBOX_RUNNING);
    assert_string_equal(info_of(sb).image, "host");
    world_close(w);
}

static void test_same_request_id_gives_the_same_sandbox(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox_spec spec = base_spec();
    struct sandbox *sb[3] = {0};
    bool existing[3];
    (void)state;
    spec.request_id = "r1";
    assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &sb[0], &existing[0], NULL), 0);
    assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &sb[1], &existing[1], NULL), 0);
    spec.owner = "other";
    assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &sb[2], &existing[2], NULL), 0);
    assert_ptr_equal(sb[0], sb[1]);
    assert_ptr_not_equal(sb[0], sb[2]);
    assert_false(existing[0]);
    assert_true(existing[1]);
    assert_false(existing[2]);
    wait_state(w, sb[0], SANDBOX_RUNNING);
    world_close(w);
}

static void test_find_needs_the_owner(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    struct err err = {0};
    (void)state;
    assert_ptr_equal(sandbox_find(w->rt, "test", info_of(sb).id, &err), sb);
    assert_null(sandbox_find(w->rt, "other", info_of(sb).id, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_string_equal(err.reason, "CWSANDBOX_SANDBOX_NOT_FOUND");
    err_done(&err);
    world_close(w);
}

static void test_iteration_is_in_order_of_creation(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb[5];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sb); i++)
        sb[i] = world_create(w, "", NULL);
    struct sandbox *at = NULL;
    for (size_t i = 0; i < ARRAY_SIZE(sb); i++) {
        at = sandbox_next(w->rt, at);
        assert_ptr_equal(at, sb[i]);
    }
    assert_null(sandbox_next(w->rt, at));
    assert_ptr_equal(sandbox_after(w->rt, info_of(sb[1]).seq), sb[2]);
    for (size_t i = 0; i < ARRAY_SIZE(sb); i++)
        wait_state(w, sb[i], SANDBOX_RUNNING);
    world_close(w);
}

/* ---- stopping ---- */

static void test_stop_asks_politely_first(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb =
        create_sh(w, "trap 'echo asked; exit 0' TERM; echo up; sleep 1000 & wait");
    CLEANUP_BUF struct buf log = {0};
    struct log_spec spec = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    while (buf_len(&log) == 0)
        read_log(w, sb, &spec, &log);
    sandbox_stop(sb, 10 * NS_PER_SEC, "test");
    assert_int_equal(info_of(sb).state, SANDBOX_TERMINATING);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    assert_string_equal(info_of(sb).state_reason, "test");
    buf_clear(&log);
    read_log(w, sb, &spec, &log);
    assert_buf(&log, "up\nasked\n");
    world_close(w);
}

static void test_default_action_of_sigterm_ends_a_sleeping_main_process(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "sleep", sleep_args);
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    uint64_t start = clock_now_ns();
    sandbox_stop(sb, 10 * NS_PER_SEC, "test");
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    assert_true(clock_now_ns() - start < 5 * NS_PER_SEC);
    world_close(w);
}

static void test_process_that_ignores_sigterm_is_killed_after_the_grace(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "trap '' TERM; echo up; while :; do sleep 1000; done");
    CLEANUP_BUF struct buf log = {0};
    struct log_spec spec = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    while (buf_len(&log) == 0)
        read_log(w, sb, &spec, &log);
    uint64_t start = clock_now_ns();
    sandbox_stop(sb, 200 * NS_PER_MS, "test");
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    uint64_t took = clock_now_ns() - start;
    assert_true(took >= 190 * NS_PER_MS && took < 5 * NS_PER_SEC);
    world_close(w);
}

static void test_shorter_grace_shortens_a_stop_under_way(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "trap '' TERM; echo up; while :; do sleep 1000; done");
    CLEANUP_BUF struct buf log = {0};
    struct log_spec spec = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    while (buf_len(&log) == 0)
        read_log(w, sb, &spec, &log);
    sandbox_stop(sb, 3600 * NS_PER_SEC, "first");
    sandbox_stop(sb, 7200 * NS_PER_SEC, "second");
    sandbox_stop(sb, 10 * NS_PER_MS, "third");
    sandbox_stop(sb, 0, "fourth");
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    assert_string_equal(info_of(sb).state_reason, "first");
    sandbox_stop(sb, 0, "after the end");
    world_close(w);
}

static void without_pool(struct runtime_config *config)
{
    config->warm_pool = 0;
}

static void test_stop_while_creating_terminates(void **state)
{
    struct world *w = world_open(without_pool);
    struct sandbox *sb[12];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sb); i++) /* some at launch, some still queued */
        sb[i] = world_create(w, "sleep", sleep_args);
    for (size_t i = 0; i < ARRAY_SIZE(sb); i++) {
        sandbox_stop(sb[i], i % 2 * NS_PER_SEC, "test");
        assert_true(info_of(sb[i]).state == SANDBOX_TERMINATING ||
                    info_of(sb[i]).state == SANDBOX_TERMINATED);
    }
    for (size_t i = 0; i < ARRAY_SIZE(sb); i++)
        assert_int_equal(wait_terminal(w, sb[i]), SANDBOX_TERMINATED);
    world_close(w);
}

static void short_life(struct runtime_config *config)
{
    config->default_lifetime_ns = 100 * NS_PER_MS;
}

static void test_lifetime_ends_a_sandbox_as_terminated(void **state)
{
    struct world *w = world_open(short_life);
    struct sandbox *sb = world_create(w, "", NULL);
    struct sandbox *with_main = world_create(w, "sleep", sleep_args);
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    assert_int_equal(wait_terminal(w, with_main), SANDBOX_TERMINATED);
    assert_string_equal(info_of(sb).state_reason, "lifetime ended");
    world_close(w);
}

/* ---- things that die ---- */

static void test_death_of_init_fails_the_sandbox_with_a_reason(void **state)
{
    struct world *w = world_open(without_pool);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run r = {0};
    const char *const argv[] = {"sh", "-c", "echo up; sleep 1000"};
    struct process_spec spec = {.argv = argv, .n_argv = 3, .cwd = ""};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    run_start(&r, sb, &spec);
    while (buf_len(&r.out) == 0)
        world_turn(w);
    int init = pid_below(pid_below((int)getpid(), "cwsandbox-launc"), "");
    assert_true(init > 0);
    assert_int_equal(kill(init, SIGKILL), 0);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_FAILED);
    assert_string_equal(info_of(sb).state_reason, "the sandbox's init was killed by signal 9");
    run_wait(w, &r);
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    world_close(w);
}

static void test_blank_that_died_is_replaced(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    sandbox_stop(sb, 0, "make room to find the blank");
    assert_int_equal(wait_terminal(w, sb), SANDBOX_TERMINATED);
    int launch = pid_below((int)getpid(), "cwsandbox-launc"), blank;
    while ((blank = pid_below(launch, "")) == 0)
        world_turn(w);
    assert_int_equal(kill(blank, SIGKILL), 0);
    sb = world_create(w, "",
                      NULL); /* maybe still the dead one: then it fails, and the next is fine */
    (void)sandbox_ref(sb);
    while (info_of(sb).state != SANDBOX_RUNNING && info_of(sb).state != SANDBOX_FAILED)
        world_turn(w);
    sandbox_unref(sb);
    sb = world_create(w, "", NULL);
    wait_state(w, sb, SANDBOX_RUNNING);
    world_close(w);
}

static void test_death_of_launch_ends_everything(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "sleep", sleep_args);
    struct sandbox *stopped =
        world_create(w, "sh", (const char *const[]){"-c", "trap '' TERM; sleep 1000", NULL});
    struct sandbox_spec spec = base_spec();
    struct sandbox *late = NULL;
    struct err err = {0};
    bool existing;
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    wait_state(w, stopped, SANDBOX_RUNNING);
    sandbox_stop(stopped, 3600 * NS_PER_SEC, "test");
    assert_int_equal(kill(pid_below((int)getpid(), "cwsandbox-launc"), SIGKILL), 0);
    world_wait(w, &w->lost);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_FAILED);
    assert_non_null(strstr(info_of(sb).state_reason, "cwsandbox-launch closed its connection"));
    assert_int_equal(wait_terminal(w, stopped), SANDBOX_TERMINATED);
    assert_int_equal(sandbox_create(w->rt, &spec, NULL, NULL, &late, &existing, &err), -1);
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    err_done(&err);
    world_close_lost(w);
}

/* ---- many ---- */

static void test_watch_sees_the_way_to_the_end(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox_watch never = {0};
    struct sandbox *sb = world_create(w, "true", NULL);
    (void)state;
    sandbox_watch_remove(&never);
    (void)sandbox_ref(sb);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    sandbox_unref(sb);
    world_close(w);
}

static void test_burst_of_creations_all_run(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb[40];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sb); i++)
        sb[i] = world_create(w, "", NULL);
    for (size_t i = 0; i < ARRAY_SIZE(sb); i++)
        wait_state(w, sb[i], SANDBOX_RUNNING);
    assert_int_equal(runtime_n_active(w->rt), ARRAY_SIZE(sb));
    world_close(w); /* with all of them alive */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_main_process_ends_the_sandbox_with_its_exit_code),
        cmocka_unit_test(test_missing_main_command_completes_with_127_and_says_so),
        cmocka_unit_test(test_files_are_there_before_the_main_process),
        cmocka_unit_test(test_bad_specifications_are_invalid_arguments),
        cmocka_unit_test(test_unknown_image_fails_with_its_name),
        cmocka_unit_test(test_aliased_image_runs_as_its_target),
        cmocka_unit_test(test_same_request_id_gives_the_same_sandbox),
        cmocka_unit_test(test_find_needs_the_owner),
        cmocka_unit_test(test_iteration_is_in_order_of_creation),
        cmocka_unit_test(test_stop_asks_politely_first),
        cmocka_unit_test(test_default_action_of_sigterm_ends_a_sleeping_main_process),
        cmocka_unit_test(test_process_that_ignores_sigterm_is_killed_after_the_grace),
        cmocka_unit_test(test_shorter_grace_shortens_a_stop_under_way),
        cmocka_unit_test(test_stop_while_creating_terminates),
        cmocka_unit_test(test_lifetime_ends_a_sandbox_as_terminated),
        cmocka_unit_test(test_death_of_init_fails_the_sandbox_with_a_reason),
        cmocka_unit_test(test_blank_that_died_is_replaced),
        cmocka_unit_test(test_watch_sees_the_way_to_the_end),
        cmocka_unit_test(test_burst_of_creations_all_run),
        cmocka_unit_test(test_death_of_launch_ends_everything),
    };
    if (become(argc, argv) < 0)
        return 77;
    cmocka_set_test_filter(getenv("CWS_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
