/* Logs of main processes: reading, following, times, resuming, the limit. */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/log-file.h"
#include "runtime/log-stream.h"
#include "runtime/sandbox.h"

struct tail {
    struct log_stream *l;
    struct buf data;
    uint64_t next;
    bool ended, pause_each;
    char code[64];
};

static void on_data(void *user, struct log_stream *l, struct buf *take, uint64_t wall_ns,
                    uint64_t next_offset)
{
    struct tail *t = user;
    (void)wall_ns;
    assert_false(t->ended);
    assert_true(buf_len(take) > 0);
    assert_int_equal(next_offset, t->next + buf_len(take));
    t->next = next_offset;
    assert_int_equal(buf_put(&t->data, buf_head(take), buf_len(take)), 0);
    if (t->pause_each)
        log_stream_pause(l);
}

static void on_end(void *user, struct log_stream *l, const char *error_code,
                   const char *message)
{
    struct tail *t = user;
    (void)l;
    assert_false(t->ended);
    assert_non_null(message);
    t->ended = true;
    (void)snprintf(t->code, sizeof(t->code), "%s", error_code ? error_code : "");
}

static void tail_open(struct tail *t, struct sandbox *sb, const struct log_spec *spec)
{
    static const struct log_events events = {.on_data = on_data, .on_end = on_end};
    t->next = spec->resume_offset;
    assert_int_equal(log_stream_open(sb, spec, &events, t, &t->l, NULL), 0);
}

static void tail_done(struct tail *t)
{
    log_stream_free(t->l);
    buf_done(&t->data);
}

static void wait_size(struct world *w, struct tail *t, size_t n)
{
    while (buf_len(&t->data) < n) {
        assert_false(t->ended);
        world_turn(w);
    }
}

static struct sandbox *create_sh(struct world *w, const char *script)
{
    return world_create(w, "sh", (const char *const[]){"-c", script, NULL});
}

static void test_one_read_right_after_running_sees_the_first_output(void **state)
{
    struct world *w = world_open(NULL);
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct sandbox *sb = create_sh(w, "printf 'a\\nb\\n'; sleep 1000");
        CLEANUP_BUF struct buf log = {0};
        struct log_spec spec = {.tail_lines = 200};
        wait_state(w, sb, SANDBOX_RUNNING);
        read_log(w, sb, &spec, &log);
        assert_buf(&log, "a\nb\n");
    }
    world_close(w);
}

static void test_silent_process_gives_an_empty_log_in_finite_time(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "sleep", (const char *const[]){"1000", NULL});
    struct sandbox *without = world_create(w, "", NULL);
    CLEANUP_BUF struct buf log = {0};
    struct log_spec spec = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    uint64_t start = clock_now_ns();
    read_log(w, sb, &spec, &log);
    assert_int_equal(buf_len(&log), 0);
    assert_true(clock_now_ns() - start < 2 * NS_PER_SEC);
    wait_state(w, without, SANDBOX_RUNNING);
    read_log(w, without, &spec, &log);
    assert_int_equal(buf_len(&log), 0);
    world_close(w);
}

static void test_follow_sees_lines_as_they_come_and_ends_with_the_sandbox(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb =
        create_sh(w, "mkfifo /tmp/f; echo one; while :; do read x < /tmp/f || continue; "
                     "echo $x; test $x = end && exit 0; done");
    struct tail t = {0};
    struct log_spec spec = {.follow = true};
    CLEANUP_RUN struct run r = {0};
    (void)state;
    tail_open(&t, sb, &spec); /* before there is a log */
    wait_size(w, &t, 4);
    run_sh(w, &r, sb, "echo two > /tmp/f");
    wait_size(w, &t, 8);
    assert_buf(&t.data, "one\ntwo\n");
    run_done(&r);
    run_sh(w, &r, sb, "echo end > /tmp/f; sleep 1000");
    world_wait(w, &t.ended);
    assert_buf(&t.data, "one\ntwo\nend\n");
    assert_string_equal(t.code, "");
    assert_int_equal(info_of(sb).state, SANDBOX_COMPLETED);
    tail_done(&t);
    world_close(w);
}

