/* What an EXEC carries, and the words for its failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "runtime/plan.h"

static char *no_strings[] = {NULL};

static void assert_body(const struct exec_body *body, const char *const *strings)
{
    const char *at = (const char *)buf_head(&body->bytes), *end = at + buf_len(&body->bytes);
    for (; *strings; strings++) {
        assert_true(at < end);
        assert_string_equal(at, *strings);
        at += strlen(at) + 1;
    }
    assert_ptr_equal(at, end);
}

static void test_environment_is_merged_in_order_of_precedence(void **state)
{
    char *env[] = {"A=1", "LANG=de", "A=2", NULL};
    struct plan plan = {.argv = no_strings, .env = env, .cwd = "/w", .user = ""};
    const char *const argv[] = {"cmd", "arg"};
    const struct string_pair own[] = {{"B", ""}, {"HOME", "/h"}};
    struct process_spec spec = {
        .argv = argv, .n_argv = 2, .cwd = "", .env = own, .n_env = 2, .tty = true};
    CLEANUP(exec_body_done) struct exec_body body = {0};
    (void)state;
    assert_int_equal(exec_body_compose(&body, &plan, &spec, "sb-1", NULL), 0);
    assert_body(&body,
                (const char *const[]){
                    "/w", "", "cmd", "arg",
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME=/h", "LANG=de", "TERM=xterm", "HOSTNAME=sb-1", "A=2", "B=", NULL});
    assert_int_equal(body.n_args, 2);
    assert_int_equal(body.n_envs, 7);
    assert_string_equal(body.name, "cmd");
}

static void test_another_user_has_no_home_of_ours(void **state)
{
    struct plan plan = {.argv = no_strings, .env = no_strings, .cwd = "/w", .user = ""};
    const char *const argv[] = {"id"};
    struct process_spec spec = {.argv = argv, .n_argv = 1, .cwd = "/", .user = "games:users"};
    CLEANUP(exec_body_done) struct exec_body body = {0};
    (void)state;
    assert_int_equal(exec_body_compose(&body, &plan, &spec, "h", NULL), 0);
    assert_body(&body, (const char *const[]){
                           "/", "games:users", "id",
                           "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                           "HOSTNAME=h", NULL});
    assert_string_equal(body.user, "games:users");
}

static void test_every_failure_of_a_user_is_told(void **state)
{
    static const struct {
        const char *stage;
        int error;
        const char *text;
    } rows[] = {{"user", ENOENT, "/etc/passwd"},
                {"group", ENOENT, "/etc/group"},
                {"user", EFBIG, "plain file"},
                {"setuid", EPERM, "only root"},
                {"setuid", EINVAL, "65535"}};
    const struct exec_body body = {.user = "bob"};
    struct init_packet packet = {.stage = "chdir", .value = -ENOENT};
    struct err err = {0};
    (void)state;
    assert_false(exec_request_error(&body, &packet, &err));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        packet.value = -rows[i].error;
        (void)strcpy(packet.stage, rows[i].stage);
        assert_true(exec_request_error(&body, &packet, &err));
        assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
        assert_non_null(strstr(err_text(&err), "`bob`"));
        assert_non_null(strstr(err_text(&err), rows[i].text));
        err_done(&err);
    }
}

static void test_thread_counts_are_the_limits_and_the_users_win(void **state)
{
    char *argv[] = {"x", NULL}, *env[] = {"OMP_NUM_THREADS=7", NULL};
    struct plan plan = {.argv = argv, .env = no_strings, .cwd = "/", .user = ""};
    (void)state;
    for (uint32_t n = 0; n < 3; n++) {
        CLEANUP(exec_body_done) struct exec_body body = {0};
        plan.n_cpus = n;
        plan.env = n == 2 ? env : no_strings;
        assert_int_equal(exec_body_compose(&body, &plan, NULL, "h", NULL), 0);
        const void *at = buf_head(&body.bytes);
        size_t size = buf_len(&body.bytes);
#define HAS(text) (memmem(at, size, text, sizeof(text)) != NULL)
        assert_int_equal(HAS("OMP_NUM_THREADS=1"), n == 1);
        assert_int_equal(HAS("OMP_NUM_THREADS=7"), n == 2);
        assert_int_equal(HAS("RAYON_NUM_THREADS=2"), n == 2);
        assert_false(HAS("OMP_NUM_THREADS=2"));
#undef HAS
    }
}

static void test_main_process_takes_everything_from_the_plan(void **state)
{
    char *argv[] = {"sleep", "1", NULL};
    struct plan plan = {.argv = argv, .env = no_strings, .cwd = "/root", .user = ""};
    CLEANUP(exec_body_done) struct exec_body body = {0};
    (void)state;
    assert_int_equal(exec_body_compose(&body, &plan, NULL, "h", NULL), 0);
    assert_int_equal(body.n_args, 2);
    assert_string_equal(body.cwd, "/root");
}

static void test_long_bodies_travel_in_a_memfd(void **state)
{
    CLEANUP_FREE char *big = calloc(1, INIT_MAX_BODY + 1);
    struct plan plan = {.argv = no_strings, .env = no_strings, .cwd = "/", .user = ""};
    (void)state;
    memset(big, 'x', INIT_MAX_BODY);
    for (int i = 0; i < 2; i++) {
        const char *argv[] = {i == 0 ? "short" : big};
        struct process_spec spec = {.argv = argv, .n_argv = 1, .cwd = ""};
        CLEANUP(exec_body_done) struct exec_body body = {0};
        CLEANUP_FD int memfd = -1;
        int fds[CONTROL_MAX_FDS] = {0};
        struct control_request request = {.n_fds = 3};
        assert_int_equal(exec_body_compose(&body, &plan, &spec, "h", NULL), 0);
        assert_int_equal(exec_body_attach(&body, &request, fds, &memfd), 0);
        assert_int_equal(request.n_fds, i == 0 ? 3 : 4);
        assert_int_equal(memfd >= 0, i);
        if (i == 1)
            assert_int_equal(lseek(memfd, 0, SEEK_END), buf_len(&body.bytes));
    }
}

static void test_failures_have_the_words_of_a_shell(void **state)
{
    static const struct {
        const char *name, *stage;
        int error, exit_code;
        const char *text;
    } rows[] = {
        {"foo", "execve", ENOENT, 127, "foo: command not found\n"},
        {"./foo", "execve", ENOENT, 127, "./foo: No such file or directory\n"},
        {"foo", "execve", EACCES, 126, "foo: Permission denied\n"},
        {"foo", "execve", ENOEXEC, 126, "foo: Exec format error\n"},
        {"foo", "chdir", ENOENT, 1, "cd: /dir: No such file or directory\n"},
        {"foo", "execve", ENOMEM, 0, NULL},
        {"foo", "clone3", EAGAIN, 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct exec_body body = {.cwd = "/dir", .name = rows[i].name};
        struct init_packet packet = {.value = -rows[i].error};
        char text[128] = "";
        (void)snprintf(packet.stage, sizeof(packet.stage), "%s", rows[i].stage);
        assert_int_equal(exec_failure_text(&body, &packet, text, sizeof(text)),
                         rows[i].exit_code);
        if (rows[i].text)
            assert_string_equal(text, rows[i].text);
    }
}

/* Of the image, unless the process has one of its own. */
static void test_a_process_is_the_users_of_the_plan(void **state)
{
    static const char *const argv[] = {"id"};
    struct plan plan = {.argv = no_strings, .env = no_strings, .cwd = "/", .user = "app"};
    struct process_spec spec = {.argv = argv, .n_argv = 1};
    struct exec_body body;
    (void)state;
    assert_int_equal(exec_body_compose(&body, &plan, &spec, "h", NULL), 0);
    assert_string_equal(body.user, "app");
    exec_body_done(&body);
    spec.user = "0";
    assert_int_equal(exec_body_compose(&body, &plan, &spec, "h", NULL), 0);
    assert_string_equal(body.user, "0");
    exec_body_done(&body);
    assert_int_equal(exec_body_compose(&body, &plan, NULL, "h", NULL), 0);
    assert_string_equal(body.user, "app");
    exec_body_done(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_environment_is_merged_in_order_of_precedence),
        cmocka_unit_test(test_another_user_has_no_home_of_ours),
        cmocka_unit_test(test_every_failure_of_a_user_is_told),
        cmocka_unit_test(test_thread_counts_are_the_limits_and_the_users_win),
        cmocka_unit_test(test_main_process_takes_everything_from_the_plan),
        cmocka_unit_test(test_a_process_is_the_users_of_the_plan),
        cmocka_unit_test(test_long_bodies_travel_in_a_memfd),
        cmocka_unit_test(test_failures_have_the_words_of_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
