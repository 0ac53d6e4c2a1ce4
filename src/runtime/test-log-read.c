/* Places in a log file, times in front of its lines, and marks of a session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "runtime/log-stream.h"

static int file_with(const void *data, size_t n)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, data, n), 0);
    return fd;
}

static uint64_t tail_of(int fd, uint64_t start, uint64_t end, uint64_t n_lines)
{
    struct log_tail tail = {.at = end};
    while (!log_seek_tail(fd, start, end, n_lines, &tail)) {
    }
    return tail.at;
}

static void test_tail_finds_the_start_of_the_last_lines(void **state)
{
    static const struct {
        const char *text;
        uint64_t n_lines, at;
    } rows[] = {{"", 1, 0},          {"a\n", 1, 0},    {"a\nb\n", 1, 2}, {"a\nb", 1, 2},
                {"a\nb\nc\n", 2, 2}, {"a\nb\n", 5, 0}, {"\n\n\n", 2, 1}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_FD int fd = file_with(rows[i].text, strlen(rows[i].text));
        assert_int_equal(tail_of(fd, 0, strlen(rows[i].text), rows[i].n_lines), rows[i].at);
    }
}

static void test_tail_crosses_the_borders_of_chunks(void **state)
{
    size_t n = 3 * LOG_CHUNK + 17;
    CLEANUP_FREE char *text = malloc(n);
    (void)state;
    memset(text, 'x', n);
    text[LOG_CHUNK + 16] = text[LOG_CHUNK + 17] = text[n - 1] = '\n';
    CLEANUP_FD int fd = file_with(text, n);
    assert_int_equal(tail_of(fd, 0, n, 1), LOG_CHUNK + 18);
    assert_int_equal(tail_of(fd, 0, n, 2), LOG_CHUNK + 17);
    assert_int_equal(tail_of(fd, 0, n, 3), 0);
    assert_int_equal(tail_of(fd, 100, n, 3), 100);
}

static void test_search_without_a_newline_comes_in_steps(void **state)
{
    size_t n = 2 * LOG_SCAN_MAX + 1;
    CLEANUP_FREE char *text = malloc(n);
    struct log_tail tail = {.at = n};
    int steps = 1;
    (void)state;
    memset(text, 'x', n);
    CLEANUP_FD int fd = file_with(text, n);
    while (!log_seek_tail(fd, 0, n, 1, &tail))
        steps++;
    assert_int_equal(tail.at, 0);
    assert_int_equal(steps, 3);
    assert_int_equal(log_seek_line(fd, 1, n), 1);
}

static void test_line_is_found_at_or_after_a_place(void **state)
{
    CLEANUP_FD int fd = file_with("ab\ncd\nef", 8);
    (void)state;
    assert_int_equal(log_seek_line(fd, 0, 8), 0);
    assert_int_equal(log_seek_line(fd, 1, 8), 3);
    assert_int_equal(log_seek_line(fd, 3, 8), 3);
    assert_int_equal(log_seek_line(fd, 7, 8),
                     7); /* none: what is there is better than nothing */
}

static void test_rendering_is_the_same_however_it_is_cut(void **state)
{
    static const char text[] = "one\n\ntwo\nthree";
    struct log_index ix = {0};
    CLEANUP_BUF struct buf whole = {0};
    bool start = true;
    (void)state;
    log_index_add(&ix, 4, 1000000001);
    log_index_add(&ix, 14, 2000000002);
    assert_int_equal(log_render(&ix, 0, (const uint8_t *)text, 14, 0, &start, &whole), 0);
    assert_memory_equal(buf_head(&whole),
                        "1970-01-01T00:00:01.000000001Z one\n1970-01-01T00:00:02.000000002Z \n",
                        67);
    for (size_t cut = 1; cut < 14; cut++) {
        CLEANUP_BUF struct buf parts = {0};
        start = true;
        assert_int_equal(log_render(&ix, 0, (const uint8_t *)text, cut, 0, &start, &parts), 0);
        assert_int_equal(
            log_render(&ix, cut, (const uint8_t *)text + cut, 14 - cut, 0, &start, &parts), 0);
        assert_int_equal(buf_len(&parts), buf_len(&whole));
        assert_memory_equal(buf_head(&parts), buf_head(&whole), buf_len(&whole));
    }
    log_index_done(&ix);
}

static void test_every_offset_that_was_sent_has_a_mark_before_it(void **state)
{
    struct log_session s = {0};
    (void)state;
    assert_null(log_session_seek(&s, 0));
    for (uint64_t sent = 0; sent < 1000ULL * LOG_CHUNK; sent += LOG_CHUNK) {
        log_session_mark(&s, &(struct log_mark){sent, sent + 5, true}, false);
        s.sent = sent + LOG_CHUNK;
    }
    assert_true(s.n_marks <= LOG_MAX_MARKS);
    for (uint64_t at = 0; at <= s.sent; at += 10007) {
        const struct log_mark *mark = log_session_seek(&s, at);
        assert_non_null(mark);
        assert_true(mark->sent <= at && mark->position == mark->sent + 5);
    }
    assert_null(log_session_seek(&s, s.sent + 1));
    free(s.marks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tail_finds_the_start_of_the_last_lines),
        cmocka_unit_test(test_tail_crosses_the_borders_of_chunks),
        cmocka_unit_test(test_search_without_a_newline_comes_in_steps),
        cmocka_unit_test(test_line_is_found_at_or_after_a_place),
        cmocka_unit_test(test_rendering_is_the_same_however_it_is_cut),
        cmocka_unit_test(test_every_offset_that_was_sent_has_a_mark_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
