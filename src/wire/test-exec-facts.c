#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include "wire/exec-facts.h"

#include <cmocka.h>

static void assert_facts(const struct exec_facts *a, const struct exec_facts *b)
{
    assert_int_equal(a->signal, b->signal);
    assert_int_equal(a->oom_killed, b->oom_killed);
    assert_true(a->duration_ns == b->duration_ns);
    assert_true(a->cpu_ns == b->cpu_ns);
    assert_true(a->peak_memory_bytes == b->peak_memory_bytes);
}

static void test_facts_survive_the_wire(void **state)
{
    static const struct exec_facts all[] = {
        {9, 1, 1500, 0, 4096},
        {0, 0, UINT64_MAX - 1, UINT64_MAX - 1, UINT64_MAX - 1},
        {64, -1, EXEC_FACT_UNKNOWN, 7, EXEC_FACT_UNKNOWN},
        {-1, -1, EXEC_FACT_UNKNOWN, EXEC_FACT_UNKNOWN, EXEC_FACT_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        char text[EXEC_FACTS_MAX];
        struct exec_facts back;
        exec_facts_format(&all[i], text);
        exec_facts_parse(text, &back);
        assert_facts(&back, &all[i]);
    }
}

static void test_the_text_is_as_documented(void **state)
{
    const struct exec_facts facts = {9, 1, 1500000, 900000, 3145728};
    char text[EXEC_FACTS_MAX];
    exec_facts_format(&facts, text);
    assert_string_equal(text, "signal=9 oom_killed=1 duration_ns=1500000 cpu_ns=900000 "
                              "peak_memory_bytes=3145728");
}

static void test_words_that_are_malformed_or_unknown_tell_nothing(void **state)
{
    static const char *const none[] = {"",
                                       " ",
                                       "  ",
                                       "=",
                                       "signal",
                                       "signal=",
                                       "signal=x",
                                       "signal=-1",
                                       "signal=65",
                                       "signal=9x",
                                       "signals=9",
                                       "oom_killed=2",
                                       "cpu_ns=18446744073709551616",
                                       "duration_ns=000000000000000000000000000001",
                                       "weather=1",
                                       "SIGNAL=9",
                                       "signal =9"};
    for (size_t i = 0; i < ARRAY_SIZE(none); i++) {
        struct exec_facts facts;
        exec_facts_parse(none[i], &facts);
        assert_facts(&facts, &EXEC_FACTS_NONE);
    }
    struct exec_facts facts;
    exec_facts_parse("  cpu_ns=5 what=1  signal=15", &facts);
    assert_int_equal(facts.signal, 15);
    assert_true(facts.cpu_ns == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts_survive_the_wire),
        cmocka_unit_test(test_the_text_is_as_documented),
        cmocka_unit_test(test_words_that_are_malformed_or_unknown_tell_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
