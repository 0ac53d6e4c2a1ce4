/* Processes, their streams and their handles, against the real service. */
#include "service.h"

#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

static void test_exec_gives_output_and_exit_code(void **state)
{
    cws_process *p = must_exec(sb, ARGV("sh", "-c", "echo out; echo err >&2; exit 3"), NULL);
    int code = -1;
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_op_int(cws_process_op(p)), 3);
    assert_int_equal(cws_process_returncode(p, &code), 1);
    assert_int_equal(code, 3);
    size_t n;
    assert_string_equal(cws_process_output(p, CWS_STDOUT, &n), "out\n");
    assert_string_equal(cws_process_output(p, CWS_STDERR, &n), "err\n");
    assert_int_equal(n, 4);
    assert_int_equal(cws_process_output_size(p, CWS_STDOUT), 4);
    char two[2];
    assert_int_equal(cws_process_copy_output(p, CWS_STDOUT, two, 2), 2);
    assert_memory_equal(two, "ou", 2);
    assert_null(cws_process_stdin(p));
    cws_process_unref(p);
}

static void test_check_turns_a_nonzero_exit_into_an_error(void **state)
{
    cws_exec_options o = {.check = 1};
    cws_process *p = must_exec(sb, ARGV("sh", "-c", "exit 7"), &o);
    assert_int_equal(must_fail(cws_process_op(p)), CWS_E_EXECUTION);
    assert_string_equal(cws_error_message(cws_op_error(cws_process_op(p))),
                        "command sh -c 'exit 7' failed with exit code 7");
    int code;
    assert_int_equal(cws_process_returncode(p, &code), 1);
    assert_int_equal(code, 7);
    cws_process_unref(p);
}

static void test_bad_commands_are_refused_at_once(void **state)
{
    cws_error *e = NULL;
    assert_null(cws_sandbox_exec(sb, NULL, 0, NULL, &e));
    assert_int_equal(cws_error_get_kind(e), CWS_E_INVALID);
    assert_string_equal(cws_error_message(e), "Command cannot be empty");
    cws_error_free(e);
    static const struct {
        const char *cwd, *text;
    } bad[] = {{"", "cwd cannot be empty string"}, {"tmp", "cwd must be an absolute path"}};
    for (size_t i = 0; i < 2; i++) {
        cws_exec_options o = {.cwd = bad[i].cwd};
        assert_null(cws_sandbox_exec(sb, ARGV("true"), &o, &e));
        assert_string_equal(cws_error_message(e), bad[i].text);
        cws_error_free(e);
    }
    assert_null(
        cws_sandbox_exec(sb, ARGV("\xff"), NULL, NULL)); /* not UTF-8; no error wanted */
}

static void test_cwd_and_quoting_reach_the_command(void **state)
{
    cws_exec_options o = {.cwd = "/usr/share"};
    cws_process *p =
        must_exec(sb, ARGV("sh", "-c", "pwd; printf '%s|' \"$@\"", "x", "it's", "a b", ""), &o);
    must_succeed(cws_process_op(p));
    size_t n;
    assert_string_equal(cws_process_output(p, CWS_STDOUT, &n), "/usr/share\nit's|a b||");
    cws_process_unref(p);
    o.cwd = "/does/not/exist";
    p = must_exec(sb, ARGV("true"), &o);
    must_succeed(cws_process_op(p)); /* a shell's failure, not the service's */
    assert_int_not_equal(cws_op_int(cws_process_op(p)), 0);
    cws_process_unref(p);
}

static size_t read_all(cws_reader *r, char *out, size_t cap)
{
    size_t n = 0;
    for (;;) {
        cws_chunk c;
        const cws_error *e = NULL;
        cws_read_result result = cws_reader_read(r, LONG, &c, &e);
        if (result == CWS_READ_END)
            return n;
        if (result != CWS_READ_DATA)
            fail_msg("read: %d %s", result, e ? cws_error_message(e) : "");
        assert_true(n + c.size <= cap);
        memcpy(out + n, c.data, c.size);
        n += c.size;
        cws_chunk_release(&c);
    }
}

