/* What the daemon's filter lets through, tried in children that have it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/confine.h"

/* The wait status of a child that is confined and then does @act. */
static int outcome(void (*act)(void))
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        struct err err = {0};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || confine(&err) < 0)
            _exit(99);
        act();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void run_program(void)
{
    (void)execl("/bin/true", "true", NULL);
}

static void start_process(void)
{
    (void)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void trace(void)
{
    (void)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void leave_namespace(void)
{
    (void)unshare(CLONE_NEWUSER);
}

static void test_what_only_an_intruder_asks_for_ends_the_process(void **state)
{
    void (*const acts[])(void) = {run_program, start_process, trace, leave_namespace};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(acts); i++) {
        int status = outcome(acts[i]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

/* Exits with the number of the first line that is wrong. */
static void expect(bool right, int line)
{
    if (!right)
        _exit(line % 90 + 1);
}
#define EXPECT(right) expect(right, __LINE__)
#define REFUSED(call) EXPECT((call) < 0 && errno == EPERM)

static void try_refused(void)
{
    char byte = 'x';
    struct sockaddr nobody = {.sa_family = AF_UNIX};
    REFUSED(socket(AF_INET, SOCK_STREAM, 0));
    REFUSED(socket(AF_UNIX, SOCK_STREAM, 0));
    REFUSED(connect(0, &nobody, sizeof(nobody)));
    REFUSED(bind(0, &nobody, sizeof(nobody)));
    REFUSED(kill(getppid(), 0));
    REFUSED(ioctl(0, TIOCSTI, &byte));
    REFUSED(syscall(SYS_prlimit64, getppid(), 0, NULL, NULL));
    REFUSED(syscall(SYS_io_uring_setup, 1, NULL));
    REFUSED(prctl(PR_SET_DUMPABLE, 1));
    REFUSED(setresuid(0, 0, 0) == 0 ? 0 : -1);
    EXPECT(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
}

static void test_other_calls_are_refused(void **state)
{
    (void)state;
    assert_int_equal(outcome(try_refused), 0);
}

static void *thread_main(void *arg)
{
    return arg;
}

static void try_allowed(void)
{
    pthread_t thread;
    int pair[2];
    EXPECT(pthread_create(&thread, NULL, thread_main, NULL) == 0);
    EXPECT(pthread_join(thread, NULL) == 0);
    EXPECT(pipe(pair) == 0 && write(pair[1], "x", 1) == 1);
    EXPECT(listen(pair[0], 1) == 0); /* answered, not made: a pipe cannot listen */
    EXPECT(open("/dev/null", O_RDWR | O_CLOEXEC) >= 0);
}

static void test_what_the_daemon_needs_is_allowed(void **state)
{
    (void)state;
    assert_int_equal(outcome(try_allowed), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_only_an_intruder_asks_for_ends_the_process),
        cmocka_unit_test(test_other_calls_are_refused),
        cmocka_unit_test(test_what_the_daemon_needs_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
