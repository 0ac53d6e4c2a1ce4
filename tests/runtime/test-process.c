/* Processes: output, input, exit codes, killing, terminals. */
#include "harness.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static struct sandbox *ready_sandbox(struct world *w)
{
    struct sandbox *sb = world_create(w, "", NULL);
    wait_state(w, sb, SANDBOX_RUNNING);
    return sb;
}

static void start_sh(struct run *r, struct sandbox *sb, const char *script, bool want_stdin)
{
    const char *const argv[] = {"sh", "-c", script};
    struct process_spec spec = {.argv = argv, .n_argv = 3, .cwd = "", .want_stdin = want_stdin};
    run_start(r, sb, &spec);
}

static void wait_output(struct world *w, struct run *r, size_t n)
{
    while (buf_len(&r->out) + buf_len(&r->err) < n) {
        assert_false(r->ended);
        world_turn(w);
    }
}

static void test_output_is_exact_and_in_order(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    char line[16];
    size_t at = 0;
    (void)state;
    run_sh(w, &r, sb, "i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done");
    assert_int_equal(r.exit_code, 0);
    for (int i = 0; i < 20000; i++) {
        size_t n = (size_t)snprintf(line, sizeof(line), "line-%d\n", i);
        assert_true(at + n <= buf_len(&r.out));
        assert_memory_equal(buf_head(&r.out) + at, line, n);
        at += n;
    }
    assert_int_equal(at, buf_len(&r.out));
    world_close(w);
}

static void test_each_write_is_one_output(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    /* The next line is written only after the one before was seen: nothing waits for a timer or
     * for more. */
    start_sh(&r, sb, "while read line; do echo got $line; done", true);
    for (size_t i = 1; i <= 10; i++) {
        assert_int_equal(process_write(r.p, (const uint8_t *)"x\n", 2), 0);
        wait_output(w, &r, i * 6);
        assert_int_equal(r.n_outputs, i);
    }
    process_close_stdin(r.p);
    run_wait(w, &r);
    assert_int_equal(r.exit_code, 0);
    world_close(w);
}

static void test_standard_streams_can_be_opened_by_name(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    run_sh(w, &r, sb, "echo o > /dev/stdout; echo e > /dev/stderr; cat /dev/stdin | wc -c");
    assert_buf(&r.err, "e\n");
    assert_buf(&r.out, "o\n0\n");
    world_close(w);
}