static void test_output_of_execs_is_not_in_the_log(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "echo main; sleep 1000");
    CLEANUP_BUF struct buf log = {0};
    CLEANUP_RUN struct run r = {0};
    struct log_spec spec = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    run_sh(w, &r, sb, "echo exec");
    read_log(w, sb, &spec, &log);
    assert_buf(&log, "main\n");
    world_close(w);
}

static void test_tail_counts_lines_from_the_end(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(
        w, "i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done; printf open");
    struct log_spec spec = {.tail_lines = 3};
    CLEANUP_BUF struct buf log = {0};
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    read_log(w, sb, &spec, &log);
    assert_buf(&log, "line-19998\nline-19999\nopen");
    buf_clear(&log);
    spec.tail_lines = 1000000;
    read_log(w, sb, &spec, &log);
    assert_memory_equal(buf_head(&log), "line-0\nline-1\n", 14);
    world_close(w);
}

static void test_times_are_one_token_in_front_of_each_line(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "echo one; echo two");
    struct log_spec spec = {.timestamps = true};
    CLEANUP_BUF struct buf log = {0};
    unsigned year, nanos;
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    read_log(w, sb, &spec, &log);
    assert_int_equal(buf_put(&log, "", 1), 0);
    const char *text = (const char *)buf_head(&log);
    assert_int_equal(sscanf(text, "%4u-%*2u-%*2uT%*2u:%*2u:%*2u.%9uZ one", &year, &nanos), 2);
    assert_memory_equal(text + 30, " one\n", 5);
    assert_memory_equal(text + 35 + 30, " two\n", 5);
    world_close(w);
}

static void test_since_drops_what_arrived_earlier(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb =
        create_sh(w, "mkfifo /tmp/f; echo early; read x < /tmp/f; echo late; sleep 1000");
    struct tail t = {0};
    struct log_spec follow = {.follow = true}, since = {0};
    CLEANUP_BUF struct buf log = {0};
    CLEANUP_RUN struct run r = {0};
    (void)state;
    tail_open(&t, sb, &follow);
    wait_size(w, &t, 6);
    since.since_wall_ns = clock_wall_ns();
    run_sh(w, &r, sb, "echo > /tmp/f");
    wait_size(w, &t, 11);
    read_log(w, sb, &since, &log);
    assert_buf(&log, "late\n");
    buf_clear(&log);
    since.since_wall_ns = clock_wall_ns() + NS_PER_SEC;
    read_log(w, sb, &since, &log);
    assert_int_equal(buf_len(&log), 0);
    tail_done(&t);
    world_close(w);
}

static void resume_at(struct world *w, struct sandbox *sb, const char *session, bool timestamps,
                      uint64_t offset, const struct buf *whole)
{
    struct log_spec spec = {
        .timestamps = timestamps, .resume_session = session, .resume_offset = offset};
    struct tail t = {0};
    tail_open(&t, sb, &spec);
    assert_string_equal(log_stream_session(t.l), session);
    world_wait(w, &t.ended);
    assert_string_equal(t.code, "");
    assert_int_equal(buf_len(&t.data), buf_len(whole) - offset);
    assert_true(buf_len(&t.data) == 0 ||
                memcmp(buf_head(&t.data), buf_head(whole) + offset, buf_len(&t.data)) == 0);
    tail_done(&t);
}

static void check_resume(bool timestamps)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb =
        create_sh(w, "i=0; while [ $i -lt 50000 ]; do echo line-$i; i=$((i+1)); done");
    struct log_spec spec = {.timestamps = timestamps};
    struct tail t = {0};
    char session[LOG_SESSION_NAME];
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    tail_open(&t, sb, &spec);
    world_wait(w, &t.ended);
    (void)snprintf(session, sizeof(session), "%s",
                   log_stream_session(t.l)); /* with its beginning */
    log_stream_free(t.l);
    t.l = NULL;
    size_t n = buf_len(&t.data);
    const uint64_t offsets[] = {0, 1, 7, 65535, 65536, 65537, n / 2, n - 1, n};
    for (size_t i = 0; i < ARRAY_SIZE(offsets); i++)
        resume_at(w, sb, session, false, offsets[i],
                  &t.data); /* how to render is the session's */
    struct log_spec beyond = {.resume_session = session, .resume_offset = n + 1};
    struct tail bad = {0};
    tail_open(&bad, sb, &beyond);
    world_wait(w, &bad.ended);
    assert_string_equal(bad.code, "INVALID_RESUME_OFFSET");
    tail_done(&bad);
    tail_done(&t);
    world_close(w);
}

