/* See cli.h. */
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/format.h"
#include "cli/program.h"

/* For what must still be ended, such as a sandbox, once the user or a supervisor has said stop.
 * Chosen: what an answering service needs is far below, and what follows SIGTERM is SIGKILL. */
#define INTERRUPTED_WAIT_NS (8 * NS_PER_SEC)

static int open_signals(void)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        struct sigaction old;
        /* A blocked signal reaches a signalfd even when it is ignored, so leave ignored ones
         * alone. */
        if (sigaction(wanted[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            (void)sigaddset(&set, wanted[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The library looks beside itself; our own finding includes the place of this program, and
 * makes `serve`, `doctor` and the embedded service agree on which installation is meant. */
static void point_library_at_service(void)
{
    CLEANUP_FREE char *program = program_find("cwsandboxd");
    char *slash = program ? strrchr(program, '/') : NULL;
    if (!slash)
        return; /* the library says so, should it need the service */
    *slash = '\0';
    (void)cws_set_service_dir(program);
}

bool cli_connect_quietly(struct cli *cli, cws_error **ret_error)
{
    *ret_error = NULL;
    if (cli->target)
        return true;
    point_library_at_service();
    cli->signal_fd = open_signals();
    if (cli->signal_fd < 0)
        return false;
    cli->client = cws_client_new(ret_error);
    if (cli->client)
        cli->target = cws_target_new_auth(NULL, cli->auth, ret_error);
    return cli->target;
}

int cli_connect(struct cli *cli)
{
    cws_error *error;
    if (cli_connect_quietly(cli, &error))
        return EXIT_FINE;
    return error ? cli_fail_free(error) : cli_fail("open a descriptor: %s", strerror(errno));
}

/* What was printed must have arrived: `cwsandbox ls > /dev/full` is an error, `| head` is not.
 */
int cli_flush(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    int number = errno ? errno : EIO;
    __fpurge(stdout); /* said once, and not tried again */
    clearerr(stdout);
    return number == EPIPE ? code : cli_fail("write to stdout: %s", strerror(number));
}

int cli_done(struct cli *cli, int code)
{
    /* Who interrupts waits for nothing that the library's threads are busy with, such as the
     * start of a service. The kernel closes the connections, which cancels their calls. */
    if (cli->is_interrupted)
        _exit(cli_flush(code));
    cws_target_unref(cli->target);
    cws_client_unref(cli->client);
    if (cli->signal_fd >= 0)
        (void)close(cli->signal_fd);
    return cli_flush(code);
}

/* The text may be a service's, or hold words that nobody looked at. */
static void print_error(const char *fmt, va_list ap)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    CLEANUP_FREE char *owned = must(text);
    (void)fputs("Error: ", stderr);
    print_plain(stderr, owned);
    (void)fputc('\n', stderr);
}

int cli_fail(const char *fmt, ...)
{
    (void)fflush(stdout); /* what was printed before the error stays before it */
    va_list ap;
    va_start(ap, fmt);
    print_error(fmt, ap);
    va_end(ap);
    return EXIT_ERROR;
}

int cli_fail_with(const cws_error *error)
{
    (void)cli_fail("%s", cws_error_message(error));
    size_t n = cws_error_n_violations(error);
    for (size_t i = 0; i < n; i++) {
        const char *field, *description;
        cws_error_violation(error, i, &field, &description);
        CLEANUP_FREE char *line = text_printf("%s: %s", field, description);
        if (strstr(cws_error_message(error), n == 1 ? description : line))
            continue; /* a service with one thing to say says it there */
        (void)fputs("  ", stderr);
        print_plain(stderr, line);
        (void)fputc('\n', stderr);
    }
    return EXIT_ERROR;
}

int cli_fail_free(cws_error *take_error)
{
    int code = take_error ? cli_fail_with(take_error) : cli_fail("out of memory");
    cws_error_free(take_error);
    return code;
}

int cli_usage(const struct cli *cli, const char *fmt, ...)
{
    CLEANUP_FREE char *usage = verb_usage(cli->verb);
    (void)fprintf(stderr, "Usage: %s\nTry 'cwsandbox %s --help' for help.\n\n", usage,
                  cli->verb->name);
    va_list ap;
    va_start(ap, fmt);
    print_error(fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

int cli_signal(struct cli *cli)
{
    struct signalfd_siginfo info;
    return read(cli->signal_fd, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

int cli_interrupted(struct cli *cli, int signal_number)
{
    cli->is_interrupted = true;
    cli->wait_until_ns = monotonic_ns() + INTERRUPTED_WAIT_NS;
    return EXIT_SIGNAL + signal_number;
}

/* For poll(): milliseconds left of cli->wait_until_ns. */
static int patience(const struct cli *cli)
{
    uint64_t now = monotonic_ns();
    if (!cli->wait_until_ns)
        return -1;
    return now < cli->wait_until_ns ? (int)((cli->wait_until_ns - now) / NS_PER_MS) + 1 : 0;
}

/* EXIT_FINE when done, EXIT_SIGNAL + n, or EXIT_ERROR (printed) when no descriptor could
 * be had or patience ended. */
static int wait_done(struct cli *cli, cws_op *op)
{
    if (cws_op_done(op))
        return EXIT_FINE;
    cws_error *error = NULL;
    int op_fd = cws_op_fd(op, &error);
    if (op_fd < 0)
        return cli_fail_free(error);
    struct pollfd fds[] = {{.fd = op_fd, .events = POLLIN},
                           {.fd = cli->signal_fd, .events = POLLIN}};
    while (!cws_op_done(op)) {
        if (poll(fds, ARRAY_SIZE(fds), patience(cli)) < 0 && errno != EINTR)
            return cli_fail("wait: %s", strerror(errno));
        int signal_number = cli_signal(cli);
        if (signal_number)
            return cli_interrupted(cli, signal_number);
        if (patience(cli) == 0 && !cws_op_done(op))
            return cli_fail("the service does not answer");
    }
    return EXIT_FINE;
}

int cli_await_quietly(struct cli *cli, cws_op *take_op, cws_op **ret_op)
{
    CLEANUP_OP cws_op *op = take_op;
    int code = wait_done(cli, op);
    if (code == EXIT_FINE && cws_op_error(op))
        code = EXIT_ERROR;
    if (ret_op && cws_op_done(op)) {
        *ret_op = op;
        op = NULL;
    }
    return code;
}

int cli_await(struct cli *cli, cws_op *take_op, cws_error *take_error, cws_op **ret_op)
{
    if (!take_op)
        return cli_fail_free(take_error);
    CLEANUP_OP cws_op *op = NULL;
    int code = cli_await_quietly(cli, take_op, &op);
    if (code == EXIT_ERROR && op && cws_op_error(op))
        (void)cli_fail_with(cws_op_error(op));
    if (code == EXIT_FINE && ret_op) {
        *ret_op = op;
        op = NULL;
    }
    return code;
}

int cli_attach(struct cli *cli, const char *id, uint64_t timeout_ns, int data_plane,
               cws_sandbox **ret_sb)
{
    int code = cli_connect(cli);
    if (code != EXIT_FINE)
        return code;
    CLEANUP_OP cws_op *op = NULL;
    cws_error *error = NULL;
    cws_op *call = cws_from_id(cli->client, cli->target, id, timeout_ns, &error);
    code = cli_await(cli, call, error, &op);
    if (code != EXIT_FINE)
        return code;
    *ret_sb = cws_sandbox_ref(cws_op_sandbox(op, 0));
    if (data_plane)
        cws_sandbox_set_data_plane(*ret_sb, (cws_data_plane)(data_plane - 1));
    return EXIT_FINE;
}
