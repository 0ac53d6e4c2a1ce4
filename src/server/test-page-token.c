/* Page tokens: ours come back whole, everything else is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "server/page-token.h"

static void test_tokens_come_back_whole(void **state)
{
    static const uint64_t values[] = {0, 1, 12345, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        char text[PAGE_TOKEN_MAX];
        uint64_t seq = 99;
        page_token_encode(values[i], 0xdeadbeef, text);
        assert_int_equal(page_token_decode(text, 0xdeadbeef, &seq), 0);
        assert_true(seq == values[i]);
    }
}

static void test_every_changed_character_is_noticed(void **state)
{
    char text[PAGE_TOKEN_MAX];
    uint64_t seq;
    page_token_encode(4711, 42, text);
    for (size_t i = 0; i < strlen(text); i++) {
        char old = text[i];
        text[i] = old == '0' ? '1' : '0';
        assert_int_equal(page_token_decode(text, 42, &seq), -EINVAL);
        text[i] = old;
    }
    assert_int_equal(page_token_decode(text, 42, &seq), 0);
}

static void test_other_texts_are_refused(void **state)
{
    static const char *const bad[] = {"x", "p1", "p1zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", "AAAA",
                                      "p2000000000000000000000000000000000"};
    uint64_t seq;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(page_token_decode(bad[i], 42, &seq), -EINVAL);
}

static void test_a_token_of_other_filters_is_told_apart(void **state)
{
    char text[PAGE_TOKEN_MAX];
    uint64_t seq;
    page_token_encode(4711, 42, text);
    assert_int_equal(page_token_decode(text, 43, &seq), -ESTALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_come_back_whole),
        cmocka_unit_test(test_every_changed_character_is_noticed),
        cmocka_unit_test(test_other_texts_are_refused),
        cmocka_unit_test(test_a_token_of_other_filters_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