static void test_resumed_stream_continues_exactly(void **state)
{
    (void)state;
    check_resume(false);
}

static void test_resumed_stream_with_times_continues_exactly(void **state)
{
    (void)state;
    check_resume(true);
}

static void test_unknown_session_is_told_in_band(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "echo x; sleep 1000");
    struct log_spec spec = {
        .follow = true, .resume_session = "no-such-session", .resume_offset = 5};
    struct tail t = {0};
    (void)state;
    tail_open(&t, sb, &spec);
    world_wait(w, &t.ended);
    assert_string_equal(t.code, "SESSION_NOT_FOUND");
    assert_int_equal(buf_len(&t.data), 0);
    tail_done(&t);
    world_close(w);
}

static void test_reader_that_comes_back_early_continues_beside_its_old_call(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "echo one; echo two; sleep 1000");
    struct log_spec follow = {.follow = true};
    struct tail old = {0}, again = {0};
    (void)state;
    tail_open(&old, sb, &follow);
    wait_size(w, &old, 8);
    struct log_spec resumed = {
        .follow = true, .resume_session = log_stream_session(old.l), .resume_offset = 4};
    tail_open(&again, sb, &resumed);
    wait_size(w, &again, 4);
    assert_buf(&again.data, "two\n");
    assert_int_equal(again.next, 8);
    tail_done(&old);
    tail_done(&again);
    world_close(w);
}

static void test_paused_follower_misses_nothing(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "head -c 3000000 /dev/zero | tr '\\0' x");
    struct log_spec spec = {.follow = true};
    struct tail t = {.pause_each = true};
    (void)state;
    tail_open(&t, sb, &spec);
    while (!t.ended) {
        log_stream_resume(t.l);
        world_turn(w);
    }
    assert_int_equal(buf_len(&t.data), 3000000);
    tail_done(&t);
    world_close(w);
}

static void test_free_while_waiting_or_paused_is_quiet(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(w, "sleep 1000");
    struct log_spec follow = {.follow = true}, read = {0};
    struct tail a = {0}, b = {0}, c = {0};
    (void)state;
    tail_open(&a, sb, &follow);
    tail_done(&a);
    wait_state(w, sb, SANDBOX_RUNNING);
    tail_open(&b, sb, &follow);
    tail_open(&c, sb, &read);
    world_turn(w); /* c is in its grace now */
    tail_done(&b);
    tail_done(&c);
    assert_false(a.ended || b.ended || c.ended);
    world_close(w);
}

static void small_log(struct runtime_config *config)
{
    config->log_max_bytes = 256 * 1024;
}

static void test_log_is_bounded_and_keeps_the_newest(void **state)
{
    struct world *w = world_open(small_log);
    struct sandbox *sb =
        create_sh(w, "i=0; while [ $i -lt 200000 ]; do echo line-$i; i=$((i+1)); done");
    struct log_spec spec = {0};
    CLEANUP_BUF struct buf log = {0};
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    while (buf_len(&log) == 0 || buf_len(&log) > 400 * 1024) {
        buf_clear(&log); /* until the last change of the file has been looked at */
        read_log(w, sb, &spec, &log);
    }
    assert_true(buf_len(&log) >= 256 * 1024);
    assert_memory_equal(buf_head(&log), "line-", 5);
    assert_memory_equal(buf_head(&log) + buf_len(&log) - 12, "line-199999\n", 12);
    world_close(w);
}

static void test_writer_holds_a_pipe_and_nothing_of_the_disk(void **state)
{
    struct world *w = world_open(small_log);
    struct sandbox *sb = create_sh(
        w,
        "exec 2>/dev/null; test -p /dev/stdout && echo pipe; truncate -s 0 /dev/stdout || echo "
        "uncut; fallocate -l 1M /dev/stdout || echo unstretched");
    struct log_spec spec = {0};
    CLEANUP_BUF struct buf log = {0};
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    read_log(w, sb, &spec, &log);
    assert_buf(&log, "pipe\nuncut\nunstretched\n");
    world_close(w);
}

