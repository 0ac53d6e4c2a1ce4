/* Options: precedence of the sources, and messages that name what is wrong and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "server/options.h"

#define ARGV(...) ((char *[]){"cwsandboxd", __VA_ARGS__, NULL})
#define ENV(...) ((char *[]){__VA_ARGS__, NULL})

static int load(struct options *o, char *const *argv, char *const *env, struct err *err)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    return options_load(o, argc, argv, env, err);
}

/* A configuration file that lives as long as the test. */
static char *config_file(const char *text)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "/tmp/cws-test-options-%d", (int)getpid());
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void expect_error(char *const *argv, char *const *env, const char *part)
{
    CLEANUP(options_done) struct options o = {0};
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(load(&o, argv, env, &err), -1);
    assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
    if (strstr(err_text(&err), part) == NULL)
        fail_msg("`%s` does not hold `%s`", err_text(&err), part);
}

static void test_defaults_are_those_of_the_table(void **state)
{
    CLEANUP(options_done) struct options o = {0};
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(load(&o, ARGV("--config", "/dev/null"), ENV("X=1"), &err), 0);
    assert_int_equal(o.warm_pool, 4);
    assert_int_equal(o.max_sandboxes, 10000);
    assert_int_equal(o.root_size_bytes, 1u << 30);
    assert_false(o.root_on_disk);
    assert_int_equal(o.default_lifetime_ns, 86400 * NS_PER_SEC);
    assert_int_equal(o.retention_ns, 3600 * NS_PER_SEC);
    assert_int_equal(o.max_retained, 10000);
    assert_int_equal(o.log_size_bytes, 64 << 20);
    assert_int_equal(o.log_disk_bytes, 0);
    assert_int_equal(o.idle_ns, 0);
    assert_true(o.ready_fd == OPTIONS_NO_FD);
    assert_int_equal(o.log_level, LOG_INFO);
    assert_int_equal(o.listen.n_items, 0);
}

static void test_flags_win_over_environment_over_file(void **state)
{
    CLEANUP(options_done) struct options o = {0};
    CLEANUP_ERR struct err err = {0};
    char *path = config_file("data-dir = /from/file\nlog-level=error\nwarm-pool = 9\n"
                             "# a comment\n\nlisten = unix:///a\nlisten = unix:///b\n");
    int r = load(&o, ARGV("--config", path, "--log-level=debug", "--listen", "unix:///c"),
                 ENV("CWSANDBOX_DATA_DIR=/from/env", "CWSANDBOX_LOG=warn"), &err);
    (void)unlink(path);
    assert_int_equal(r, 0);
    assert_string_equal(o.data_dir, "/from/env");
    assert_int_equal(o.log_level, LOG_DEBUG);
    assert_int_equal(o.warm_pool, 9);
    assert_int_equal(o.listen.n_items, 1);
    assert_string_equal(o.listen.items[0], "unix:///c");
}

static void test_a_root_on_disk_is_larger_unless_said_otherwise(void **state)
{
    CLEANUP(options_done) struct options o = {0}, given = {0};
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(
        load(&o, ARGV("--config", "/dev/null", "--root-backing", "disk"), ENV("X=1"), &err), 0);
    assert_true(o.root_on_disk);
    assert_int_equal(o.root_size_bytes, UINT64_C(10) << 30);
    assert_int_equal(
        load(&given, ARGV("--config", "/dev/null", "--root-backing=disk", "--root-size=2Gi"),
             ENV("X=1"), &err),
        0);
    assert_int_equal(given.root_size_bytes, UINT64_C(2) << 30);
    expect_error(ARGV("--config", "/dev/null", "--host-directories", "/data/../etc"),
                 ENV("X=1"), "--host-directories: `/data/../etc` is not an absolute path");
    expect_error(ARGV("--config", "/dev/null", "--root-backing", "tape"), ENV("X=1"),
                 "--root-backing: `tape` is neither memory nor disk");
    expect_error(ARGV("--config", "/dev/null", "--root-size", "0"), ENV("X=1"),
                 "--root-size: 0");
}