static void test_failures_to_start_speak_like_a_shell(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    static const struct {
        const char *name, *cwd, *text;
        int exit_code;
    } rows[] = {
        {"no-such-command", "", "no-such-command: command not found\n", 127},
        {"/no/such", "", "/no/such: No such file or directory\n", 127},
        {"/etc", "", "/etc: Permission denied\n", 126},
        {"/etc/passwd", "", "/etc/passwd: Permission denied\n", 126},
        {"true", "/no/dir", "cd: /no/dir: No such file or directory\n", 1},
        {"true", "/etc/passwd", "cd: /etc/passwd: Not a directory\n", 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_RUN struct run r = {0};
        struct process_spec spec = {.argv = &rows[i].name, .n_argv = 1, .cwd = rows[i].cwd};
        run_start(&r, sb, &spec);
        run_wait(w, &r);
        assert_false(r.failed);
        assert_true(r.ready);
        assert_buf(&r.err, rows[i].text);
        assert_int_equal(r.exit_code, rows[i].exit_code);
    }
    world_close(w);
}

static void test_death_by_signal_is_128_plus_its_number(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    run_sh(w, &r, sb, "kill -TERM $$");
    assert_int_equal(r.exit_code, 128 + SIGTERM);
    world_close(w);
}

static void test_environment_of_process_wins_over_sandbox_and_defaults(void **state)
{
    struct world *w = world_open(NULL);
    static const struct string_pair sandbox_env[] = {
        {"A", "sandbox"}, {"B", "sandbox"}, {"HOME", "/tmp"}};
    static const struct string_pair process_env[] = {{"B", "process"}, {"C", "a=b"}};
    struct sandbox_spec spec = {.owner = "test",
                                .request_id = "",
                                .image = "",
                                .command = "",
                                .working_dir = "/var",
                                .env = sandbox_env,
                                .n_env = 3};
    struct sandbox *sb = world_create_spec(w, &spec);
    CLEANUP_RUN struct run r = {0};
    char text[256];
    const char *const argv[] = {"sh", "-c",
                                "echo $A $B $C $HOME${LANG-} $HOSTNAME $(hostname) $PWD"};
    struct process_spec p = {
        .argv = argv, .n_argv = 3, .cwd = "", .env = process_env, .n_env = 2};
    (void)state;
    run_start(&r, sb, &p); /* before the sandbox runs: waits for it */
    run_wait(w, &r);
    (void)snprintf(text, sizeof(text), "sandbox process a=b /tmp %s %s /var\n", info_of(sb).id,
                   info_of(sb).id);
    assert_buf(&r.out, text);
    world_close(w);
}

static void test_long_argument_lists_arrive(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    CLEANUP_FREE char *big = malloc(100001);
    (void)state;
    memset(big, 'x', 100000);
    big[100000] = '\0';
    run_argv(w, &r, sb, (const char *const[]){"printf", "%s%s%s", big, big, big, NULL});
    assert_int_equal(r.exit_code, 0);
    assert_int_equal(buf_len(&r.out), 300000);
    world_close(w);
}

static void test_too_long_arguments_are_refused(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    CLEANUP_FREE char *big = malloc(5 << 20);
    const char *argv[] = {"true", big};
    struct process_spec spec = {.argv = argv, .n_argv = 2, .cwd = ""};
    static const struct process_events events;
    struct process *p = NULL;
    (void)state;
    memset(big, 'x', 5 << 20);
    big[(5 << 20) - 1] = '\0';
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(process_start(sb, &spec, &events, NULL, &p, &err), -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    big[EXEC_MAX_STRING] = '\0';
    assert_int_equal(process_start(sb, &spec, &events, NULL, &p, NULL), -1);
    big[EXEC_MAX_STRING - 1] = '\0';
    run_start(&r, sb, &spec);
    run_wait(w, &r);
    assert_int_equal(r.exit_code, 0);
    world_close(w);
}

static void test_empty_command_is_invalid(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    static const struct process_events events;
    struct process_spec spec = {.cwd = ""};
    struct err err = {0};
    struct process *p = NULL;
    (void)state;
    assert_int_equal(process_start(sb, &spec, &events, NULL, &p, &err), -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    assert_int_equal(err.n_violations, 1);
    err_done(&err);
    world_close(w);
}

static void test_input_arrives_whole_before_its_end(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    CLEANUP_FREE uint8_t *data = malloc(4 << 20);
    (void)state;
    for (size_t i = 0; i < 4 << 20; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 24);
    start_sh(&r, sb, "cat", true);
    for (size_t at = 0; at < 4 << 20; at += 65536)
        assert_int_equal(process_write(r.p, data + at, 65536), 0);
    assert_true(process_stdin_queued(r.p) > 0);
    process_close_stdin(r.p);
    run_wait(w, &r);
    assert_int_equal(r.exit_code, 0);
    assert_int_equal(buf_len(&r.out), 4 << 20);
    assert_memory_equal(buf_head(&r.out), data, 4 << 20);
    world_close(w);
}

static void test_input_after_the_process_closed_it_is_dropped(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    start_sh(&r, sb, "exec 0<&-; echo closed; sleep 0.05; exit 4", true);
    wait_output(w, &r, 7);
    for (int i = 0; i < 100; i++)
        assert_int_equal(process_write(r.p, (const uint8_t *)"0123456789", 10), 0);
    assert_int_equal(process_stdin_queued(r.p), 0);
    run_wait(w, &r);
    assert_int_equal(r.exit_code, 4);
    world_close(w);
}

static long rss_kib(void)
{
    CLEANUP_FREE char *text = NULL;
    assert_int_equal(file_read("/proc/self/statm", 4096, &text, NULL), 0);
    return atol(strchr(text, ' ')) * (sysconf(_SC_PAGESIZE) / 1024);
}

static void test_output_nobody_reads_blocks_the_process_and_costs_no_memory(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {.hold = true};
    CLEANUP_RUN struct run look = {0};
    (void)state;
    start_sh(&r, sb, "head -c 104857600 /dev/zero; echo done > /tmp/done", false);
    wait_output(w, &r, 1);
    long before = rss_kib();
    run_sh(w, &look, sb,
           "sleep 0.3; ls /tmp/done"); /* time enough to write 100 MiB, were it not blocked */
    assert_true(look.exit_code != 0);
    assert_int_equal(r.n_outputs, 1);
    assert_false(r.ended);
    assert_true(rss_kib() - before < 8 * 1024);
    size_t total = buf_len(&r.out);
    buf_clear(&r.out);
    while (!r.ended) {
        process_resume_output(r.p);
        world_turn(w);
        total += buf_len(&r.out);
        buf_clear(&r.out);
    }
    assert_int_equal(r.exit_code, 0);
    assert_int_equal(total, 104857600);
    world_close(w);
}

static void test_exit_waits_for_a_paused_reader(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {.hold = true};
    CLEANUP_RUN struct run other = {0};
    (void)state;
    run_sh(w, &other, sb, "mkfifo /tmp/fifo");
    run_done(&other);
    start_sh(&r, sb, "echo one; read x < /tmp/fifo; echo two; echo three >&2; exit 5", false);
    wait_output(w, &r, 4);
    run_sh(w, &other, sb, "echo go > /tmp/fifo; sleep 0.1");
    assert_false(r.ended);
    r.hold = false;
    process_resume_output(r.p);
    run_wait(w, &r);
    assert_buf(&r.out, "one\ntwo\n");
    assert_buf(&r.err, "three\n");
    assert_int_equal(r.exit_code, 5);
    world_close(w);
}

static void test_child_that_keeps_the_pipe_does_not_delay_the_exit(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    CLEANUP_RUN struct run look = {0};
    (void)state;
    run_sh(w, &r, sb,
           "sleep 1000 & echo parent; while ! grep -q sleep /proc/$!/comm; do :; done; exit 2");
    assert_buf(&r.out, "parent\n");
    assert_int_equal(r.exit_code, 2);
    run_sh(w, &look, sb, "cat /proc/[0-9]*/comm | grep -c '^sleep$'");
    assert_buf(&look.out, "1\n");
    world_close(w);
}

static void test_flooding_child_does_not_delay_the_exit(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    run_sh(w, &r, sb, "yes & sleep 0.02; exit 6");
    assert_int_equal(r.exit_code, 6);
    world_close(w);
}

static void test_kill_ends_the_whole_tree(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    CLEANUP_RUN struct run look = {0};
    (void)state;
    start_sh(
        &r, sb,
        "setsid sh -c 'trap \"\" TERM HUP; setsid sleep 1000 & sleep 1000' & echo up; wait",
        false);
    wait_output(w, &r, 3);
    process_kill(r.p);
    run_wait(w, &r);
    assert_int_equal(r.exit_code, 137);
    /* The dead are init's to reap: wait for their names to go, not for a time. */
    run_sh(w, &look, sb,
           "while cat /proc/[0-9]*/comm 2>/dev/null | grep -q '^sleep$'; do :; done");
    assert_int_equal(look.exit_code, 0);
    world_close(w);
}

static void test_free_kills_a_running_process(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    CLEANUP_RUN struct run look = {0};
    (void)state;
    start_sh(&r, sb, "echo up; sleep 1000", false);
    wait_output(w, &r, 3);
    process_free(r.p);
    r.p = NULL;
    run_sh(w, &look, sb,
           "while cat /proc/[0-9]*/comm 2>/dev/null | grep -q '^sleep$'; do :; done");
    assert_int_equal(look.exit_code, 0);
    world_close(w);
}

static void test_free_is_allowed_in_a_callback_and_before_the_start(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    CLEANUP_RUN struct run r = {.free_on_output = true};
    CLEANUP_RUN struct run queued = {0};
    (void)state;
    start_sh(&queued, sb, "true", false);
    process_free(queued.p);
    queued.p = NULL;
    wait_state(w, sb, SANDBOX_RUNNING);
    start_sh(&queued, sb, "true", false); /* EXEC is under way */
    process_free(queued.p);
    queued.p = NULL;
    start_sh(&r, sb, "echo x; echo y; sleep 1000", false);
    run_wait(w, &r);
    assert_false(queued.ready);
    world_close(w);
}

static void test_processes_of_a_stopped_sandbox_end_unavailable(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    start_sh(&r, sb, "echo up; sleep 1000", false);
    wait_output(w, &r, 3);
    sandbox_stop(sb, 0, "test");
    run_wait(w, &r);
    assert_true(r.failed);
    assert_int_equal(r.code, ERR_UNAVAILABLE);
    world_close(w);
}

static void test_process_on_ended_sandbox_is_refused(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "true", NULL);
    const char *const argv[] = {"true"};
    struct process_spec spec = {.argv = argv, .n_argv = 1, .cwd = ""};
    static const struct process_events events;
    struct err err = {0};
    struct process *p = NULL;
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    assert_int_equal(process_start(sb, &spec, &events, NULL, &p, &err), -1);
    assert_int_equal(err.code, ERR_FAILED_PRECONDITION);
    assert_non_null(strstr(err_text(&err), "COMPLETED"));
    err_done(&err);
    world_close(w);
}

/* ---- terminals ---- */

static void start_tty(struct run *r, struct sandbox *sb, const char *script)
{
    const char *const argv[] = {"sh", "-c", script};
    struct process_spec spec = {.argv = argv,
                                .n_argv = 3,
                                .cwd = "",
                                .want_stdin = true,
                                .tty = true,
                                .tty_width = 100,
                                .tty_height = 30};
    run_start(r, sb, &spec);
}

static void test_terminal_has_its_size_and_is_resized(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    start_tty(&r, sb, "stty -echo; stty size; read x; stty size; echo $TERM");
    wait_output(w, &r, 8);
    process_resize(r.p, 120, 40);
    assert_int_equal(process_write(r.p, (const uint8_t *)"\n", 1), 0);
    run_wait(w, &r);
    assert_buf(&r.out, "30 100\r\n40 120\r\nxterm\r\n");
    assert_int_equal(r.exit_code, 0);
    world_close(w);
}

static void test_closing_a_terminal_lets_pending_input_be_read(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    const char *const argv[] = {"bash"};
    struct process_spec spec = {
        .argv = argv, .n_argv = 1, .cwd = "", .want_stdin = true, .tty = true};
    run_start(&r, sb, &spec);
    assert_int_equal(process_write(r.p, (const uint8_t *)"echo he''llo\nexit 7\n", 20), 0);
    process_close_stdin(r.p);
    run_wait(w, &r);
    assert_int_equal(r.exit_code, 7);
    assert_int_equal(buf_put(&r.out, "", 1), 0);
    assert_non_null(strstr((const char *)buf_head(&r.out), "hello\r\n"));
    world_close(w);
}

static void test_end_of_terminal_input_in_the_middle_of_a_line(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0};
    (void)state;
    start_tty(&r, sb, "stty -echo; echo up; cat; echo end");
    wait_output(w, &r, 4);
    assert_int_equal(process_write(r.p, (const uint8_t *)"a\nb", 3), 0);
    process_close_stdin(r.p);
    run_wait(w, &r);
    assert_buf(&r.out, "up\r\na\r\nbend\r\n");
    world_close(w);
}

static void test_many_processes_at_once(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    struct run runs[100] = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        start_sh(&runs[i], sb, "cat; echo end", true);
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        assert_int_equal(process_write(runs[i].p, (const uint8_t *)&i, 1), 0);
        process_close_stdin(runs[i].p);
    }
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        run_wait(w, &runs[i]);
        assert_int_equal(runs[i].exit_code, 0);
        assert_int_equal(buf_len(&runs[i].out), 5);
        assert_int_equal(buf_head(&runs[i].out)[0], i);
        run_done(&runs[i]);
    }
    world_close(w);
}