/* Lines "1", "2", ... of the same width, as seq -f writes them, from @from on. */
static void assert_count(const uint8_t *data, size_t n, unsigned from, unsigned to)
{
    char line[101];
    assert_int_equal(n, (to - from + 1) * 100);
    for (unsigned i = from; i <= to; i++) {
        (void)snprintf(line, sizeof(line), "%099u\n", i);
        if (memcmp(data + (i - from) * 100, line, 100) != 0)
            fail_msg("line %u is wrong", i);
    }
}

static void test_follower_of_a_fast_writer_gets_each_line_once(void **state)
{
    struct world *w = world_open(NULL);
    struct log_spec spec = {.follow = true};
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct sandbox *sb = create_sh(w, "seq -f %099.0f 100000");
        struct tail t = {0};
        tail_open(&t, sb, &spec);
        world_wait(w, &t.ended);
        assert_string_equal(t.code, "");
        assert_count(buf_head(&t.data), buf_len(&t.data), 1, 100000);
        tail_done(&t);
    }
    world_close(w);
}

static void test_overtaken_follower_goes_on_behind_a_gap_that_is_told(void **state)
{
    struct world *w = world_open(small_log);
    struct sandbox *sb = create_sh(w, "seq -f %099.0f 50000");
    struct log_spec spec = {.follow = true};
    struct tail t = {.pause_each = true};
    (void)state;
    tail_open(&t, sb, &spec);
    wait_size(w, &t, 1);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    t.pause_each = false;
    log_stream_resume(t.l);
    world_wait(w, &t.ended);
    assert_string_equal(t.code, "");
    assert_int_equal(buf_put(&t.data, "", 1), 0);
    /* Once at least; a busy machine overtakes it before its first byte, too. */
    const char *rest = (const char *)buf_head(&t.data), *gap;
    size_t n_gaps = 0, accounted = 0;
    for (; (gap = strstr(rest, "[cwsandbox: ")); n_gaps++) {
        unsigned long long missing;
        assert_int_equal(
            sscanf(gap, "[cwsandbox: %llu bytes of output are missing here", &missing), 1);
        size_t shown = (size_t)(gap - rest);
        accounted +=
            missing + shown - (shown % 100 != 0); /* behind half a line: its end is ours */
        rest = strchr(gap, '\n') + 1;
    }
    size_t n = strlen(rest);
    assert_true(n_gaps > 0);
    assert_in_range(accounted + n, 5000000,
                    5000000 + n_gaps); /* half a line of 99 looks whole */
    assert_true(n >= 256 * 1024 - 100);
    assert_count((const uint8_t *)rest, n, (unsigned)(50000 - n / 100 + 1), 50000);
    tail_done(&t);
    world_close(w);
}

/* A file of this process may have @n bytes: as a full disk, for one process. */
static void set_file_limit(rlim_t n)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = n;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void on_log_lost(void *user, const char *sandbox_id, int error)
{
    assert_int_equal(strncmp(sandbox_id, "sb-", 3), 0);
    assert_int_equal(error, EFBIG);
    ++*(int *)user;
}

static void test_log_that_the_disk_does_not_take_ends_readers_with_an_error(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    struct tail t = {0}, again = {0};
    struct log_spec follow = {.follow = true}, read = {0};
    int n_told = 0;
    (void)state;
    runtime_on_log_lost(w->rt, on_log_lost, &n_told);
    wait_state(w, sb, SANDBOX_RUNNING);
    set_file_limit(1000000); /* what runs already is not limited */
    sb = create_sh(w, "seq -f %099.0f 50000; exit 3");
    tail_open(&t, sb, &follow);
    world_wait(w, &t.ended);
    assert_string_equal(t.code, "OUTPUT_LOST");
    assert_count(buf_head(&t.data), buf_len(&t.data), 1, 10000);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED); /* the process went on */
    assert_int_equal(info_of(sb).exit_code, 3);
    tail_open(&again, sb, &read);
    world_wait(w, &again.ended);
    assert_string_equal(again.code, "OUTPUT_LOST");
    assert_int_equal(buf_len(&again.data), 1000000);
    assert_int_equal(n_told, 1);
    set_file_limit(RLIM_INFINITY);
    tail_done(&t);
    tail_done(&again);
    world_close(w);
}