static void test_a_list_in_the_file_keeps_all_its_lines(void **state)
{
    CLEANUP(options_done) struct options o = {0};
    CLEANUP_ERR struct err err = {0};
    char *path = config_file("image-alias = python:*=host\nimage-alias = x=host\n");
    int r = load(&o, ARGV("--config", path), ENV("X=1"), &err);
    (void)unlink(path);
    assert_int_equal(r, 0);
    assert_int_equal(o.n_aliases, 2);
    assert_string_equal(o.aliases[0].pattern, "python:*");
    assert_string_equal(o.aliases[0].image, "host");
}

static void test_mistakes_in_the_file_name_file_and_line(void **state)
{
    static const struct {
        const char *text, *part;
    } rows[] = {
        {"warm-pool = 1\nnonsense = 2\n", ":2: unknown key `nonsense`"},
        {"\n\nwarm-pool 3\n", ":3: no `=`"},
        {"warm-pool = many\n", ":1: warm-pool: bad value `many`"},
        {"warm-pool = 99999\n", ":1: warm-pool: `99999` is too large"},
        {"check-config = true\n", ":1: only a flag"},
        {"log-level = loud\n", ":1: log-level: bad value `loud`"},
        {"allow-unauthenticated = perhaps\n", ":1: allow-unauthenticated: bad value"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char *path = config_file(rows[i].text);
        CLEANUP_FREE char *part = str_dup_printf("%s%s", path, rows[i].part);
        expect_error(ARGV("--config", path), ENV("X=1"), part);
        (void)unlink(path);
    }
}

static void test_mistakes_in_flags_and_variables_are_named(void **state)
{
    expect_error(ARGV("--no-such-flag"), ENV("X=1"), "unknown flag `--no-such-flag`");
    expect_error(ARGV("--warm=3"), ENV("X=1"), "unknown flag `--warm`");
    expect_error(ARGV("stray"), ENV("X=1"), "unexpected argument `stray`");
    expect_error(ARGV("--data-dir"), ENV("X=1"), "--data-dir needs a value");
    expect_error(ARGV("--data-dir", "relative"), ENV("X=1"), "`relative` is not absolute");
    expect_error(ARGV("--config", "/nonexistent"), ENV("X=1"), "/nonexistent");
    expect_error(ARGV("--embedded"), ENV("CWSANDBOX_IDLE_SECONDS=soon"),
                 "CWSANDBOX_IDLE_SECONDS");
    expect_error(ARGV("--embedded", "--listen", "unix:///x"), ENV("X=1"), "--listen");
    expect_error(ARGV("--embedded", "--image-alias", "python"), ENV("X=1"), "PATTERN=IMAGE");
    expect_error(ARGV("--embedded", "--max-sandboxes", "0"), ENV("X=1"), "--max-sandboxes");
    expect_error(ARGV("--embedded", "--tls-cert", "x"), ENV("X=1"), "--tls-key");
    expect_error(ARGV("--unix-allow-uid", "bob", "--config", "/dev/null"), ENV("X=1"),
                 "`bob` is not a uid");
    expect_error(ARGV("--embedded", "--service-name", "A/B"), ENV("X=1"), "--service-name");
}

static void test_the_ready_descriptor_is_known_even_if_the_rest_is_wrong(void **state)
{
    CLEANUP(options_done) struct options o = {0};
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(load(&o, ARGV("--bogus", "--ready-fd", "5"), ENV("X=1"), &err), -1);
    assert_int_equal(o.ready_fd, 5);
}

static void test_the_embedded_service_leaves_after_a_minute_unless_told(void **state)
{
    CLEANUP_ERR struct err err = {0};
    struct options o = {0};
    assert_int_equal(load(&o, ARGV("--embedded"), ENV("X=1"), &err), 0);
    assert_int_equal(o.idle_ns, 60 * NS_PER_SEC);
    options_done(&o);
    assert_int_equal(load(&o, ARGV("--embedded"), ENV("CWSANDBOX_IDLE_SECONDS=0"), &err), 0);
    assert_int_equal(o.idle_ns, 0);
    options_done(&o);
    assert_int_equal(load(&o, ARGV("--embedded", "--idle-seconds", "5"),
                          ENV("CWSANDBOX_IDLE_SECONDS=9"), &err),
                     0);
    assert_int_equal(o.idle_ns, 5 * NS_PER_SEC);
    options_done(&o);
}

static void test_durations_have_units(void **state)
{
    static const struct {
        const char *text;
        uint64_t seconds;
    } rows[] = {{"90", 90}, {"90s", 90}, {"5m", 300}, {"24h", 86400}, {"7d", 604800}, {"0", 0}};
    uint64_t ns;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(option_parse_duration(rows[i].text, &ns), 0);
        assert_true(ns == rows[i].seconds * NS_PER_SEC);
    }
    static const char *const bad[] = {
        "", "s", "-1", "1.5h", "1w", "1hh", "99999999999999999999", "9999999999999d"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(option_parse_duration(bad[i], &ns) < 0);
}

static void test_help_names_every_option(void **state)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    options_help(f);
    assert_int_equal(fclose(f), 0);
    for (size_t i = 0; i < options_table_len; i++) {
        CLEANUP_FREE char *flag = str_dup_printf("  --%s", options_table[i].name);
        assert_non_null(strstr(text, flag));
    }
    free(text);
}

