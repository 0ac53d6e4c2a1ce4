#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "image/reference.h"

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_a_name_gets_the_defaults_of_docker_hub(void **state)
{
    static const char *const rows[][2] = {
        {"python", "docker.io/library/python:latest"},
        {"python:3.11", "docker.io/library/python:3.11"},
        {"a/b", "docker.io/a/b:latest"},
        {"docker.io/python", "docker.io/library/python:latest"},
        {"index.docker.io/x", "docker.io/library/x:latest"},
        {"localhost/x", "localhost/x:latest"},
        {"localhost:5000/a/b:V_1.2-x", "localhost:5000/a/b:V_1.2-x"},
        {"[::1]:5000/x", "[::1]:5000/x:latest"},
        {"ghcr.io/a__b/c---d.e_f:1", "ghcr.io/a__b/c---d.e_f:1"},
        {"x@sha256:" HEX, "docker.io/library/x@sha256:" HEX},
        {"x:1@sha256:" HEX, "docker.io/library/x@sha256:" HEX},
        {"127.0.0.1:5000/x", "127.0.0.1:5000/x:latest"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_REFERENCE struct reference r = {0};
        CLEANUP_ERR struct err err = {0};
        if (reference_parse(rows[i][0], &r, &err) < 0)
            fail_msg("%s", err_text(&err));
        CLEANUP_FREE char *text = reference_format(&r);
        assert_string_equal(text, rows[i][1]);
    }
}

static void test_what_could_leave_a_url_or_a_path_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "..",
        "a/..",
        "a/../b",
        "A",
        "a b",
        "a%2f",
        "a?b",
        "a#b",
        "a\nb",
        "a:",
        "a:.b",
        "a:-b",
        "a:b/c",
        "a@b",
        "a@sha256:"
        "1",
        "a@sha512:" HEX HEX,
        "x.y:0/a",
        "x.y:99999/a",
        "x.y:/a",
        "-x.y/a",
        "x..y/a",
        "u:p@x.y/a",
        "[]/a",
        "[::1/a",
        "http://x.y/a",
        "a_",
        "a._b",
        "a___b",
        ".a",
        "a.",
        "\xc3\xa9",
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_REFERENCE struct reference r = {0};
        CLEANUP_ERR struct err err = {0};
        if (reference_parse(rows[i], &r, &err) == 0)
            fail_msg("`%s` is accepted", rows[i]);
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        assert_null(r.registry);
    }
}

static void test_what_is_made_here_gets_no_digest(void **state)
{
    CLEANUP_REFERENCE struct reference r = {0}, s = {0};
    CLEANUP_ERR struct err err = {0};
    assert_int_equal(reference_parse_tagged("a", &r, NULL), 0);
    assert_string_equal(r.tag, "latest");
    assert_int_equal(reference_parse_tagged("a:1@sha256:" HEX, &s, &err), -1);
    assert_non_null(strstr(err_text(&err), "give it a tag"));
    assert_null(s.registry);
}

static void test_lengths_have_limits(void **state)
{
    char name[REFERENCE_NAME_MAX + 2], tag[REFERENCE_TAG_MAX + 4];
    CLEANUP_REFERENCE struct reference r = {0}, s = {0};
    CLEANUP_ERR struct err err = {0};
    memset(name, 'a', sizeof(name) - 1);
    memcpy(name, "x.y/", 4);
    name[REFERENCE_NAME_MAX] = '\0';
    assert_int_equal(reference_parse(name, &r, &err), 0);
    name[REFERENCE_NAME_MAX] = 'a';
    name[REFERENCE_NAME_MAX + 1] = '\0';
    assert_int_equal(reference_parse(name, &s, &err), -1);
    memset(tag, 'a', sizeof(tag));
    memcpy(tag, "a:", 2);
    tag[2 + REFERENCE_TAG_MAX] = '\0';
    assert_int_equal(reference_parse(tag, &s, &err), 0);
    reference_done(&s);
    tag[2 + REFERENCE_TAG_MAX] = 'a';
    tag[3 + REFERENCE_TAG_MAX] = '\0';
    assert_int_equal(reference_parse(tag, &s, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_gets_the_defaults_of_docker_hub),
        cmocka_unit_test(test_what_could_leave_a_url_or_a_path_is_refused),
        cmocka_unit_test(test_what_is_made_here_gets_no_digest),
        cmocka_unit_test(test_lengths_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