static void test_stdin_is_delivered_in_order_and_ends(void **state)
{
    cws_exec_options o = {.want_stdin = 1};
    cws_process *p = must_exec(sb, ARGV("cat"), &o);
    cws_writer *in = cws_process_stdin(p);
    char want[4096] = "";
    for (int i = 0; i < 40; i++) { /* more than the queue takes at once */
        char line[32];
        (void)snprintf(line, sizeof(line), "line %d\n", i);
        (void)strcat(want, line);
        cws_op_unref(cws_writer_write(in, line, strlen(line),
                                      NULL)); /* not waited for: order must hold */
    }
    must_finish(cws_writer_close(in, NULL));
    must_finish(cws_writer_close(in, NULL));
    assert_true(cws_writer_closed(in));
    cws_error *e = NULL;
    assert_null(cws_writer_write(in, "x", 1, &e));
    assert_int_equal(cws_error_get_kind(e), CWS_E_EXECUTION);
    assert_non_null(strstr(cws_error_message(e), "stream"));
    cws_error_free(e);
    char got[4096];
    size_t n = read_all(cws_process_stdout(p), got, sizeof(got));
    assert_int_equal(n, strlen(want));
    assert_memory_equal(got, want, n);
    must_succeed(cws_process_op(p));
    cws_process_unref(p);
}

static void test_a_full_stdin_queue_shows_as_a_pending_write(void **state)
{
    cws_exec_options o = {.want_stdin = 1};
    cws_process *p = must_exec(sb, ARGV("sh", "-c", "read go; wc -c"), &o);
    cws_writer *in = cws_process_stdin(p);
    must_finish(cws_writer_write(in, "go\n", 3, NULL));
    /* `read` takes its line byte by byte, so everything else waits for wc: fill all queues on
     * the way. */
    static char block[262144];
    enum { N = 100 };
    cws_op *writes[N];
    for (int i = 0; i < N; i++)
        writes[i] = cws_writer_write(in, block, sizeof(block), NULL);
    cws_op *close = cws_writer_close(in, NULL);
    for (int i = 0; i < N; i++)
        must_finish(writes[i]);
    must_finish(close);
    must_succeed(cws_process_op(p));
    size_t n;
    char want[32];
    (void)snprintf(want, sizeof(want), "%zu\n", N * sizeof(block));
    assert_string_equal(cws_process_output(p, CWS_STDOUT, &n), want);
    cws_process_unref(p);
}

static void test_writes_fail_when_the_process_has_ended(void **state)
{
    cws_exec_options o = {.want_stdin = 1};
    cws_process *p = must_exec(sb, ARGV("sleep", "100"), &o);
    static char block[262144];
    enum { N = 60 };
    cws_op *writes[N]; /* sleep reads nothing: the last ones stay pending */
    for (int i = 0; i < N; i++)
        writes[i] = cws_writer_write(cws_process_stdin(p), block, sizeof(block), NULL);
    assert_int_equal(cws_op_wait(writes[N - 1], SECOND / 20), CWS_WAIT_TIMEOUT);
    assert_int_equal(cws_op_cancel(cws_process_op(p)), 1);
    assert_int_equal(must_fail(writes[N - 1]), CWS_E_EXECUTION);
    for (int i = 0; i < N; i++)
        cws_op_unref(writes[i]);
    cws_error *e = NULL;
    assert_null(cws_writer_write(cws_process_stdin(p), "x", 1, &e));
    assert_non_null(strstr(cws_error_message(e), "stream has failed"));
    cws_error_free(e);
    must_finish(cws_writer_close(cws_process_stdin(p), NULL)); /* closing does not complain */
    cws_process_unref(p);
}

