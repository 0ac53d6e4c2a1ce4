/* The embedded service comes and goes; programs do not notice. And what happens after fork().
 */
#include "service.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a child reports by its exit code; it must not run the parent's atexit and leak checks.
 */
#define CHILD_OK 42

static void check_child(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), CHILD_OK);
}

/* A whole use of the library; true when it worked. For children, where assertions would not
 * end. */
static bool works(cws_client *client)
{
    cws_sandbox *sb = cws_sandbox_new(client, NULL, NULL, NULL);
    const char *argv[] = {"echo", "hi"};
    cws_process *p = sb ? cws_sandbox_exec(sb, argv, 2, NULL, NULL) : NULL;
    if (!p || cws_op_wait(cws_process_op(p), LONG) != CWS_WAIT_DONE ||
        cws_op_error(cws_process_op(p)))
        return false;
    size_t n;
    bool ok = strcmp(cws_process_output(p, CWS_STDOUT, &n), "hi\n") == 0;
    cws_process_unref(p);
    cws_op *stop = cws_sandbox_stop(sb, 0, 0, NULL);
    ok &= stop && cws_op_wait(stop, LONG) == CWS_WAIT_DONE && !cws_op_error(stop);
    cws_op_unref(stop);
    cws_sandbox_unref(sb);
    return ok;
}

static void test_eight_processes_at_once_make_one_service(void **state)
{
    assert_int_equal(service_pid(), 0);
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    pid_t children[8];
    for (int i = 0; i < 8; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char go;
            (void)close(gate[1]);
            (void)!read(gate[0], &go, 1); /* EOF: all of them at once */
            _exit(works(NULL) ? CHILD_OK : 1);
        }
    }
    (void)close(gate[0]);
    (void)close(gate[1]);
    for (int i = 0; i < 8; i++)
        check_child(children[i]);
    pid_t service = service_pid();
    assert_int_not_equal(service, 0);
    assert_true(works(NULL));
    assert_int_equal(service_pid(), service);
}

static void test_a_killed_service_is_started_again(void **state)
{
    for (int i = 0; i < 3; i++) {
        assert_true(works(NULL));
        pid_t before = service_kill(SIGKILL); /* leaves its socket and lock file behind */
        assert_int_not_equal(before, 0);
        assert_int_equal(access(service_socket(), F_OK), 0);
        assert_true(works(NULL)); /* the same client, whose connection is gone */
        assert_int_not_equal(service_pid(), before);
    }
}

/* What a client meets whose service was killed an instant ago: connections that the kernel
 * accepted and then resets. */
static void *accept_and_drop(void *arg)
{
    const int *listener = arg;
    int fd;
    while ((fd = accept(*listener, NULL, NULL)) >= 0) /* until the test shuts it down */
        (void)close(fd);
    return NULL;
}

static void test_the_backlog_of_a_service_that_ends_is_no_try(void **state)
{
    (void)service_kill(SIGTERM);
    assert_true(works(NULL)); /* makes the directory */
    (void)service_kill(SIGKILL);
    (void)unlink(service_socket());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", service_socket());
    assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(listener, 8), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, accept_and_drop, &listener), 0);
    assert_true(works(NULL));
    assert_int_not_equal(service_pid(), 0);
    (void)shutdown(listener, SHUT_RDWR);
    (void)pthread_join(thread, NULL);
    (void)close(listener);
}

static void test_calls_in_flight_fail_when_the_service_is_killed(void **state)
{
    cws_sandbox *sb = must_run();
    cws_process *p = must_exec(sb, ARGV("sh", "-c", "echo up; exec sleep 1000"), NULL);
    cws_chunk c;
    assert_int_equal(cws_reader_read(cws_process_stdout(p), LONG, &c, NULL), CWS_READ_DATA);
    cws_chunk_release(&c);
    (void)service_kill(SIGKILL);
    /* The connection's end, or the sandbox's, of which a daemon that lives a moment longer may still tell. */
    cws_error_kind kind = must_fail(cws_process_op(p));
    assert_true(kind == CWS_E_UNAVAILABLE || kind == CWS_E_NOT_RUNNING);
    cws_process_unref(p);
    p = must_exec(sb, ARGV("true"),
                  NULL); /* its sandbox went with the service; the next one knows */
    assert_int_equal(must_fail(cws_process_op(p)), CWS_E_NOT_RUNNING);
    assert_non_null(strstr(cws_error_message(cws_op_error(cws_process_op(p))),
                           "is not running: its state is FAILED"));
    cws_process_unref(p);
    cws_sandbox_unref(sb);
    assert_true(works(NULL));
}

static void test_an_idle_service_may_leave_at_any_time(void **state)
{
    (void)service_kill(SIGTERM);
    (void)setenv("CWSANDBOX_IDLE_SECONDS", "1", 1);
    assert_true(works(NULL));
    pid_t before = service_pid();
    int fd = (int)syscall(SYS_pidfd_open, before, 0);
    struct pollfd gone = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&gone, 1, 30000), 1);
    (void)close(fd);
    assert_true(works(NULL));
    assert_int_not_equal(service_pid(), before);
    (void)unsetenv("CWSANDBOX_IDLE_SECONDS");
    (void)service_kill(SIGTERM);
}

static void test_a_service_that_cannot_start_says_why(void **state)
{
    (void)service_kill(SIGTERM);
    const char *bin = strdup(getenv("CWSANDBOX_SERVICE_PATH"));
    (void)setenv("CWSANDBOX_SERVICE_PATH", "/does/not/exist", 1);
    cws_error *e = NULL;
    assert_null(cws_sandbox_run(NULL, NULL, &e));
    assert_int_equal(cws_error_get_kind(e), CWS_E_UNAVAILABLE);
    assert_non_null(strstr(cws_error_message(e), "/does/not/exist"));
    cws_error_free(e);
    (void)setenv("CWSANDBOX_SERVICE_PATH", bin, 1);
    free((char *)bin);
    assert_true(works(NULL));
}

