/* See attach.h. */
#include "cli/attach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/outlet.h"
#include "cli/terminal.h"

/* A terminal whose output ended and whose exit code does not come. Source: contract of the
 * published client. */
#define COLLECT_TIMEOUT_NS (5 * NS_PER_SEC)

struct attach {
    struct cli *cli;
    cws_queue *queue;
    cws_process *process; /* borrowed; NULL when only one stream is copied */
    struct outlet out, err;
    struct inlet in;
    struct terminal terminal;
    bool tty;
    bool op_done;        /* the remote operation; true from the start when there is none */
    bool input_is_asked; /* somebody named the input: it must be one */
    uint64_t collect_until_ns; /* tty, output ended: give up then; 0 = no limit yet */
    int signal_number;         /* the signal that ends the program, 0 = none */
};

/* ---- the terminal's signals ---- */

/* The terminal must be put back on any of these, and follows the window's size; the rest of the
 * program ignores or dies by default. Only in a terminal session, because outside of one Ctrl-Z
 * must keep its usual meaning. */
static void take_terminal_signals(struct cli *cli)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
        (void)sigaddset(&set, wanted[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signalfd(cli->signal_fd, &set, 0); /* replaces the set of the existing descriptor */
}

static void follow_window_size(struct attach *a)
{
    uint32_t width, height;
    terminal_size(&width, &height);
    /* Fails only when the session has ended, which the loop is about to see. */
    (void)cws_process_resize(a->process, width, height, NULL);
}

static void handle_signal(struct attach *a, int number)
{
    switch (number) {
    case SIGWINCH:
        follow_window_size(a);
        break;
    case SIGTSTP:
        terminal_leave(&a->terminal);
        (void)raise(SIGSTOP); /* returns at SIGCONT, which is delivered to the signalfd next */
        break;
    case SIGCONT:
        (void)terminal_enter(&a->terminal);
        follow_window_size(a);
        break;
    default:
        a->signal_number = number;
        break;
    }
}

/* ---- the loop ---- */

static void take_tags(struct attach *a)
{
    void *tag;
    while ((tag = cws_queue_next(a->queue))) {
        if (tag == &a->out)
            outlet_on_tag(&a->out);
        else if (tag == &a->err)
            outlet_on_tag(&a->err);
        else if (tag == &a->in)
            inlet_on_tag(&a->in);
        else if (tag == &a->op_done)
            a->op_done = true;
    }
}

/* An input that cannot be read to its end must not look complete. A descriptor that is only for
 * writing is no input: that is what nohup(1) leaves. */
static bool has_input_failed(const struct attach *a)
{
    int number = a->in.error_number;
    return number && !a->tty && (number != EBADF || a->input_is_asked);
}

/* Stop before the process does: a signal, or nobody can be told the rest. A failed *reader* is
 * not in here: what went wrong remotely is reported by the process's handle. */
static bool is_cut_short(const struct attach *a)
{
    return has_input_failed(a) || a->signal_number || a->out.state == OUTLET_BROKEN ||
           a->err.state == OUTLET_BROKEN || a->out.error_number || a->err.error_number;
}

static bool is_over(const struct attach *a)
{
    if (is_cut_short(a))
        return true;
    return outlet_over(&a->out) && outlet_over(&a->err) && a->op_done;
}

/* How long poll() may sleep, in milliseconds. */
static int poll_timeout(struct attach *a, bool again)
{
    if (again)
        return 0;
    if (!a->tty || a->op_done || !outlet_over(&a->out))
        return -1;
    uint64_t now = monotonic_ns();
    if (!a->collect_until_ns)
        a->collect_until_ns = now + COLLECT_TIMEOUT_NS;
    return now < a->collect_until_ns ? (int)((a->collect_until_ns - now) / NS_PER_MS) + 1 : 0;
}

/* One sleep and what it brought. False: poll() itself failed, errno is set. */
static bool wait_once(struct attach *a, bool again)
{
    enum { SIGNALS, QUEUE, INPUT, OUTPUT, ERRORS, N_FDS };
    struct pollfd fds[N_FDS] = {
        [SIGNALS] = {.fd = a->cli->signal_fd, .events = POLLIN},
        [QUEUE] = {.fd = cws_queue_fd(a->queue), .events = POLLIN},
        [INPUT] = {.fd = inlet_wants(&a->in) ? a->in.fd : -1, .events = POLLIN},
        [OUTPUT] = {.fd = outlet_over(&a->out) ? -1 : a->out.fd,
                    .events = outlet_events(&a->out)},
        [ERRORS] = {.fd = outlet_over(&a->err) ? -1 : a->err.fd,
                    .events = outlet_events(&a->err)},
    };
    if (poll(fds, N_FDS, poll_timeout(a, again)) < 0)
        return errno == EINTR;
    int number = fds[SIGNALS].revents ? cli_signal(a->cli) : 0;
    if (number)
        handle_signal(a, number);
    outlet_on_poll(&a->out, fds[OUTPUT].revents);
    outlet_on_poll(&a->err, fds[ERRORS].revents);
    take_tags(a);
    if (fds[INPUT].revents && inlet_wants(&a->in))
        inlet_turn(&a->in);
    return true;
}

static int no_exit_code(struct attach *a)
{
    terminal_leave(&a->terminal); /* before anything is printed */
    return cli_fail("the session ended without an exit code");
}

static int wait_failed(struct attach *a, int number)
{
    terminal_leave(&a->terminal);
    return cli_fail("wait: %s", strerror(number));
}

static bool collecting_failed(const struct attach *a)
{
    return a->collect_until_ns && monotonic_ns() >= a->collect_until_ns;
}

static int pump(struct attach *a)
{
    for (;;) {
        bool again = outlet_turn(&a->out);
        again |= outlet_turn(&a->err);
        if (is_over(a))
            return EXIT_FINE;
        if (collecting_failed(a))
            return no_exit_code(a);
        if (!wait_once(a, again))
            return wait_failed(a, errno);
    }
}

/* ---- results ---- */

static int local_result(const struct attach *a)
{
    int number = a->out.error_number ? a->out.error_number : a->err.error_number;
    if (a->signal_number)
        return cli_interrupted(a->cli, a->signal_number);
    if (number)
        return cli_fail("write output: %s", strerror(number));
    if (has_input_failed(a))
        return cli_fail("read input: %s", strerror(a->in.error_number));
    return EXIT_FINE;
}

/* The exit code of a command that ran out of memory is that of `kill -9`. */
static void tell_facts(const cws_process *process)
{
    cws_process_facts facts;
    if (cws_process_get_facts(process, &facts) && facts.oom_killed == 1)
        (void)fprintf(stderr, "The command was killed: the sandbox is out of memory.\n");
}

static int process_result(struct attach *a)
{
    cws_op *op = cws_process_op(a->process);
    if (is_cut_short(a)) {
        (void)cws_op_cancel(op); /* nothing happens when it is done already */
        return local_result(a);
    }
    if (cws_op_error(op))
        return cli_fail_with(cws_op_error(op));
    tell_facts(a->process);
    int code = cws_op_int(op);
    return code >= 0 ? code & 0xFF : no_exit_code(a);
}

static void attach_done(struct attach *a)
{
    terminal_leave(&a->terminal); /* before anything is printed */
    outlet_done(&a->out);
    outlet_done(&a->err);
    inlet_done(&a->in);
    cws_queue_free(a->queue);
}

/* Everything that can fail before the first byte moves. */
static int attach_begin(struct attach *a, const struct attach_options *options)
{
    cws_error *error = NULL;
    a->queue = cws_queue_new(&error);
    if (!a->queue)
        return cli_fail_free(error);
    outlet_init(&a->out, a->queue, cws_process_stdout(a->process), STDOUT_FILENO);
    outlet_init(&a->err, a->queue, options->tty ? NULL : cws_process_stderr(a->process),
                STDERR_FILENO);
    inlet_init(&a->in, a->queue,
               options->forward_stdin || options->tty ? cws_process_stdin(a->process) : NULL,
               STDIN_FILENO);
    if (cws_queue_add(a->queue, cws_process_op(a->process), &a->op_done, &error) < 0)
        return cli_fail_free(error);
    if (!options->tty)
        return EXIT_FINE;
    take_terminal_signals(a->cli);
    int failed = terminal_enter(&a->terminal);
    if (failed < 0)
        return cli_fail("set the terminal to raw mode: %s", strerror(-failed));
    follow_window_size(a); /* it may have changed since the process was made */
    return EXIT_FINE;
}

int attach_process(struct cli *cli, cws_process *process, const struct attach_options *options)
{
    struct attach a = {.cli = cli, .process = process, .tty = options->tty};
    int code = attach_begin(&a, options);
    if (code == EXIT_FINE)
        code = pump(&a);
    terminal_leave(&a.terminal); /* before an error is printed */
    if (code == EXIT_FINE)
        code = process_result(&a);
    else
        (void)cws_op_cancel(cws_process_op(process));
    attach_done(&a);
    return code;
}

/* One stream and no process: @a->out or @a->in and @op are set up by the caller. */
static int copy_stream(struct attach *a)
{
    int code = pump(a);
    if (code == EXIT_FINE)
        code = a->out.error ? cli_fail_with(a->out.error) : local_result(a);
    return code;
}

int attach_reader(struct cli *cli, cws_reader *reader, int fd)
{
    cws_error *error = NULL;
    struct attach a = {.cli = cli, .queue = cws_queue_new(&error), .op_done = true};
    if (!a.queue)
        return cli_fail_free(error);
    outlet_init(&a.out, a.queue, reader, fd);
    outlet_init(&a.err, a.queue, NULL, STDERR_FILENO);
    inlet_init(&a.in, a.queue, NULL, STDIN_FILENO);
    int code = copy_stream(&a);
    attach_done(&a);
    return code;
}

int attach_bytes(struct cli *cli, const void *data, size_t size, int fd)
{
    cws_error *error = NULL;
    struct attach a = {.cli = cli, .queue = cws_queue_new(&error), .op_done = true};
    if (!a.queue)
        return cli_fail_free(error);
    outlet_init_bytes(&a.out, data, size, fd);
    outlet_init(&a.err, a.queue, NULL, STDERR_FILENO);
    inlet_init(&a.in, a.queue, NULL, STDIN_FILENO);
    int code = copy_stream(&a);
    attach_done(&a);
    return code;
}

int attach_writer(struct cli *cli, cws_op *op, cws_writer *writer, int fd, uint64_t *ret_size)
{
    cws_error *error = NULL;
    struct attach a = {.cli = cli, .queue = cws_queue_new(&error), .input_is_asked = true};
    if (!a.queue)
        return cli_fail_free(error);
    outlet_init(&a.out, a.queue, NULL, STDOUT_FILENO);
    outlet_init(&a.err, a.queue, NULL, STDERR_FILENO);
    inlet_init(&a.in, a.queue, writer, fd);
    int code = cws_queue_add(a.queue, op, &a.op_done, &error) < 0 ? cli_fail_free(error)
                                                                  : copy_stream(&a);
    if (code == EXIT_FINE && cws_op_error(op))
        code = cli_fail_with(cws_op_error(op));
    if (code != EXIT_FINE)
        (void)cws_op_cancel(op);
    *ret_size = a.in.n_bytes;
    attach_done(&a);
    return code;
}
