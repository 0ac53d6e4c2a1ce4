#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "resolve/names.h"

static enum names_answer look_up(const char *names, const char *name)
{
    struct question q = {.plain = true};
    (void)snprintf(q.name, sizeof(q.name), "%s", name);
    return names_look_up(names, strlen(names) + 1, &q);
}

static void test_a_name_is_that_name_only(void **state)
{
    (void)state;
    assert_int_equal(look_up("a.test\nb.test\n", "b.test"), NAMES_GRANTED);
    assert_int_equal(look_up("a.test\n", "x.a.test"), NAMES_REFUSED);
    assert_int_equal(look_up("a.test\n", "a.test.x"), NAMES_REFUSED);
    assert_int_equal(look_up("a.test\n", "test"), NAMES_REFUSED);
    assert_int_equal(look_up("a.test\n", ""), NAMES_REFUSED);
    assert_int_equal(look_up("", "a.test"), NAMES_REFUSED);
    assert_int_equal(look_up("", ""), NAMES_REFUSED);
}

static void test_a_star_is_one_label(void **state)
{
    (void)state;
    assert_int_equal(look_up("*.a.test\n", "x.a.test"), NAMES_GRANTED);
    assert_int_equal(look_up("*.a.test\n", "a.test"), NAMES_REFUSED);
    assert_int_equal(look_up("*.a.test\n", "y.x.a.test"), NAMES_REFUSED);
    assert_int_equal(look_up("*.a.test\n", "x.ba.test"), NAMES_REFUSED);
}

static void test_whoever_may_ask_for_all_is_granted_what_has_a_line(void **state)
{
    (void)state;
    assert_int_equal(look_up("*\na.test\n", "a.test"), NAMES_GRANTED);
    assert_int_equal(look_up("a.test\n*\n", "b.test"), NAMES_ASKED);
}

static void test_what_is_no_text_is_no_name(void **state)
{
    struct question q = {.name = "a.test", .plain = false};
    (void)state;
    assert_int_equal(names_look_up("a.test\n", 8, &q), NAMES_REFUSED);
}

static void test_lines_end_where_the_table_does(void **state)
{
    struct question q = {.name = "a.test", .plain = true};
    (void)state;
    assert_int_equal(names_look_up("b\na.test\n", 8, &q), NAMES_REFUSED);
    assert_int_equal(names_look_up("b\na.test\n", 9, &q), NAMES_GRANTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_is_that_name_only),
        cmocka_unit_test(test_a_star_is_one_label),
        cmocka_unit_test(test_whoever_may_ask_for_all_is_granted_what_has_a_line),
        cmocka_unit_test(test_what_is_no_text_is_no_name),
        cmocka_unit_test(test_lines_end_where_the_table_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