static void test_log_says_how_much_is_missing_when_the_disk_takes_bytes_again(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = world_create(w, "", NULL);
    struct tail t = {0};
    struct log_spec follow = {.follow = true}, read = {0};
    CLEANUP_BUF struct buf log = {0};
    CLEANUP_RUN struct run r = {0};
    (void)state;
    wait_state(w, sb, SANDBOX_RUNNING);
    set_file_limit(1000000);
    sb = create_sh(w, "mkfifo /tmp/f; seq -f %099.0f 20000; read x < /tmp/f; echo back");
    tail_open(&t, sb, &follow);
    world_wait(w, &t.ended);
    /* The end of the flood was thrown away before this exec could be answered. */
    run_sh(w, &r, sb, "until test -p /tmp/f; do :; done");
    while (sb->log->lost_bytes < 1000000)
        world_turn(w);
    set_file_limit(RLIM_INFINITY);
    run_done(&r);
    run_sh(w, &r, sb, "echo > /tmp/f; sleep 1000");
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    read_log(w, sb, &read, &log);
    assert_count(buf_head(&log), 1000000, 1, 10000);
    buf_consume(&log, 1000000);
    assert_buf(&log,
               "[cwsandbox: 1000000 bytes of output were lost here: File too large]\nback\n");
    tail_done(&t);
    world_close(w);
}

static void test_child_that_outlives_the_main_process_is_heard_to_the_end(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb = create_sh(
        w, "(trap '' HUP; exec >&2; while :; do echo child; done) & sleep 0.1; echo main");
    struct tail t = {0};
    struct log_spec follow = {.follow = true};
    (void)state;
    tail_open(&t, sb, &follow);
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    world_wait(w, &t.ended);
    assert_string_equal(t.code, "");
    assert_int_equal(buf_put(&t.data, "", 1), 0);
    const char *text = (const char *)buf_head(&t.data); /* either may write first */
    assert_true(strncmp(text, "main\n", 5) == 0 || strstr(text, "\nmain\n") != NULL);
    tail_done(&t);
    world_close(w);
}

static void test_main_process_can_open_its_streams_by_name(void **state)
{
    struct world *w = world_open(NULL);
    struct sandbox *sb =
        create_sh(w, "echo a; echo b >> /dev/stderr; echo c | tee -a /dev/stderr >/dev/null");
    struct log_spec spec = {0};
    CLEANUP_BUF struct buf log = {0};
    (void)state;
    assert_int_equal(wait_terminal(w, sb), SANDBOX_COMPLETED);
    read_log(w, sb, &spec, &log);
    assert_buf(&log, "a\nb\nc\n");
    world_close(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_read_right_after_running_sees_the_first_output),
        cmocka_unit_test(test_silent_process_gives_an_empty_log_in_finite_time),
        cmocka_unit_test(test_follow_sees_lines_as_they_come_and_ends_with_the_sandbox),
        cmocka_unit_test(test_output_of_execs_is_not_in_the_log),
        cmocka_unit_test(test_tail_counts_lines_from_the_end),
        cmocka_unit_test(test_times_are_one_token_in_front_of_each_line),
        cmocka_unit_test(test_since_drops_what_arrived_earlier),
        cmocka_unit_test(test_resumed_stream_continues_exactly),
        cmocka_unit_test(test_resumed_stream_with_times_continues_exactly),
        cmocka_unit_test(test_unknown_session_is_told_in_band),
        cmocka_unit_test(test_reader_that_comes_back_early_continues_beside_its_old_call),
        cmocka_unit_test(test_paused_follower_misses_nothing),
        cmocka_unit_test(test_free_while_waiting_or_paused_is_quiet),
        cmocka_unit_test(test_log_is_bounded_and_keeps_the_newest),
        cmocka_unit_test(test_writer_holds_a_pipe_and_nothing_of_the_disk),
        cmocka_unit_test(test_follower_of_a_fast_writer_gets_each_line_once),
        cmocka_unit_test(test_overtaken_follower_goes_on_behind_a_gap_that_is_told),
        cmocka_unit_test(test_log_that_the_disk_does_not_take_ends_readers_with_an_error),
        cmocka_unit_test(test_log_says_how_much_is_missing_when_the_disk_takes_bytes_again),
        cmocka_unit_test(test_child_that_outlives_the_main_process_is_heard_to_the_end),
        cmocka_unit_test(test_main_process_can_open_its_streams_by_name),
    };
    if (become(argc, argv) < 0)
        return 77;
    cmocka_set_test_filter(getenv("CWS_TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