static void test_chunks_arrive_while_the_process_runs(void **state)
{
    cws_exec_options o = {.want_stdin = 1};
    cws_process *p = must_exec(sb, ARGV("sh", "-c", "echo first; read line; echo second"), &o);
    cws_chunk c;
    assert_int_equal(cws_reader_read(cws_process_stdout(p), LONG, &c, NULL), CWS_READ_DATA);
    assert_int_equal(c.size, 6);
    assert_memory_equal(c.data, "first\n", 6);
    cws_chunk_release(&c);
    assert_int_equal(cws_reader_read(cws_process_stdout(p), 0, &c, NULL), CWS_READ_TIMEOUT);
    assert_false(cws_op_done(cws_process_op(p)));
    must_finish(cws_writer_write(cws_process_stdin(p), "go\n", 3, NULL));
    assert_int_equal(cws_reader_read(cws_process_stdout(p), LONG, &c, NULL), CWS_READ_DATA);
    cws_chunk kept = c; /* outlives the process */
    assert_int_equal(cws_reader_read(cws_process_stdout(p), LONG, &c, NULL), CWS_READ_END);
    assert_int_equal(cws_reader_read(cws_process_stdout(p), 0, &c, NULL), CWS_READ_END);
    must_succeed(cws_process_op(p));
    size_t n; /* what was read is still part of the result */
    assert_string_equal(cws_process_output(p, CWS_STDOUT, &n), "first\nsecond\n");
    cws_process_unref(p);
    assert_memory_equal(kept.data, "second\n", 7);
    cws_chunk_release(&kept);
}

static void test_much_output_is_byte_exact(void **state)
{
    enum { SIZE = 50 * 1000 * 1000 };
    cws_process *p = must_exec(sb, ARGV("sh", "-c", "yes 0123456 | head -c 50000000"), NULL);
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_process_output_size(p, CWS_STDOUT), SIZE);
    size_t n;
    const char *out = cws_process_output(p, CWS_STDOUT, &n);
    assert_int_equal(n, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        if (out[i] != "0123456\n"[i % 8])
            fail_msg("byte %zu differs", i);
    cws_process_unref(p);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

/* The contract's 5 s on top are for services that are not ours. */
static void test_a_time_out_ends_the_whole_command_when_it_says(void **state)
{
    cws_exec_options o = {.timeout_ns = 3 * SECOND / 10};
    uint64_t began_ns = now_ns();
    cws_process *p = must_exec(
        sb, ARGV("sh", "-c", "setsid sleep 1000 & echo $! > /tmp/pid; echo up; wait"), &o);
    assert_int_equal(must_fail(cws_process_op(p)), CWS_E_TIMEOUT);
    uint64_t took_ns = now_ns() - began_ns;
    assert_true(took_ns >= o.timeout_ns);
    assert_true(took_ns < 2 * SECOND); /* about 0.3 s; the rest is for a busy machine */
    size_t n;
    assert_string_equal(cws_process_output(p, CWS_STDOUT, &n), "up\n");
    cws_process_unref(p);
    /* The kill was ordered before this shell; it dies on its own time. */
    must_shell(sb, "while kill -0 $(cat /tmp/pid) 2>/dev/null; do :; done; echo gone",
               "gone\n");
}

/* A sanitizer keeps what was freed, so neither its resident size nor its mallinfo says what is in use. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t heap_in_use(void)
{
    if (__sanitizer_get_current_allocated_bytes)
        return __sanitizer_get_current_allocated_bytes();
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

struct drain {
    cws_reader *reader;
    size_t n_bytes;
    cws_read_result end;
    size_t peak; /* bytes: the most that the heap of this program held meanwhile */
};

/* A thread's function: reads to the end. */
static void *drain(void *arg)
{
    struct drain *d = arg;
    cws_chunk c;
    while ((d->end = cws_reader_read(d->reader, LONG, &c, NULL)) == CWS_READ_DATA) {
        size_t now = heap_in_use();
        if (now > d->peak)
            d->peak = now;
        d->n_bytes += c.size;
        cws_chunk_release(&c);
    }
    return NULL;
}

