/* JSON strings, times, and command lines in one string. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/format.h"
#include "cli/value.h"

static void assert_json(const char *text, const char *expected)
{
    char *json = NULL;
    size_t size;
    FILE *out = open_memstream(&json, &size);
    json_string(out, text);
    (void)fclose(out);
    assert_string_equal(json, expected);
    free(json);
}

static void test_json_escapes_as_python_does(void **state)
{
    assert_json(NULL, "null");
    assert_json("", "\"\"");
    assert_json("plain /path", "\"plain /path\"");
    assert_json("\"\\\b\f\n\r\t", "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    assert_json("\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"");
    assert_json("ä€", "\"\\u00e4\\u20ac\"");
    assert_json("😀", "\"\\ud83d\\ude00\"");
    assert_json("\xf4\x8f\xbf\xbf", "\"\\udbff\\udfff\"");
}

static void test_json_replaces_what_is_not_utf8(void **state)
{
    assert_json("\xff", "\"\\ufffd\"");
    assert_json("a\xc3", "\"a\\ufffd\"");                     /* cut short by the end */
    assert_json("\xe2\x82x", "\"\\ufffd\\ufffdx\"");          /* cut short by a letter */
    assert_json("\xc0\x80", "\"\\ufffd\\ufffd\"");            /* overlong */
    assert_json("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""); /* surrogate */
    assert_json("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* past U+10FFFF */
}

static void assert_plain(const char *text, const char *expected)
{
    char *plain = NULL;
    size_t size;
    FILE *out = open_memstream(&plain, &size);
    print_plain(out, text);
    (void)fclose(out);
    assert_string_equal(plain, expected);
    free(plain);
}

static void test_what_would_command_a_terminal_is_shown_as_text(void **state)
{
    assert_plain("two\nlines\tof ä€😀", "two\nlines\tof ä€😀");
    assert_plain("\033[31m\r\a\x7f", "\\x1b[31m\\x0d\\x07\\x7f");
    assert_plain("\xc2\x9b"
                 "31m",
                 "\\x9b31m"); /* CSI in one character */
    assert_plain("a\xff", "a\\xff");
}

static void test_times_are_written_as_python_writes_them(void **state)
{
    CLEANUP_FREE char *whole = time_iso(UINT64_C(1700000000) * NS_PER_SEC);
    assert_string_equal(whole, "2023-11-14T22:13:20+00:00");
    CLEANUP_FREE char *micros = time_iso(UINT64_C(1700000000) * NS_PER_SEC + 1999);
    assert_string_equal(micros, "2023-11-14T22:13:20.000001+00:00");
    CLEANUP_FREE char *human = time_human(UINT64_C(1700000000) * NS_PER_SEC + 5);
    assert_string_equal(human, "2023-11-14 22:13:20 UTC");
    assert_null(time_iso(0));
    assert_null(time_human(0));
}

static void test_times_are_read_as_utc(void **state)
{
    static const struct {
        const char *text;
        uint64_t seconds; /* 0 = refused */
    } rows[] = {
        {"2023-11-14T22:13:20", 1700000000},
        {"2023-11-14 22:13:20", 1700000000},
        {"2023-11-14T22:13:20Z", 1700000000},
        {"2023-11-14", 1699920000},
        {"2023-02-30", 0},
        {"2023-13-01", 0},
        {"2023-11-14T25:00:00", 0},
        {"2023-11-14T22:13", 0},
        {"2023-11-14T22:13:20+02:00", 0},
        {"1969-12-31", 0},
        {"yesterday", 0},
        {"", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint64_t ns = 0;
        bool read = value_parse_time(rows[i].text, &ns);
        if (read != (rows[i].seconds != 0) || ns != rows[i].seconds * NS_PER_SEC)
            fail_msg("\"%s\" was read as %llu", rows[i].text, (unsigned long long)ns);
    }
}

/* Words joined by '|'; NULL = refused. */
static void assert_split(const char *text, const char *expected)
{
    CLEANUP_FREE char *block = NULL;
    CLEANUP(words_done) struct words words = {0};
    bool split = value_split_command(text, &words, &block);
    assert_int_equal(split, expected != NULL);
    if (!split)
        return;
    CLEANUP_FREE char *joined = text_dup("");
    for (size_t i = 0; i < words.n; i++) {
        CLEANUP_FREE char *before = joined;
        joined = text_printf("%s%s%s", before, i ? "|" : "", words.items[i]);
    }
    assert_string_equal(joined, expected);
}

static void test_commands_are_split_as_a_shell_would(void **state)
{
    assert_split("/bin/bash", "/bin/bash");
    assert_split("  a\tb  ", "a|b");
    assert_split("sh -c 'echo $HOME \"x\"'", "sh|-c|echo $HOME \"x\"");
    assert_split("a\"b c\"'d e'", "ab cd e");
    assert_split("a\\ b \"c\\\"d\" \"e\\f\" 'g\\h'", "a b|c\"d|e\\f|g\\h");
    assert_split("'' x", "|x");
    assert_split("", "");
    assert_split("   ", "");
    assert_split("'open", NULL);
    assert_split("a \"open", NULL);
    assert_split("trailing\\", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_escapes_as_python_does),
        cmocka_unit_test(test_json_replaces_what_is_not_utf8),
        cmocka_unit_test(test_what_would_command_a_terminal_is_shown_as_text),
        cmocka_unit_test(test_times_are_written_as_python_writes_them),
        cmocka_unit_test(test_times_are_read_as_utc),
        cmocka_unit_test(test_commands_are_split_as_a_shell_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