/* They wait for their turn without descriptors: all at once would need more than a thousand. */
static void test_a_crowd_of_commands_takes_turns(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    static struct run runs[400];
    struct rlimit before, low;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){.rlim_cur = 500, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        start_sh(&runs[i], sb, "echo done", false);
    process_kill(runs[ARRAY_SIZE(runs) - 1].p); /* before its turn */
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        bool killed = i == ARRAY_SIZE(runs) - 1;
        run_wait(w, &runs[i]);
        assert_int_equal(runs[i].exit_code, killed ? 128 + SIGKILL : 0);
        assert_int_equal(buf_len(&runs[i].out), killed ? 0 : 5);
        run_done(&runs[i]);
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    world_close(w);
}

static void test_commands_that_wait_for_their_turn_end_with_the_sandbox(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    static struct run runs[300];
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++)
        start_sh(&runs[i], sb, "sleep 1000", false);
    sandbox_stop(sb, 0, "");
    for (size_t i = 0; i < ARRAY_SIZE(runs); i++) {
        run_wait(w, &runs[i]);
        run_done(&runs[i]);
    }
    world_close(w);
}

static void test_process_without_input_gets_a_null_device_of_its_own(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = ready_sandbox(w);
    CLEANUP_RUN struct run r = {0}, other = {0};
    (void)state;
    run_sh(w, &r, sb,
           "test /proc/self/fd/0 -ef /dev/null && test -z \"$(cat)\" && "
           "flock -n 0 true && python3 -c 'import fcntl; fcntl.fcntl(0, fcntl.F_SETFL, 2048)' "
           "&& echo fine");
    assert_buf(&r.out, "fine\n");
    /* The flag that the other one set is in its own description only. */
    run_sh(w, &other, sb,
           "python3 -c 'import fcntl; print(fcntl.fcntl(0, fcntl.F_GETFL) & 2048)'");
    assert_buf(&other.out, "0\n");
    world_close(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_is_exact_and_in_order),
        cmocka_unit_test(test_each_write_is_one_output),
        cmocka_unit_test(test_standard_streams_can_be_opened_by_name),
        cmocka_unit_test(test_failures_to_start_speak_like_a_shell),
        cmocka_unit_test(test_death_by_signal_is_128_plus_its_number),
        cmocka_unit_test(test_environment_of_process_wins_over_sandbox_and_defaults),
        cmocka_unit_test(test_long_argument_lists_arrive),
        cmocka_unit_test(test_too_long_arguments_are_refused),
        cmocka_unit_test(test_empty_command_is_invalid),
        cmocka_unit_test(test_input_arrives_whole_before_its_end),
        cmocka_unit_test(test_input_after_the_process_closed_it_is_dropped),
        cmocka_unit_test(test_output_nobody_reads_blocks_the_process_and_costs_no_memory),
        cmocka_unit_test(test_exit_waits_for_a_paused_reader),
        cmocka_unit_test(test_child_that_keeps_the_pipe_does_not_delay_the_exit),
        cmocka_unit_test(test_flooding_child_does_not_delay_the_exit),
        cmocka_unit_test(test_kill_ends_the_whole_tree),
        cmocka_unit_test(test_free_kills_a_running_process),
        cmocka_unit_test(test_free_is_allowed_in_a_callback_and_before_the_start),
        cmocka_unit_test(test_processes_of_a_stopped_sandbox_end_unavailable),
        cmocka_unit_test(test_process_on_ended_sandbox_is_refused),
        cmocka_unit_test(test_terminal_has_its_size_and_is_resized),
        cmocka_unit_test(test_closing_a_terminal_lets_pending_input_be_read),
        cmocka_unit_test(test_end_of_terminal_input_in_the_middle_of_a_line),
        cmocka_unit_test(test_many_processes_at_once),
        cmocka_unit_test(test_a_crowd_of_commands_takes_turns),
        cmocka_unit_test(test_commands_that_wait_for_their_turn_end_with_the_sandbox),
        cmocka_unit_test(test_process_without_input_gets_a_null_device_of_its_own),
    };
    if (become(argc, argv) < 0)
        return 77;
    cmocka_set_test_filter(getenv("CWS_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
