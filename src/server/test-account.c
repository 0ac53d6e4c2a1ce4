/* The accounts of owners: caps, own shares, refusals, log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/account.h"

static void test_an_owner_gets_its_maximum_and_not_one_more(void **state)
{
    struct accounts all;
    accounts_init(&all);
    struct account *a = account_get(&all, "alice");
    assert_ptr_equal(account_get(&all, "alice"), a);
    for (int i = 0; i < SHARE_MAX; i++) {
        struct budget *b = &a->shares[i];
        assert_true(b->own > 0);
        assert_true(b->own < b->max);
        assert_true(budget_take(b, b->max));
        assert_false(budget_take(b, 1));
        assert_true(budget_take(b, 0));
        budget_give(b, 1);
        assert_true(budget_take(b, 1));
    }
    accounts_done(&all);
}

static void test_owners_that_take_all_leave_the_next_its_own(void **state)
{
    struct accounts all;
    accounts_init(&all);
    struct account *hogs[] = {account_get(&all, "a"), account_get(&all, "b"),
                              account_get(&all, "c")};
    struct account *quiet = account_get(&all, "uid:1000");
    for (int i = 0; i < SHARE_MAX; i++) {
        for (size_t k = 0; k < ARRAY_SIZE(hogs); k++) {
            struct budget *b = &hogs[k]->shares[i];
            assert_true(budget_take(b, budget_room(b)));
        }
        struct budget *b = &quiet->shares[i];
        assert_int_equal(budget_room(b), b->own);
        assert_true(budget_take(b, b->own));
        assert_false(budget_take(b, 1));
    }
    accounts_done(&all);
}

static void test_places_for_sandboxes_are_kept_for_other_owners(void **state)
{
    struct accounts all;
    accounts_init(&all);
    struct account *a = account_get(&all, "a");
    assert_int_equal(accounts_kept_free(&all, a, 0, 10000), 0); /* alone: all of them */
    assert_int_equal(accounts_kept_free(&all, a, 1, 10000), 0);
    assert_int_equal(accounts_kept_free(&all, a, 3, 10000), 2 * 625);
    struct account *b = account_get(&all, "b");
    assert_int_equal(accounts_kept_free(&all, a, 0, 10000), 625);
    b->n_alive = 600;
    assert_int_equal(accounts_kept_free(&all, a, 0, 10000), 25);
    b->n_alive = 2000;
    assert_int_equal(accounts_kept_free(&all, a, 0, 10000), 0);
    assert_int_equal(accounts_kept_free(&all, b, 0, 10000), 625);
    assert_int_equal(accounts_kept_free(&all, a, 1000, 10000), 998 * 5);
    assert_int_equal(accounts_kept_free(&all, a, 5, 1), 0);
    assert_int_equal(accounts_kept_free(&all, a, 5, 0), 0);
    accounts_done(&all);
}

static void test_strangers_take_nothing_from_owners(void **state)
{
    struct accounts all;
    accounts_init(&all);
    for (int i = 0; i < SHARE_MAX; i++) {
        struct budget *b = &all.strangers.shares[i];
        assert_true(budget_take(b, budget_room(b)));
        assert_false(budget_take(b, 1));
        assert_int_equal(all.pools[i].used, 0);
    }
    accounts_done(&all);
}

static void test_an_owner_at_its_cap_learns_which_and_when_to_try_again(void **state)
{
    struct accounts all;
    CLEANUP_ERR struct err err = {0};
    accounts_init(&all);
    struct account *a = account_get(&all, "alice");
    assert_true(budget_take(&a->shares[SHARE_CALLS], 5));
    assert_int_equal(account_full(a, SHARE_CALLS, &err), -1);
    assert_int_equal(err.code, ERR_RESOURCE_EXHAUSTED);
    assert_string_equal(err.reason, "CWSANDBOX_RUNNER_OVERLOADED");
    assert_true(err.retry_delay_ns > 0);
    assert_non_null(strstr(err.message, "`alice` has 5 calls open"));
    assert_int_equal(account_full(a, SHARE_CALLS, NULL), -1);
    accounts_done(&all);
}

static void test_lines_beyond_the_allowance_are_counted_instead(void **state)
{
    struct account a = {0};
    size_t silent;
    uint64_t now = 5;
    for (int i = 0; i < ACCOUNT_LOG_LINES; i++)
        assert_true(account_may_log(&a, now, &silent));
    for (int i = 0; i < 3; i++)
        assert_false(account_may_log(&a, now + ACCOUNT_LOG_NS - 1, &silent));
    assert_true(account_may_log(&a, now + ACCOUNT_LOG_NS, &silent));
    assert_int_equal(silent, 3);
    assert_true(account_may_log(&a, now + ACCOUNT_LOG_NS, &silent));
    assert_int_equal(silent, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_owner_gets_its_maximum_and_not_one_more),
        cmocka_unit_test(test_owners_that_take_all_leave_the_next_its_own),
        cmocka_unit_test(test_places_for_sandboxes_are_kept_for_other_owners),
        cmocka_unit_test(test_strangers_take_nothing_from_owners),
        cmocka_unit_test(test_an_owner_at_its_cap_learns_which_and_when_to_try_again),
        cmocka_unit_test(test_lines_beyond_the_allowance_are_counted_instead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
