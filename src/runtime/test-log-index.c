/* Arrival times of a log's bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/log-index.h"

static void test_bytes_have_the_time_they_were_first_seen(void **state)
{
    struct log_index ix = {0};
    (void)state;
    log_index_add(&ix, 10, 100);
    log_index_add(&ix, 10, 150); /* no growth */
    log_index_add(&ix, 30, 200);
    assert_int_equal(log_index_time(&ix, 0, 999), 100);
    assert_int_equal(log_index_time(&ix, 9, 999), 100);
    assert_int_equal(log_index_time(&ix, 10, 999), 200);
    assert_int_equal(log_index_time(&ix, 30, 999), 999);
    assert_int_equal(log_index_since(&ix, 0), 0);
    assert_int_equal(log_index_since(&ix, 101), 10);
    assert_true(log_index_since(&ix, 201) == UINT64_MAX);
    log_index_done(&ix);
}

static void test_cut_log_forgets_what_lay_behind(void **state)
{
    struct log_index ix = {0};
    (void)state;
    log_index_add(&ix, 10, 100);
    log_index_add(&ix, 30, 200);
    log_index_add(&ix, 5, 300);
    assert_int_equal(ix.n, 1);
    assert_int_equal(log_index_time(&ix, 4, 999), 300);
    log_index_add(&ix, 0, 400);
    assert_int_equal(ix.n, 0);
    log_index_done(&ix);
}

static void test_full_table_gets_coarser_but_never_older(void **state)
{
    struct log_index ix = {0};
    (void)state;
    for (uint64_t i = 1; i <= 10000; i++)
        log_index_add(&ix, i, i);
    assert_true(ix.n <= LOG_INDEX_MAX);
    for (uint64_t i = 0; i < 10000; i++) {
        assert_true(log_index_time(&ix, i, 0) >= i + 1);
        assert_true(i == 0 || log_index_time(&ix, i, 0) >= log_index_time(&ix, i - 1, 0));
    }
    assert_int_equal(log_index_time(&ix, 9999, 0), 10000);
    log_index_done(&ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_have_the_time_they_were_first_seen),
        cmocka_unit_test(test_cut_log_forgets_what_lay_behind),
        cmocka_unit_test(test_full_table_gets_coarser_but_never_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
