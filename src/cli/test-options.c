/* The parser: what is taken, and which word a refusal names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options.h"

struct args {
    bool all, quiet, no_wait;
    const char *name;
    struct words tags;
    uint64_t timeout_ns, grace_ns;
    uint32_t count;
    int colour;
    const char *first, *second;
    struct words rest;
};

static const char *const colours[] = {"red", "green", NULL};

static const struct option options[] = {
    {"all", 'a', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, all), "All."},
    {"quiet", 'q', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, quiet), "Quiet."},
    {"wait", 0, OPTION_UNFLAG, NULL, NULL, NULL, offsetof(struct args, no_wait), "Wait."},
    {"no-wait", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, no_wait), "Don't."},
    {"name", 'n', OPTION_STRING, "NAME", NULL, NULL, offsetof(struct args, name), "Name."},
    {"tag", 0, OPTION_LIST, "TAG", NULL, NULL, offsetof(struct args, tags), "Tags."},
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "Time."},
    {"grace", 0, OPTION_SECONDS0, "SECONDS", NULL, "10.0", offsetof(struct args, grace_ns),
     "Grace."},
    {"count", 'c', OPTION_COUNT, "N", NULL, NULL, offsetof(struct args, count), "Count."},
    {"colour", 0, OPTION_CHOICE, NULL, colours, "green", offsetof(struct args, colour),
     "Colour."},
};

static const struct operand one_and_rest[] = {
    {"FIRST", OPERAND_ONE, offsetof(struct args, first), "First."},
    {"REST", OPERAND_REST, offsetof(struct args, rest), "Rest."},
};
static const struct operand maybe_and_dashes[] = {
    {"FIRST", OPERAND_MAYBE, offsetof(struct args, first), "First."},
    {"REST", OPERAND_AFTER_DASHES, offsetof(struct args, rest), "Rest."},
};
static const struct operand one[] = {
    {"FIRST", OPERAND_ONE, offsetof(struct args, first), "First."},
};
static const struct operand anything[] = {
    {"REST", OPERAND_ANYTHING, offsetof(struct args, rest), "Rest."},
};

/* One parse of a verb with @operands; the words are the variable arguments. */
struct parse {
    struct args args;
    char *problem;
    enum parse_result result;
    struct verb verb;
};

static void parse_done(struct parse *p)
{
    options_done(&p->verb, &p->args);
    free(p->problem);
}
#define CLEANUP_PARSE CLEANUP(parse_done)

static void parse(struct parse *p, const struct operand *operands, size_t n_operands,
                  const char *const *words)
{
    size_t n = 0;
    while (words[n])
        n++;
    memset(p, 0, sizeof(*p));
    p->verb = (struct verb){.name = "test",
                            .summary = "Test.",
                            .options = options,
                            .n_options = ARRAY_SIZE(options),
                            .operands = operands,
                            .n_operands = n_operands,
                            .args_size = sizeof(struct args)};
    p->result = options_parse(&p->verb, (char *const *)words, n, &p->args, &p->problem);
}
#define PARSE(p, operands, ...) \
    parse(p, operands, ARRAY_SIZE(operands), (const char *const[]){__VA_ARGS__, NULL})

static void test_options_and_operands_may_be_mixed(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one, "-a", "word", "--name=x", "--tag", "1", "--tag=2", "-t0.5", "-c", "7");
    assert_int_equal(p.result, PARSE_OK);
    assert_true(p.args.all);
    assert_false(p.args.quiet);
    assert_string_equal(p.args.first, "word");
    assert_string_equal(p.args.name, "x");
    assert_int_equal(p.args.tags.n, 2);
    assert_string_equal(p.args.tags.items[1], "2");
    assert_int_equal(p.args.timeout_ns, NS_PER_SEC / 2);
    assert_int_equal(p.args.count, 7);
}

static void test_defaults_are_parsed_like_words(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one, "word");
    assert_int_equal(p.args.grace_ns, 10 * NS_PER_SEC);
    assert_int_equal(p.args.colour, 2);
}

static void test_letters_may_be_bundled(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one, "-aqn", "value", "word");
    assert_int_equal(p.result, PARSE_OK);
    assert_true(p.args.all && p.args.quiet);
    assert_string_equal(p.args.name, "value");
}

static void test_a_flag_is_taken_back_and_the_last_word_wins(void **state)
{
    CLEANUP_PARSE struct parse neither, both, turned;
    PARSE(&neither, one, "word");
    assert_false(neither.args.no_wait);
    PARSE(&both, one, "--no-wait", "word", "--wait");
    assert_int_equal(both.result, PARSE_OK);
    assert_false(both.args.no_wait);
    PARSE(&turned, one, "--wait", "--no-wait", "word");
    assert_true(turned.args.no_wait);
}

static void test_words_of_a_command_are_not_looked_at(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one_and_rest, "-a", "word", "ls", "-q", "--help", "--", "x");
    assert_int_equal(p.result, PARSE_OK);
    assert_false(p.args.quiet);
    assert_int_equal(p.args.rest.n, 5);
    assert_string_equal(p.args.rest.items[3], "--");
}

static void test_a_command_may_start_with_a_dash_behind_dashes(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one_and_rest, "word", "--", "-q", "x");
    assert_int_equal(p.result, PARSE_OK);
    assert_int_equal(p.args.rest.n, 2);
    assert_string_equal(p.args.rest.items[0], "-q");
}

