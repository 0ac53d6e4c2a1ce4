#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/budget.h"

static void test_a_budget_gives_its_maximum_and_not_one_more(void **state)
{
    struct budget_pool pool = {.size = 100};
    struct budget b;
    budget_init(&b, 10, 60, &pool);
    assert_int_equal(budget_room(&b), 60);
    assert_false(budget_take(&b, 61));
    assert_int_equal(b.used, 0);
    assert_true(budget_take(&b, 60));
    assert_int_equal(pool.used, 50);
    assert_false(budget_take(&b, 1));
    assert_true(budget_take(&b, 0));
    budget_give(&b, 60);
    assert_int_equal(pool.used, 0);
}

static void test_a_budget_of_nothing_gives_nothing(void **state)
{
    struct budget_pool pool = {.size = 100};
    struct budget b;
    budget_init(&b, 0, 0, &pool);
    assert_false(budget_take(&b, 1));
    assert_true(budget_take(&b, 0));
    budget_init(&b, 0, 5, &(struct budget_pool){0});
    assert_false(budget_take(&b, 1));
}

static void test_what_others_take_never_touches_ones_own(void **state)
{
    struct budget_pool pool = {.size = 100};
    struct budget hog, other, quiet;
    budget_init(&hog, 10, 90, &pool);
    budget_init(&other, 10, 90, &pool);
    budget_init(&quiet, 10, 90, &pool);
    assert_true(budget_take(&hog, 90));
    assert_int_equal(budget_room(&other), 30);
    assert_true(budget_take(&other, 30));
    assert_int_equal(pool.used, 100);
    assert_int_equal(budget_room(&quiet), 10);
    assert_true(budget_take(&quiet, 10));
    assert_false(budget_take(&quiet, 1));
    budget_give(&hog, 1);
    assert_true(budget_take(&quiet, 1));
}

static void test_what_is_forced_is_counted_and_given_back(void **state)
{
    struct budget_pool pool = {.size = 10};
    struct budget b, other;
    budget_init(&b, 5, 10, &pool);
    budget_init(&other, 5, 10, &pool);
    budget_force(&b, 100);
    assert_int_equal(budget_room(&b), 0);
    assert_int_equal(budget_room(&other), 5);
    assert_true(budget_take(&other, 5));
    budget_give(&b, 100);
    assert_int_equal(pool.used, 0);
    assert_int_equal(budget_room(&b), 10);
    assert_true(budget_take(&b, 10));
}

static void test_sizes_near_the_end_do_not_wrap(void **state)
{
    struct budget_pool pool = {.size = SIZE_MAX};
    struct budget b;
    budget_init(&b, 10, SIZE_MAX, &pool);
    assert_true(budget_take(&b, 20));
    assert_false(budget_take(&b, SIZE_MAX - 19));
    assert_true(budget_take(&b, SIZE_MAX - 20));
    assert_false(budget_take(&b, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_budget_gives_its_maximum_and_not_one_more),
        cmocka_unit_test(test_a_budget_of_nothing_gives_nothing),
        cmocka_unit_test(test_what_others_take_never_touches_ones_own),
        cmocka_unit_test(test_what_is_forced_is_counted_and_given_back),
        cmocka_unit_test(test_sizes_near_the_end_do_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
