/* What a specification may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "runtime/image.h"
#include "runtime/plan.h"

static const struct runtime_image host;

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
    struct plan *plan = plan_new(&spec, &host, NULL);
    assert_non_null(plan);
    plan_free(plan);
    spec.n_env = PLAN_MAX_ENV + 1;
    assert_null(plan_new(&spec, &host, NULL));
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
    struct plan *plan = plan_new(&spec, &host, NULL);
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

static char *layers[] = {"l", NULL}, *image_env[] = {"A=image", "PATH=/image", NULL},
            *entrypoint[] = {"/entry", "--flag", NULL}, *cmd[] = {"default", NULL};

/* @expected: of the main process, separated by blanks. */
static void assert_main_words(const struct sandbox_spec *spec,
                              const struct runtime_image *image, const char *expected)
{
    char text[128] = "";
    struct plan *plan = plan_new(spec, image, NULL);
    assert_non_null(plan);
    for (char **word = plan->argv; *word; word++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
                       word == plan->argv ? "" : " ", *word);
    assert_string_equal(text, expected);
    plan_free(plan);
}

static void
test_a_command_replaces_the_entry_point_and_arguments_those_of_the_image(void **state)
{
    static const char *const args[] = {"one", "two"};
    struct runtime_image full = {.layers = layers, .entrypoint = entrypoint, .cmd = cmd};
    struct runtime_image shell = {.layers = layers, .cmd = cmd};
    struct sandbox_spec spec = base_spec();
    (void)state;
    assert_main_words(&spec, &full, "/entry --flag default");
    assert_main_words(&spec, &shell, "");
    assert_main_words(&spec, &host, "");
    spec.args = args;
    spec.n_args = 2;
    assert_main_words(&spec, &full, "/entry --flag one two");
    assert_main_words(&spec, &shell, "one two");
    assert_main_words(&spec, &host, "one two");
    spec.command = "mine";
    assert_main_words(&spec, &full, "mine one two");
    spec.n_args = 0;
    assert_main_words(&spec, &full, "mine");
    assert_main_words(&spec, &shell, "mine");
}

static void test_no_main_process_has_an_empty_name(void **state)
{
    static const char *const args[] = {"", "two"};
    char *empty[] = {"", NULL};
    struct runtime_image image = {.layers = layers, .entrypoint = empty};
    struct sandbox_spec spec = base_spec();
    (void)state;
    assert_null(plan_new(&spec, &image, NULL));
    spec.args = args;
    spec.n_args = 2;
    assert_null(plan_new(&spec, &host, NULL));
}

static void test_what_the_specification_says_counts_before_the_image(void **state)
{
    static const struct string_pair env[] = {{"A", "mine"}};
    struct runtime_image image = {
        .layers = layers, .env = image_env, .user = "app", .working_dir = "/srv"};
    struct sandbox_spec spec = base_spec();
    (void)state;
    spec.env = env;
    spec.n_env = 1;
    struct plan *plan = plan_new(&spec, &image, NULL);
    assert_string_equal(plan->cwd, "/srv");
    assert_string_equal(plan->user, "app");
    assert_string_equal(plan->env[0], "A=image");
    assert_string_equal(plan->env[1], "PATH=/image");
    assert_string_equal(plan->env[2], "A=mine"); /* the last one counts */
    assert_null(plan->env[3]);
    plan_free(plan);
    image.working_dir = NULL;
    plan = plan_new(&spec, &image, NULL);
    assert_string_equal(plan->cwd, "/");
    plan_free(plan);
    spec.working_dir = "/mine";
    plan = plan_new(&spec, &image, NULL);
    assert_string_equal(plan->cwd, "/mine");
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_must_be_absolute_and_name_a_file),
        cmocka_unit_test(test_counts_are_capped),
        cmocka_unit_test(test_plan_is_a_copy),
        cmocka_unit_test(
            test_a_command_replaces_the_entry_point_and_arguments_those_of_the_image),
        cmocka_unit_test(test_no_main_process_has_an_empty_name),
        cmocka_unit_test(test_what_the_specification_says_counts_before_the_image),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
