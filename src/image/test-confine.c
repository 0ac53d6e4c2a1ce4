#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "image/confine.h"

static char store_path[64];

/* Runs @body in a confined child; its wait status. */
static int confined(int (*body)(int store))
{
    pid_t child = fork();
    if (child == 0) {
        CLEANUP_ERR struct err err = {0};
        bool keep_owners;
        int store = open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct confine_paths paths = {.store = store, .input = -1};
        if (store < 0 || confine(&paths, &keep_owners, &err) < 0) {
            (void)fprintf(stderr, "%s\n", err_text(&err));
            _exit(99);
        }
        _exit(body(store));
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void expect_exit(int status, int code)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
        fail_msg("status 0x%x, not exit %d", (unsigned)status, code);
}

/* What the store's work takes; the number of the step that failed. */
static int work(int store)
{
    int fd = openat(store, "f", O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 0) < 0)
        return 1;
    if (mkdirat(store, "d", 0700) < 0 || renameat(store, "f", store, "d/f") < 0)
        return 2;
    if (mknodat(store, "w", S_IFCHR, 0) < 0 || symlinkat("/etc", store, "l") < 0)
        return 3;
    if (socket(AF_INET, SOCK_STREAM, 0) < 0)
        return 4;
    return 0;
}

static void test_the_work_of_the_store_is_allowed(void **state)
{
    expect_exit(confined(work), 0);
}

static int reach_out(int store)
{
    if (openat(store, "../cws-image-outside", O_WRONLY | O_CREAT, 0600) >= 0 || errno != EACCES)
        return 1;
    if (open("/etc/passwd", O_RDONLY) >= 0 || errno != EACCES)
        return 2;
    if (open("/proc/self/environ", O_RDONLY) >= 0)
        return 3;
    return 0;
}

static void test_files_elsewhere_cannot_be_reached(void **state)
{
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 2)
        skip(); /* no Landlock, or one that cannot rename: see confine.h */
    expect_exit(confined(reach_out), 0);
}

static int become_more(int store)
{
    if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM)
        return 1;
    if (mknodat(store, "null", S_IFCHR | 0666, (dev_t)0x103) == 0)
        return 2;
    if (syscall(SYS_open_by_handle_at, store, NULL, 0) >= 0 || errno != EPERM)
        return 3;
    if (kill(getppid(), 0) == 0 || errno != EPERM)
        return 4;
    return 0;
}

static void test_devices_and_neighbours_cannot_be_had(void **state)
{
    expect_exit(confined(become_more), 0);
}

static int execute(int store)
{
    char *const argv[] = {"true", NULL};
    (void)store;
    return execv("/bin/true", argv);
}

static int start_process(int store)
{
    (void)store;
    return fork() < 0 ? 1 : 0;
}

static void test_who_starts_a_program_is_killed(void **state)
{
    int status = confined(execute);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
    status = confined(start_process);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static int setup(void **state)
{
    (void)snprintf(store_path, sizeof(store_path), "/tmp/cws-image-XXXXXX");
    return mkdtemp(store_path) ? 0 : -1;
}

static int teardown(void **state)
{
    static const char *const made[] = {"d/f", "w", "l", "f"};
    char path[128];
    for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", store_path, made[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof(path), "%s/d", store_path);
    (void)rmdir(path);
    return rmdir(store_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_work_of_the_store_is_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_elsewhere_cannot_be_reached, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_devices_and_neighbours_cannot_be_had, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_who_starts_a_program_is_killed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