static void test_discarded_output_passes_complete_and_is_not_kept(void **state)
{
    cws_exec_options o = {.discard_output = 1};
    size_t before = heap_in_use();
    cws_process *p =
        must_exec(sb, ARGV("sh", "-c", "yes | head -c 300000000; echo err >&2; exit 9"), &o);
    struct drain out = {.reader = cws_process_stdout(p)};
    (void)drain(&out);
    assert_int_equal(out.n_bytes, 300000000);
    char err[8];
    assert_int_equal(read_all(cws_process_stderr(p), err, sizeof(err)), 4);
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_op_int(cws_process_op(p)), 9);
    assert_int_equal(cws_process_output_size(p, CWS_STDOUT), 0);
    size_t n = 1;
    assert_string_equal(cws_process_output(p, CWS_STDERR, &n), "");
    assert_int_equal(n, 0);
    cws_process_unref(p);
    /* Up to 16 MiB (READER_MAX_BYTES) wait for a reader that is slow for a moment. */
    if (out.peak > before + ((size_t)32 << 20))
        fail_msg("%zu bytes before, %zu in between", before, out.peak);
}

static void test_unread_discarded_output_holds_the_command_back(void **state)
{
    cws_exec_options o = {.discard_output = 1};
    static const char script[] = "yes | head -c 40000000 >&2; yes | head -c 40000000; exit 4";
    cws_process *p = must_exec(sb, ARGV("sh", "-c", script), &o);
    assert_int_equal(cws_op_wait(cws_process_op(p), SECOND / 2), CWS_WAIT_TIMEOUT);
    /* Both at once: the streams share a call, so each waits for the reader of the other. */
    struct drain out = {.reader = cws_process_stdout(p)},
                 err = {.reader = cws_process_stderr(p)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain, &err), 0);
    (void)drain(&out);
    (void)pthread_join(thread, NULL);
    assert_int_equal(out.n_bytes, 40000000);
    assert_int_equal(err.n_bytes, 40000000);
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_op_int(cws_process_op(p)), 4);
    cws_process_unref(p);
}

static void test_closing_discarded_streams_lets_the_command_go_on(void **state)
{
    cws_exec_options o = {.discard_output = 1};
    static const char script[] = "yes | head -c 40000000 >&2; yes | head -c 40000000; exit 4";
    cws_process *p = must_exec(sb, ARGV("sh", "-c", script), &o);
    assert_int_equal(cws_op_wait(cws_process_op(p), SECOND / 2), CWS_WAIT_TIMEOUT);
    cws_reader_close(cws_process_stdout(p));
    cws_reader_close(cws_process_stderr(p)); /* full by now */
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_op_int(cws_process_op(p)), 4);
    cws_process_unref(p);
}

static void test_a_held_back_command_still_times_out(void **state)
{
    cws_exec_options o = {.discard_output = 1, .timeout_ns = SECOND / 2};
    cws_process *p = must_exec(sb, ARGV("yes"), &o);
    assert_int_equal(must_fail(cws_process_op(p)), CWS_E_TIMEOUT);
    cws_process_unref(p);
}

static void test_a_result_keeps_a_bounded_part_of_the_output(void **state)
{
    cws_exec_options o = {.max_output_bytes = 100000};
    size_t before = heap_in_use(), n;
    cws_process *p = must_exec(
        sb, ARGV("sh", "-c", "yes | head -c 100000000; printf exact >&2; exit 3"), &o);
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_op_int(cws_process_op(p)), 3);
    assert_int_equal(cws_process_output_size(p, CWS_STDOUT), 100000);
    const char *out = cws_process_output(p, CWS_STDOUT, &n);
    assert_int_equal(n, 100000);
    assert_memory_equal(out + n - 4, "y\ny\n", 4);
    assert_int_equal(cws_process_output_truncated(p, CWS_STDOUT), 1);
    assert_int_equal(cws_process_output_truncated(p, CWS_STDERR), 0);
    assert_true(heap_in_use() < before + ((size_t)4 << 20));
    /* Who asks for the stream now is told where the gap is. */
    struct drain late = {.reader = cws_process_stdout(p)};
    (void)drain(&late);
    assert_in_range(late.n_bytes, 100000, 5000000); /* whole chunks */
    assert_int_equal(late.end, CWS_READ_ERROR);
    cws_process_unref(p);
}

static void test_a_stream_that_was_asked_for_has_all_of_it(void **state)
{
    cws_exec_options o = {.max_output_bytes = 100000};
    cws_process *p = must_exec(sb, ARGV("sh", "-c", "yes | head -c 100000000"), &o);
    struct drain out = {.reader = cws_process_stdout(p)};
    (void)drain(&out);
    assert_int_equal(out.end, CWS_READ_END);
    assert_int_equal(out.n_bytes, 100000000);
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_process_output_size(p, CWS_STDOUT), 100000);
    cws_process_unref(p);
}

