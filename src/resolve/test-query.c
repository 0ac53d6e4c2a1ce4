#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "resolve/query.h"

static struct resolver resolver;

static struct query *add(uint32_t sandbox)
{
    const struct sockaddr_in from = {.sin_family = AF_INET,
                                     .sin_addr.s_addr = htonl(0x0adc0000u | sandbox)};
    return query_add(&resolver, &from, 64);
}

static void end_all(void)
{
    while (!list_empty(&resolver.used))
        query_free(&resolver, CONTAINER_OF(resolver.used.next, struct query, node));
    for (size_t i = 0; i < ARRAY_SIZE(resolver.n_of); i++)
        assert_int_equal(resolver.n_of[i], 0);
}

static void test_a_sandbox_has_its_share_and_no_more(void **state)
{
    (void)state;
    queries_init(&resolver);
    for (int i = 0; i < QUERIES_PER_SANDBOX; i++)
        assert_non_null(add(5));
    assert_null(add(5));
    assert_non_null(add(6));
    end_all();
    assert_non_null(add(5));
    end_all();
}

static void test_who_has_the_most_gives_way_when_all_is_taken(void **state)
{
    (void)state;
    queries_init(&resolver);
    for (uint32_t i = 0; i < QUERIES_MAX; i++)
        assert_non_null(add(10 + i / QUERIES_PER_SANDBOX));
    assert_non_null(add(5));
    assert_int_equal(resolver.n_of[5], 1);
    assert_int_equal(resolver.n_of[10], QUERIES_PER_SANDBOX - 1);
    assert_null(add(11)); /* its share */
    for (int i = 1; i < QUERIES_PER_SANDBOX; i++)
        (void)add(5);
    assert_in_range(resolver.n_of[5], QUERIES_PER_SANDBOX - 4, QUERIES_PER_SANDBOX);
    end_all();
}

static void test_what_entered_a_state_first_is_due_first(void **state)
{
    (void)state;
    queries_init(&resolver);
    struct query *one = add(5), *two = add(6);
    query_enter(&resolver, one, QUERY_ASKING);
    assert_ptr_equal(CONTAINER_OF(resolver.used.next, struct query, node), two);
    assert_true(two->due_ns <= one->due_ns);
    end_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_sandbox_has_its_share_and_no_more),
        cmocka_unit_test(test_who_has_the_most_gives_way_when_all_is_taken),
        cmocka_unit_test(test_what_entered_a_state_first_is_due_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