static void test_everything_behind_dashes_is_the_command(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, maybe_and_dashes, "--", "echo", "--", "-a");
    assert_int_equal(p.result, PARSE_OK);
    assert_null(p.args.first);
    assert_int_equal(p.args.rest.n, 3);
    assert_string_equal(p.args.rest.items[0], "echo");
}

static void test_a_command_without_dashes_is_refused_with_advice(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, maybe_and_dashes, "image", "echo");
    assert_int_equal(p.result, PARSE_WRONG);
    assert_non_null(strstr(p.problem, "'echo'"));
    assert_non_null(strstr(p.problem, "'--'"));
}

static void test_a_pass_through_verb_takes_every_word(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, anything, "--help", "--", "-x");
    assert_int_equal(p.result, PARSE_OK);
    assert_int_equal(p.args.rest.n, 3);
}

static void test_help_is_known_to_every_table(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one, "--help", "--nonsense");
    assert_int_equal(p.result, PARSE_HELP);
    CLEANUP_PARSE struct parse q;
    PARSE(&q, one, "-h");
    assert_int_equal(q.result, PARSE_HELP);
}

/* Each row: words, and what the message must hold. */
static void test_refusals_name_the_word(void **state)
{
    static const struct {
        const char *words[4];
        const char *expected;
    } rows[] = {
        {{"--nonsense", "x"}, "No such option: --nonsense"},
        {{"--nonsense=3", "x"}, "No such option: --nonsense"},
        {{"--al", "x"}, "No such option: --al"},
        {{"-ax", "x"}, "No such option: -x"},
        {{"x", "extra"}, "unexpected extra argument (extra)"},
        {{"x", "--name"}, "Option '--name' / '-n' requires a value."},
        {{"--all=yes", "x"}, "Option '--all' does not take a value."},
        {{"--wait=no", "x"}, "Option '--wait' does not take a value."},
        {{"--timeout", "soon", "x"}, "'--timeout' / '-t': 'soon' is not a number"},
        {{"--timeout", "0", "x"}, "'0' is not in the range x>0"},
        {{"--timeout", "-1", "x"}, "'-1' is not in the range x>0"},
        {{"--timeout", "nan", "x"}, "'nan' is not a number"},
        {{"--timeout", "inf", "x"}, "'inf' is not a number"},
        {{"--timeout", "1e999", "x"}, "'1e999' is not a number"},
        {{"--timeout", "1e18", "x"}, "'1e18' is too long"},
        {{"--timeout", "", "x"}, "'' is not a number"},
        {{"--grace", "-0.1", "x"}, "'-0.1' is not in the range x>=0"},
        {{"--count", "-1", "x"}, "'-1' is not a count"},
        {{"--count", "1.5", "x"}, "'1.5' is not a count"},
        {{"--count", "2147483648", "x"}, "'2147483648' is not a count"},
        {{"--count", "99999999999999999999", "x"}, "is not a count"},
        {{"--colour", "blue", "x"}, "'blue' is not one of red, green"},
        {{NULL}, "Missing argument 'FIRST'."},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        CLEANUP_PARSE struct parse p;
        parse(&p, one, ARRAY_SIZE(one), rows[i].words);
        assert_int_equal(p.result, PARSE_WRONG);
        if (!strstr(p.problem, rows[i].expected))
            fail_msg("row %zu: \"%s\" does not hold \"%s\"", i, p.problem, rows[i].expected);
    }
}

static void test_choices_are_taken_in_any_case(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one, "--colour", "RED", "x");
    assert_int_equal(p.args.colour, 1);
}

static void test_a_tiny_timeout_is_not_the_default(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one, "-t", "1e-12", "x");
    assert_int_equal(p.args.timeout_ns, 1);
}

static void test_help_shows_every_option_and_operand(void **state)
{
    CLEANUP_PARSE struct parse p;
    PARSE(&p, one_and_rest, "x", "y");
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    verb_print_help(&p.verb, out);
    (void)fclose(out);
    assert_non_null(strstr(text, "Usage: cwsandbox test [OPTIONS] FIRST REST...\n"));
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        assert_non_null(strstr(text, options[i].name));
    assert_non_null(strstr(text, "--colour [red|green]"));
    assert_non_null(strstr(text, "[default: 10.0]"));
    assert_non_null(strstr(text, "-h, --help"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_and_operands_may_be_mixed),
        cmocka_unit_test(test_defaults_are_parsed_like_words),
        cmocka_unit_test(test_letters_may_be_bundled),
        cmocka_unit_test(test_a_flag_is_taken_back_and_the_last_word_wins),
        cmocka_unit_test(test_words_of_a_command_are_not_looked_at),
        cmocka_unit_test(test_a_command_may_start_with_a_dash_behind_dashes),
        cmocka_unit_test(test_everything_behind_dashes_is_the_command),
        cmocka_unit_test(test_a_command_without_dashes_is_refused_with_advice),
        cmocka_unit_test(test_a_pass_through_verb_takes_every_word),
        cmocka_unit_test(test_help_is_known_to_every_table),
        cmocka_unit_test(test_refusals_name_the_word),
        cmocka_unit_test(test_choices_are_taken_in_any_case),
        cmocka_unit_test(test_a_tiny_timeout_is_not_the_default),
        cmocka_unit_test(test_help_shows_every_option_and_operand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