/* The command's own mark tells that it ended: nobody holds its handle. */
static void test_output_that_nobody_holds_is_dropped(void **state)
{
    static const char script[] =
        "yes | head -c 300000000; yes | head -c 300000000 >&2; touch /tmp/unheld";
    size_t before = heap_in_use();
    cws_process *p = must_exec(sb, ARGV("sh", "-c", script), NULL);
    cws_reader *out = cws_reader_ref(cws_process_stdout(p));
    cws_process_unref(p);
    cws_chunk c;
    assert_int_equal(cws_reader_read(out, LONG, &c, NULL), CWS_READ_DATA);
    cws_chunk_release(&c);
    cws_reader_unref(out);
    size_t peak = 0;
    for (bool ended = false; !ended;) {
        cws_process *look = must_exec(sb, ARGV("test", "-e", "/tmp/unheld"), NULL);
        must_succeed(cws_process_op(look));
        ended = cws_op_int(cws_process_op(look)) == 0;
        cws_process_unref(look);
        size_t now = heap_in_use();
        peak = now > peak ? now : peak;
    }
    if (peak > before + ((size_t)32 << 20))
        fail_msg("%zu bytes before, %zu at the end", before, peak);
}

static void test_a_terminal_that_nobody_holds_ends(void **state)
{
    static const cws_exec_options tty = {.tty = 1};
    cws_process *p =
        must_exec(sb, ARGV("sh", "-c", "echo $$ > /tmp/tty; exec sleep 1000"), &tty);
    must_shell(sb, "while ! test -s /tmp/tty; do :; done", "");
    cws_process_unref(p); /* its output was never looked at */
    must_shell(sb, "while kill -0 $(cat /tmp/tty) 2>/dev/null; do :; done; echo gone",
               "gone\n");
}

static void test_cancel_ends_the_process(void **state)
{
    cws_process *p = must_exec(sb, ARGV("sh", "-c", "echo started; exec sleep 1000"), NULL);
    cws_chunk c;
    assert_int_equal(cws_reader_read(cws_process_stdout(p), LONG, &c, NULL), CWS_READ_DATA);
    cws_chunk_release(&c);
    assert_int_equal(cws_op_cancel(cws_process_op(p)), 1);
    assert_int_equal(cws_op_cancel(cws_process_op(p)), 0);
    assert_int_equal(must_fail(cws_process_op(p)), CWS_E_CANCELLED);
    assert_int_equal(cws_reader_read(cws_process_stdout(p), LONG, &c, NULL), CWS_READ_END);
    int code;
    assert_int_equal(cws_process_returncode(p, &code), 0);
    cws_process_unref(p);
    must_shell(sb, "echo healthy", "healthy\n");
}

static void test_a_terminal_echoes_resizes_and_ends(void **state)
{
    cws_exec_options o = {.tty = 1, .tty_width = 80, .tty_height = 24};
    cws_process *p = must_exec(sb, ARGV("sh"), &o);
    assert_null(cws_process_stderr(p));
    must_finish(cws_writer_write(cws_process_stdin(p), "stty size; read x; stty size; exit 5\n",
                                 37, NULL));
    char seen[8192] = "";
    while (!strstr(seen, "24 80")) {
        cws_chunk c;
        assert_int_equal(cws_reader_read(cws_process_stdout(p), LONG, &c, NULL), CWS_READ_DATA);
        (void)strncat(seen, (const char *)c.data, c.size);
        cws_chunk_release(&c);
    }
    assert_int_equal(cws_process_resize(p, 132, 43, NULL), 0);
    must_finish(cws_writer_write(cws_process_stdin(p), "\n", 1, NULL));
    size_t n = read_all(cws_process_stdout(p), seen, sizeof(seen) - 1);
    seen[n] = '\0';
    assert_non_null(strstr(seen, "43 132"));
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_op_int(cws_process_op(p)), 5);
    cws_error *e = NULL;
    assert_int_equal(cws_process_resize(p, 1, 1, &e), -1);
    assert_int_equal(cws_error_get_kind(e), CWS_E_EXECUTION);
    cws_error_free(e);
    cws_process_unref(p);
}

