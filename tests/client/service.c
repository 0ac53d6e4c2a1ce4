#include "service.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char socket_path[128];

int service_begin(void **state)
{
    const char *bin = getenv("CWS_TEST_BIN_DIR");
    if (!bin) {
        fprintf(stderr, "CWS_TEST_BIN_DIR is not set: run by meson\n");
        return -1;
    }
    (void)strcpy(dir, "/tmp/cws-client-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    char data[96];
    (void)snprintf(data, sizeof(data), "%s/data", dir);
    (void)snprintf(socket_path, sizeof(socket_path), "%s/cwsandbox/service.sock", dir);
    (void)setenv("XDG_RUNTIME_DIR", dir, 1);
    (void)setenv("CWSANDBOX_DATA_DIR", data, 1);
    (void)setenv("CWSANDBOX_SERVICE_PATH", bin, 1);
    (void)unsetenv("CWSANDBOX_BASE_URL");
    (void)unsetenv("CWSANDBOX_API_KEY");
    return 0;
}

pid_t service_pid(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)strcpy(addr.sun_path, socket_path);
    struct ucred peer = {0};
    socklen_t len = sizeof(peer);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0)
        (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len);
    (void)close(fd);
    return peer.pid;
}

pid_t service_kill(int signal)
{
    pid_t pid = service_pid();
    if (pid == 0)
        return 0;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    (void)kill(pid, signal);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, 20000) != 1)
        fail_msg("the service did not end");
    (void)close(fd);
    return pid;
}

int service_end(void **state)
{
    (void)service_kill(SIGTERM);
    char command[96];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : -1;
}

const char *service_socket(void)
{
    return socket_path;
}

const char *service_dir(void)
{
    return dir;
}

static void show(const char *what, const cws_error *e)
{
    fail_msg("%s: kind %d, status %d: %s", what, e ? (int)cws_error_get_kind(e) : 0,
             e ? cws_error_status(e) : 0, e ? cws_error_message(e) : "no error");
}

cws_sandbox *must_run(void)
{
    cws_error *e = NULL;
    cws_sandbox *sb = cws_sandbox_run(NULL, NULL, &e);
    if (!sb)
        show("run", e);
    return sb;
}

void must_succeed(cws_op *op)
{
    assert_non_null(op);
    if (cws_op_wait(op, LONG) != CWS_WAIT_DONE)
        fail_msg("the operation did not end");
    if (cws_op_error(op))
        show("operation", cws_op_error(op));
}

void must_finish(cws_op *take_op)
{
    must_succeed(take_op);
    cws_op_unref(take_op);
}

cws_error_kind must_fail(cws_op *op)
{
    assert_non_null(op);
    if (cws_op_wait(op, LONG) != CWS_WAIT_DONE)
        fail_msg("the operation did not end");
    if (!cws_op_error(op))
        fail_msg("the operation succeeded");
    return cws_error_get_kind(cws_op_error(op));
}

cws_process *must_exec(cws_sandbox *sb, const char *const *argv, size_t n,
                       const cws_exec_options *o)
{
    cws_error *e = NULL;
    cws_process *p = cws_sandbox_exec(sb, argv, n, o, &e);
    if (!p)
        show("exec", e);
    return p;
}

void must_stop(cws_sandbox *take_sb)
{
    must_finish(cws_sandbox_stop(take_sb, 0, 0, NULL));
    cws_sandbox_unref(take_sb);
}

void must_shell(cws_sandbox *sb, const char *script, const char *want_stdout)
{
    cws_process *p = must_exec(sb, ARGV("sh", "-c", script), NULL);
    must_succeed(cws_process_op(p));
    size_t n;
    const char *out = cws_process_output(p, CWS_STDOUT, &n);
    assert_string_equal(out, want_stdout);
    assert_int_equal(n, strlen(want_stdout));
    cws_process_unref(p);
}
