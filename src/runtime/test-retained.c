/* How much of what ended each owner may keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/retained.h"

static void test_what_fits_is_kept(void **state)
{
    uint64_t totals[] = {5, 0, 95};
    assert_true(retained_level(totals, 3, 100) == UINT64_MAX);
    assert_true(retained_level(NULL, 0, 0) == UINT64_MAX);
    uint64_t nothing[] = {0};
    assert_true(retained_level(nothing, 1, 0) == UINT64_MAX);
}

static void test_one_more_is_taken_from_who_has_most(void **state)
{
    uint64_t totals[] = {96, 5, 0};
    assert_int_equal(retained_level(totals, 3, 100), 95);
    uint64_t two[] = {90, 3, 70};
    assert_int_equal(retained_level(two, 3, 103), 50);
    uint64_t all[] = {90, 90, 90};
    assert_int_equal(retained_level(all, 3, 100), 33);
    assert_int_equal(retained_level(all, 3, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_fits_is_kept),
        cmocka_unit_test(test_one_more_is_taken_from_who_has_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
