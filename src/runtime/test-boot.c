#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "runtime/boot.h"

#define HERE "11111111-1111-1111-1111-111111111111"
#define THERE "22222222-2222-2222-2222-222222222222"
#define S ((int64_t)NS_PER_SEC)

static void test_moment_of_this_boot_ignores_a_clock_that_jumped(void **state)
{
    struct boot_moment m = {HERE, 100 * S, 5000 * NS_PER_SEC};
    /* ten seconds later; the wall clock was set a day back, a year ahead */
    assert_int_equal(boot_moment_here(&m, HERE, 110 * S, 1 * NS_PER_SEC), 100 * S);
    assert_int_equal(boot_moment_here(&m, HERE, 110 * S, 40000000 * NS_PER_SEC), 100 * S);
}

static void test_moment_of_another_boot_is_told_by_the_wall_clock(void **state)
{
    struct boot_moment m = {THERE, 100 * S, 5000 * NS_PER_SEC};
    assert_int_equal(boot_moment_here(&m, HERE, 110 * S, 5600 * NS_PER_SEC), (110 - 600) * S);
}

static void test_moment_of_another_boot_is_older_than_this_boot(void **state)
{
    struct boot_moment m = {THERE, 100 * S, 5000 * NS_PER_SEC};
    assert_int_equal(boot_moment_here(&m, HERE, 110 * S, 4000 * NS_PER_SEC), 0);
    assert_int_equal(boot_moment_here(&m, "", 110 * S, 5001 * NS_PER_SEC), 0);
}

static void test_moment_is_never_ahead_of_now(void **state)
{
    struct boot_moment m = {HERE, 200 * S, 5000 * NS_PER_SEC};
    assert_int_equal(boot_moment_here(&m, HERE, 110 * S, 5000 * NS_PER_SEC), 110 * S);
}

static void test_boot_has_a_name_and_a_count_that_grows(void **state)
{
    char a[BOOT_ID_BYTES], b[BOOT_ID_BYTES];
    boot_id_read(a);
    boot_id_read(b);
    assert_string_equal(a, b);
    assert_int_equal(strlen(a), BOOT_ID_BYTES - 1);
    int64_t first = boot_now_ns();
    assert_true(first > 0 && boot_now_ns() >= first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moment_of_this_boot_ignores_a_clock_that_jumped),
        cmocka_unit_test(test_moment_of_another_boot_is_told_by_the_wall_clock),
        cmocka_unit_test(test_moment_of_another_boot_is_older_than_this_boot),
        cmocka_unit_test(test_moment_is_never_ahead_of_now),
        cmocka_unit_test(test_boot_has_a_name_and_a_count_that_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