/* What the front hands to the daemon says the same, whatever it was made from. */
static void test_options_survive_as_flags(void **state)
{
    CLEANUP(options_done) struct options first = {0}, second = {0};
    CLEANUP_ERR struct err err = {0};
    CLEANUP(text_list_done) struct text_list flags = {0}, again = {0};
    (void)state;
    assert_int_equal(text_list_add(&flags, "cwsandboxd"), 0);
    assert_int_equal(
        load(&first,
             ARGV("--config=/dev/null", "--listen=unix:///a b", "--listen=http://[::1]:1",
                  "--default-cpu=1.5", "--root-size=3Mi", "--max-lifetime=7d",
                  "--image-alias=python:*=host", "--unix-allow-uid=7", "--log-level=warn",
                  "--allow-unauthenticated", "--runner-id=r=1", "--idle-seconds=5"),
             ENV("X=1"), &err),
        0);
    assert_int_equal(options_add_flags(&first, &flags), 0);
    assert_int_equal(load(&second, flags.items, ENV("CWSANDBOX_LOG=debug"), &err), 0);
    assert_int_equal(text_list_add(&again, "cwsandboxd"), 0);
    assert_int_equal(options_add_flags(&second, &again), 0);
    assert_int_equal(flags.n_items, again.n_items);
    for (size_t i = 0; i < flags.n_items; i++)
        assert_string_equal(flags.items[i], again.items[i]);
    assert_int_equal(second.default_cpu_millis, 1500);
    assert_int_equal(second.idle_ns, 5 * NS_PER_SEC);
    assert_string_equal(second.aliases[0].pattern, "python:*");
    assert_string_equal(second.aliases[0].image, "host");
    assert_int_equal(second.allowed_uids[0], 7);
    assert_int_equal(second.log_level, LOG_WARN);
}

static size_t n_noted;

static void on_note(const char *option, const char *variable)
{
    n_noted++;
    assert_string_equal(option, "data-dir");
    assert_string_equal(variable, "CWSANDBOX_DATA_DIR");
}

static void test_a_variable_that_beats_the_file_is_noted(void **state)
{
    CLEANUP(options_done) struct options o = {0};
    CLEANUP_ERR struct err err = {0};
    (void)state;
    char *path = config_file("data-dir = /from/file\nwarm-pool = 3\n");
    int r = load(&o, ARGV("--config", path),
                 ENV("CWSANDBOX_DATA_DIR=/from/env", "CWSANDBOX_LOG=warn"), &err);
    (void)unlink(path);
    assert_int_equal(r, 0);
    assert_string_equal(o.data_dir, "/from/env");
    options_note_overrides(&o, on_note);
    assert_int_equal(n_noted, 1); /* the log level is not in the file */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_those_of_the_table),
        cmocka_unit_test(test_flags_win_over_environment_over_file),
        cmocka_unit_test(test_a_root_on_disk_is_larger_unless_said_otherwise),
        cmocka_unit_test(test_a_list_in_the_file_keeps_all_its_lines),
        cmocka_unit_test(test_mistakes_in_the_file_name_file_and_line),
        cmocka_unit_test(test_mistakes_in_flags_and_variables_are_named),
        cmocka_unit_test(test_the_ready_descriptor_is_known_even_if_the_rest_is_wrong),
        cmocka_unit_test(test_the_embedded_service_leaves_after_a_minute_unless_told),
        cmocka_unit_test(test_durations_have_units),
        cmocka_unit_test(test_help_names_every_option),
        cmocka_unit_test(test_a_variable_that_beats_the_file_is_noted),
        cmocka_unit_test(test_options_survive_as_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
