/* Quantities: what the grammar allows, exact values, and nothing else. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/quantity.h"

static uint64_t value_of(const char *text, uint32_t scale)
{
    uint64_t value = 0;
    assert_int_equal(quantity_parse(text, scale, &value), 0);
    return value;
}

static void test_cpu_is_read_in_millicores(void **state)
{
    assert_int_equal(value_of("500m", 1000), 500);
    assert_int_equal(value_of("1", 1000), 1000);
    assert_int_equal(value_of("1.5", 1000), 1500);
    assert_int_equal(value_of(" 2 ", 1000), 2000);
    assert_int_equal(value_of(".25", 1000), 250);
    assert_int_equal(value_of("1e1", 1000), 10000);
}

static void test_memory_is_read_in_bytes(void **state)
{
    assert_int_equal(value_of("512Mi", 1), 512u << 20);
    assert_int_equal(value_of("1Gi", 1), 1u << 30);
    assert_int_equal(value_of("1.5Ki", 1), 1536);
    assert_int_equal(value_of("1G", 1), 1000000000);
    assert_int_equal(value_of("128k", 1), 128000);
    assert_int_equal(value_of("0004", 1), 4);
    assert_int_equal(value_of("12E-1", 1), 2);
}

static void test_fractions_round_up(void **state)
{
    assert_int_equal(value_of("0.0001", 1000), 1);
    assert_int_equal(value_of("1m", 1), 1);
    assert_int_equal(value_of("1001m", 1), 2);
    assert_int_equal(value_of("1000m", 1), 1);
}

static void test_other_words_are_refused(void **state)
{
    static const char *const bad[] = {"",     " ",   ".",      "m",   "-1",    "+1",
                                      "1mi",  "1KI", "1 Gi x", "1e",  "1e+",   "1e3Mi",
                                      "0x10", "1,5", "1..5",   "inf", "1.5.2", "Mi1"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t value = 7;
        assert_int_equal(quantity_parse(bad[i], 1, &value), -EINVAL);
        assert_int_equal(value, 7);
    }
}

static void test_values_past_the_range_are_refused(void **state)
{
    static const char *const bad[] = {"8Ei",
                                      "9223372036854775808",
                                      "1e30",
                                      "1e31",
                                      "999999999999999999E",
                                      "1e99999999999999999999",
                                      "1000000000000000000000"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint64_t value;
        assert_int_equal(quantity_parse(bad[i], 1, &value), -ERANGE);
    }
    assert_int_equal(value_of("7Ei", 1), 7ULL << 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cpu_is_read_in_millicores),
        cmocka_unit_test(test_memory_is_read_in_bytes),
        cmocka_unit_test(test_fractions_round_up),
        cmocka_unit_test(test_other_words_are_refused),
        cmocka_unit_test(test_values_past_the_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