/* ---- fork ---- */

static int child_of_fork(cws_sandbox *sb, cws_process *open, cws_process *finished,
                         cws_op *pending_write)
{
    cws_error *e = NULL;
    size_t n;
    cws_chunk c;
    const cws_error *reason = NULL;
    cws_op *op = cws_process_op(open);
    if (cws_op_wait(op, CWS_FOREVER) != CWS_WAIT_DONE || !cws_op_done(op) ||
        cws_error_get_kind(cws_op_error(op)) != CWS_E_FORKED || cws_op_cancel(op))
        return 1;
    if (cws_reader_read(cws_process_stdout(open), CWS_FOREVER, &c, &reason) != CWS_READ_ERROR ||
        cws_error_get_kind(reason) != CWS_E_FORKED)
        return 2;
    if (cws_writer_write(cws_process_stdin(open), "x", 1, &e) ||
        cws_error_get_kind(e) != CWS_E_FORKED)
        return 3;
    if (cws_sandbox_exec(sb, ARGV("true"), NULL, &e) || cws_error_get_kind(e) != CWS_E_FORKED)
        return 4;
    if (cws_sandbox_stop(sb, 0, 0, &e) || cws_error_get_kind(e) != CWS_E_FORKED)
        return 5;
    if (cws_op_error(cws_process_op(finished))) /* what was complete before the fork stays so */
        return 6;
    (void)cws_process_output(finished, CWS_STDOUT, &n);
    if (!cws_op_done(pending_write))
        return 7;
    char *id = cws_sandbox_id(sb);
    if (!id)
        return 8;
    free(id);
    unsigned char done[2];
    if (cws_wait((cws_op *[]){op, pending_write}, 2, 0, CWS_FOREVER, done) != CWS_WAIT_DONE ||
        !done[0])
        return 9;
    cws_process_unref(open);
    cws_sandbox_unref(sb);
    return works(NULL) ? CHILD_OK : 10; /* a fresh default client */
}

__attribute__((unused)) static void *keep_busy(void *arg)
{
    cws_sandbox *sb = arg;
    for (int i = 0; i < 100; i++) {
        cws_process *p = must_exec(sb, ARGV("true"), NULL);
        must_succeed(cws_process_op(p));
        cws_process_unref(p);
    }
    return NULL;
}

static void test_a_forked_child_gets_errors_for_old_handles_and_a_new_client(void **state)
{
    cws_sandbox *sb = must_run();
    cws_process *finished = must_exec(sb, ARGV("echo", "done"), NULL);
    must_succeed(cws_process_op(finished));
    cws_exec_options o = {.want_stdin = 1};
    cws_process *open = must_exec(sb, ARGV("sleep", "1000"), &o);
    cws_op *write = cws_writer_write(cws_process_stdin(open), "x", 1, NULL);
    /* Busy, so that forks happen with locks held and completions half-way. Not under AddressSanitizer: its allocator's
     * locks are not released in the child of such a fork, so the child would hang in malloc(). */
#if !defined(__SANITIZE_ADDRESS__)
    pthread_t busy;
    assert_int_equal(pthread_create(&busy, NULL, keep_busy, sb), 0);
#endif
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(child_of_fork(sb, open, finished, write));
        check_child(pid);
    }
#if !defined(__SANITIZE_ADDRESS__)
    (void)pthread_join(busy, NULL);
#endif
    assert_int_equal(cws_op_done(cws_process_op(open)), 0); /* the children did no harm */
    (void)cws_op_cancel(cws_process_op(open));
    cws_op_unref(write);
    cws_process_unref(open);
    cws_process_unref(finished);
    must_stop(sb);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* exit(), not _exit(): the destructors of libraries run, libuv's among them, whose threads stayed with the parent. Not under
 * AddressSanitizer, which would look for the parent's leaks, nor ThreadSanitizer, which cannot start threads in such a child. */
static void test_a_child_may_exit(void **state)
{
    (void)service_kill(SIGTERM);
    assert_true(works(NULL)); /* started by a thread of libuv's */
    for (int uses = 0; uses < 2; uses++) {
        pid_t pid = fork();
        if (pid == 0)
            exit(uses == 0 || works(NULL) ? CHILD_OK : 1);
        check_child(pid);
    }
}
#endif

static void test_a_grandchild_works_too(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (!works(NULL))
            _exit(1);
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(works(NULL) ? CHILD_OK : 2);
        int status;
        (void)waitpid(grandchild, &status, 0);
        _exit(WIFEXITED(status) && works(NULL) ? WEXITSTATUS(status) : 3);
    }
    check_child(pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eight_processes_at_once_make_one_service),
        cmocka_unit_test(test_a_killed_service_is_started_again),
        cmocka_unit_test(test_the_backlog_of_a_service_that_ends_is_no_try),
        cmocka_unit_test(test_calls_in_flight_fail_when_the_service_is_killed),
        cmocka_unit_test(test_an_idle_service_may_leave_at_any_time),
        cmocka_unit_test(test_a_service_that_cannot_start_says_why),
        cmocka_unit_test(test_a_forked_child_gets_errors_for_old_handles_and_a_new_client),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_a_child_may_exit),
#endif
        cmocka_unit_test(test_a_grandchild_works_too),
    };
    return cmocka_run_group_tests(tests, service_begin, service_end);
}
