/* What a specification may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "runtime/plan.h"

static struct sandbox_spec base_spec(void)
{
    return (struct sandbox_spec){
        .owner = "o", .request_id = "", .image = "", .command = "", .working_dir = ""};
}

static void test_paths_must_be_absolute_and_name_a_file(void **state)
{
    static const char *const bad[] = {"", "a", "./a", "/", "//", "/.", "/..", "/./../"};
    static const char *const good[] = {"/a", "/a/b", "/.a", "/...", "/a/..b"};
    CLEANUP_FREE char *longest = malloc(PLAN_MAX_PATH + 1);
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        CLEANUP_ERR struct err err = {0};
        assert_int_equal(path_check(bad[i], "path", &err), -1);
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        assert_string_equal(err.violations[0].key, "path");
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(path_check(good[i], "path", NULL), 0);
    memset(longest, '/', PLAN_MAX_PATH);
    longest[1] = 'a';
    longest[PLAN_MAX_PATH] = '\0';
    assert_int_equal(path_check(longest, "path", NULL), -1);
    longest[PLAN_MAX_PATH - 1] = '\0';
    assert_int_equal(path_check(longest, "path", NULL), 0);
}

static void test_counts_are_capped(void **state)
{
    struct string_pair *env = calloc(PLAN_MAX_ENV + 1, sizeof(*env));
    struct sandbox_spec spec = base_spec();
    (void)state;
    for (size_t i = 0; i <= PLAN_MAX_ENV; i++)
        env[i] = (struct string_pair){"K", "v"};
    spec.env = env;
    spec.n_env = PLAN_MAX_ENV;
    struct plan *plan = plan_new(&spec, NULL);
    assert_non_null(plan);
    plan_free(plan);
    spec.n_env = PLAN_MAX_ENV + 1;
    assert_null(plan_new(&spec, NULL));
    free(env);
}

static void test_plan_is_a_copy(void **state)
{
    char command[] = "cmd", arg[] = "arg", content[] = "content";
    const char *const args[] = {arg};
    const struct sandbox_file file = {"/f", (const uint8_t *)content, 7};
    struct sandbox_spec spec = base_spec();
    (void)state;
    spec.command = command;
    spec.args = args;
    spec.n_args = 1;
    spec.files = &file;
    spec.n_files = 1;
    struct plan *plan = plan_new(&spec, NULL);
    memset(command, 'x', 3);
    memset(arg, 'x', 3);
    memset(content, 'x', 7);
    assert_string_equal(plan->argv[0], "cmd");
    assert_string_equal(plan->argv[1], "arg");
    assert_null(plan->argv[2]);
    assert_memory_equal(buf_head(&plan->files[0].content), "content", 7);
    assert_string_equal(plan->cwd, "/root");
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_must_be_absolute_and_name_a_file),
        cmocka_unit_test(test_counts_are_capped),
        cmocka_unit_test(test_plan_is_a_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