static void test_closing_a_terminals_reader_cancels_it(void **state)
{
    cws_exec_options o = {.tty = 1};
    cws_process *p = must_exec(sb, ARGV("sleep", "1000"), &o);
    cws_reader_close(cws_process_stdout(p));
    assert_int_equal(must_fail(cws_process_op(p)), CWS_E_CANCELLED);
    cws_process_unref(p);
}

static void test_a_terminal_nobody_reads_does_not_cost_memory(void **state)
{
    cws_exec_options o = {.tty = 1};
    cws_process *p =
        must_exec(sb, ARGV("sh", "-c", "stty raw; yes | head -c 40000000; exit 9"), &o);
    assert_int_equal(cws_op_wait(cws_process_op(p), SECOND), CWS_WAIT_TIMEOUT); /* held back */
    size_t n = 0;
    cws_chunk c;
    while (cws_reader_read(cws_process_stdout(p), LONG, &c, NULL) == CWS_READ_DATA) {
        n += c.size;
        cws_chunk_release(&c);
    }
    assert_int_equal(n, 40000000);
    must_succeed(cws_process_op(p));
    assert_int_equal(cws_op_int(cws_process_op(p)), 9);
    cws_process_unref(p);
}

static void test_statistics_count_every_process_once(void **state)
{
    cws_sandbox *fresh = must_run();
    for (int i = 0; i < 3; i++) {
        cws_process *p = must_exec(fresh, ARGV("sh", "-c", i == 2 ? "exit 1" : "true"), NULL);
        must_succeed(cws_process_op(p));
        cws_process_unref(p);
    }
    cws_process *p = must_exec(fresh, ARGV("sleep", "1000"), NULL);
    (void)cws_op_cancel(cws_process_op(p));
    cws_process_unref(p);
    cws_exec_stats stats;
    cws_sandbox_exec_stats(fresh, &stats);
    assert_int_equal(stats.count, 4);
    assert_int_equal(stats.completed_ok, 2);
    assert_int_equal(stats.completed_nonzero, 1);
    assert_int_equal(stats.failures, 1);
    must_stop(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exec_gives_output_and_exit_code),
        cmocka_unit_test(test_check_turns_a_nonzero_exit_into_an_error),
        cmocka_unit_test(test_bad_commands_are_refused_at_once),
        cmocka_unit_test(test_cwd_and_quoting_reach_the_command),
        cmocka_unit_test(test_stdin_is_delivered_in_order_and_ends),
        cmocka_unit_test(test_a_full_stdin_queue_shows_as_a_pending_write),
        cmocka_unit_test(test_writes_fail_when_the_process_has_ended),
        cmocka_unit_test(test_chunks_arrive_while_the_process_runs),
        cmocka_unit_test(test_much_output_is_byte_exact),
        cmocka_unit_test(test_a_time_out_ends_the_whole_command_when_it_says),
        cmocka_unit_test(test_discarded_output_passes_complete_and_is_not_kept),
        cmocka_unit_test(test_unread_discarded_output_holds_the_command_back),
        cmocka_unit_test(test_closing_discarded_streams_lets_the_command_go_on),
        cmocka_unit_test(test_a_held_back_command_still_times_out),
        cmocka_unit_test(test_a_result_keeps_a_bounded_part_of_the_output),
        cmocka_unit_test(test_a_stream_that_was_asked_for_has_all_of_it),
        cmocka_unit_test(test_output_that_nobody_holds_is_dropped),
        cmocka_unit_test(test_a_terminal_that_nobody_holds_ends),
        cmocka_unit_test(test_cancel_ends_the_process),
        cmocka_unit_test(test_a_terminal_echoes_resizes_and_ends),
        cmocka_unit_test(test_closing_a_terminals_reader_cancels_it),
        cmocka_unit_test(test_a_terminal_nobody_reads_does_not_cost_memory),
        cmocka_unit_test(test_statistics_count_every_process_once),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
