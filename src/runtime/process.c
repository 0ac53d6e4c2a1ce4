/* Processes in a sandbox: start, signals, verdict; see process.h. */
#include "runtime/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static void on_later(struct deferred *d);

/* ---- the end ---- */

void process_reap(struct process *p)
{
    if (!p->user_gone || !p->ended || p->n_busy > 0 || p->killing == KILL_SENT)
        return;
    deferred_cancel(&p->later);
    exec_body_done(&p->body);
    err_done(&p->err);
    free(p);
}

/* Nothing of the sandbox is held any more; only the memory stays, for the user. */
static void detach(struct process *p)
{
    p->ended = true;
    sandbox_waiter_cancel(&p->waiter);
    list_remove(&p->start_link);
    deferred_cancel(&p->later);
    process_io_close(p);
    list_remove(&p->link);
    sandbox_unref(TAKE_PTR(p->sb));
}

static void tell_verdict(struct process *p)
{
    detach(p);
    p->n_busy++;
    if (!p->user_gone && p->verdict == VERDICT_EXIT && p->events.on_exit)
        p->events.on_exit(p->user, p, p->exit_code);
    else if (!p->user_gone && p->verdict == VERDICT_ERROR && p->events.on_error)
        p->events.on_error(p->user, p, &p->err);
    p->n_busy--;
    process_reap(p);
}

/* The verdict is known: hand out the remaining output, then the verdict, or wait for the
 * receiver. */
static void finish(struct process *p)
{
    p->n_busy++;
    int drained = process_io_drain(p);
    p->n_busy--;
    if (drained < 0 && p->verdict == VERDICT_EXIT) { /* an exit would say that this was all */
        p->verdict = VERDICT_ERROR;
        (void)err_set(&p->err, ERR_RESOURCE_EXHAUSTED,
                      "the end of the output is lost: out of memory");
    }
    if (!p->ended && (drained != 0 || p->user_gone))
        tell_verdict(p);
    else
        process_reap(p);
}

/* The verdict is known, and what was to be killed is dead. */
static void settle(struct process *p)
{
    if (p->verdict == VERDICT_NONE || p->ended || p->killing == KILL_SENT)
        process_reap(p);
    else if (p->user_gone)
        tell_verdict(p); /* nobody hears it; it detaches */
    else
        finish(p);
}

static void on_later(struct deferred *d)
{
    struct process *p = CONTAINER_OF(d, struct process, later);
    if (p->verdict == VERDICT_ERROR && p->err.code == ERR_OK)
        sandbox_gone_error(p->sb, &p->err);
    settle(p);
}

void processes_end_now(struct sandbox *sb)
{
    for (struct list *it; (it = list_first(&sb->processes));) {
        struct process *p = CONTAINER_OF(it, struct process, link);
        if (p->verdict == VERDICT_NONE)
            p->verdict = VERDICT_ERROR;
        if (p->verdict == VERDICT_ERROR && p->err.code == ERR_OK)
            sandbox_gone_error(sb, &p->err);
        tell_verdict(p);
    }
}

/* ---- killing ---- */

static void on_killed(void *user, const struct launch_status *status)
{
    struct process *p = user;

    p->killing = KILL_CONFIRMED;
    control_hold_end(&p->hold);
    if (!p->ended && status && status->status < 0 &&
        status->status != -ENOENT) /* the sandbox is gone: so is everything in it */
        sandbox_fail(p->sb, "a command could not be killed: %s: %s", status->stage,
                     strerror(-status->status));
    if (p->verdict == VERDICT_NONE || p->ended)
        process_reap(p);
    else
        deferred_post(&p->sb->rt->deferred, &p->later);
}

static void ask_driver(struct process *p)
{
    struct cell_driver *driver = p->sb->rt->driver;
    struct launch_kill_exec exec = {.slot = (uint32_t)p->slot};

    memcpy(exec.id, p->sb->id, sizeof(exec.id));
    p->killing = KILL_SENT;
    control_hold(&p->sb->cell->control, &p->hold);
    if (driver->ops->kill_exec(driver, &exec, on_killed, p) < 0)
        on_killed(p, NULL); /* launch is gone, and ends everything */
}

/* init always: it must not use the slot again, and until STARTED nobody else knows it. */
static void begin_kill(struct process *p)
{
    struct control_request request = {.head = {.type = INIT_KILL, .id = p->call.id}};

    if (p->killing != KILL_NONE)
        return;
    p->killing = KILL_ASKED;
    (void)control_send(&p->sb->cell->control, &request); /* fails only when init is gone */
    if (p->started && p->slot >= 0)
        ask_driver(p);
}

/* ---- what init says ---- */

static void say_ready(struct process *p)
{
    if (!p->user_gone && p->events.on_ready)
        p->events.on_ready(p->user, p);
}

/* The command itself could not be started: told as a shell would, on stderr and by the exit
 * code. */
static void on_start_failed(struct process *p, const struct init_packet *packet)
{
    char text[PLAN_MAX_PATH + 256]; /* a longer name is cut */
    int error = -packet->value;

    if (exec_request_error(&p->body, packet, &p->err))
        return; /* the verdict is an error already */
    p->exit_code = exec_failure_text(&p->body, packet, text, sizeof(text));
    if (p->exit_code == 0) {
        p->verdict = VERDICT_ERROR;
        bool full = error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
        (void)err_set_errno(&p->err, full ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL, error,
                            "start the process: %s%s", packet->stage,
                            error == EAGAIN ? ": the sandbox's limit of processes is reached"
                                            : "");
    } else {
        CLEANUP_BUF struct buf output = {0};
        p->verdict = VERDICT_EXIT;
        say_ready(p);
        text[strlen(text) - 1] = '\0'; /* its newline: a raw terminal needs a return, too */
        if (!p->user_gone && buf_put_str(&output, text) == 0 &&
            buf_put_str(&output, p->tty ? "\r\n" : "\n") == 0)
            process_emit(p, OUTPUT_STDERR, &output);
    }
}

/* It runs, but nobody could hear it: it is killed, and its EXITED ends the call, as that of any other. */
static void on_no_terminal(struct process *p, int error)
{
    bool full = error == EMFILE || error == ENFILE || error == ENOMEM;

    (void)err_set_errno(&p->err, full ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL, error,
                        "start the process: its terminal");
    begin_kill(p);
}

/* Somebody else's turn. Later: no call of init's may begin while all of them are being ended. */
static void start_is_over(struct process *p)
{
    struct sandbox *sb = p->sb;

    if (!p->starting)
        return;
    p->starting = false;
    sb->n_starting--;
    if (!list_empty(&sb->starts))
        deferred_post(&sb->rt->deferred, &sb->start_more);
}

static void on_started(struct process *p, const struct init_packet *packet, int take_fd)
{
    CLEANUP_FD int fd = take_fd;

    start_is_over(p);
    if (packet->value < 0) {
        control_end(&p->sb->cell->control, &p->call);
        p->verdict = VERDICT_ERROR;
        on_start_failed(p, packet);
        return;
    }
    p->started = true;
    p->slot = packet->slot;
    exec_body_done(&p->body);
    if (p->killing == KILL_ASKED && p->slot >= 0)
        ask_driver(p);
    if (p->tty && !p->user_gone) {
        /* A descriptor that did not come was one too many for us. */
        int r = fd < 0 ? -EMFILE : process_io_set_tty(p, TAKE_FD(fd));
        if (r < 0) {
            on_no_terminal(p, -r);
            return;
        }
    }
    say_ready(p);
    if (!p->user_gone)
        process_io_begin(p);
}

static void on_exited(struct process *p, const struct init_packet *packet)
{
    int status = packet->value;
    control_end(&p->sb->cell->control, &p->call);
    p->verdict = p->err.code != ERR_OK ? VERDICT_ERROR : VERDICT_EXIT;
    p->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    p->seen_end = true;
    p->facts = (struct process_facts){
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
        .oom = packet->flags & INIT_OOM_KILLED    ? OOM_KILLED
               : packet->flags & INIT_OOM_UNKNOWN ? OOM_UNKNOWN
                                                  : OOM_NO,
        .duration_ns = packet->duration_ns,
        .cpu_ns = packet->cpu_ns,
        .peak_memory_bytes = packet->size_bytes,
    };
}

const struct process_facts *process_facts(const struct process *p)
{
    return p->seen_end ? &p->facts : NULL;
}

static void on_packet(struct control_call *call, const struct init_packet *packet, int take_fd)
{
    struct process *p = CONTAINER_OF(call, struct process, call);

    p->n_busy++; /* also across the callbacks below: the user may free it in any of them */
    if (packet->type == INIT_STARTED && !p->started) {
        on_started(p, packet, take_fd);
    } else {
        cleanup_fd(&take_fd);
        if (packet->type == INIT_EXITED && p->started) {
            on_exited(p, packet);
        } else {
            start_is_over(p);
            control_end(&p->sb->cell->control, call);
            p->verdict = VERDICT_ERROR;
            (void)err_set(&p->err, ERR_INTERNAL, "the sandbox's init broke its protocol");
        }
    }
    p->n_busy--;
    settle(p);
}

static void on_lost(struct control_call *call)
{
    struct process *p = CONTAINER_OF(call, struct process, call);
    start_is_over(p);
    control_end(&p->sb->cell->control, call);
    p->verdict = VERDICT_ERROR;
    if (p->killing == KILL_SENT)
        return; /* launch's answer, or its end, comes in any case */
    if (p->user_gone)
        tell_verdict(p);
    else
        deferred_post(
            &p->sb->rt->deferred,
            &p->later); /* the text needs the sandbox's last state, known in a moment */
}

/* ---- the start ---- */

static int send_exec(struct process *p, struct child_stdio *stdio)
{
    struct control *control = &p->sb->cell->control;
    CLEANUP_FD int memfd = -1;
    int fds[CONTROL_MAX_FDS];
    size_t first = stdio->fds[0] < 0 ? 1 : 0; /* init opens what reads nothing */
    struct control_request request = {
        .head = {.type = INIT_EXEC,
                 .flags = (p->tty  ? INIT_TTY
                           : first ? INIT_NULL_STDIN
                                   : 0) |
                          (p->files ? INIT_FILES : 0),
                 .n_args = p->body.n_args,
                 .n_envs = p->body.n_envs,
                 .tty_width = p->tty_width,
                 .tty_height = p->tty_height},
        .fds = fds,
        .n_fds = p->tty ? 0 : 3 - first,
    };
    memcpy(fds, stdio->fds + first, (3 - first) * sizeof(int));
    int r = exec_body_attach(&p->body, &request, fds, &memfd);
    if (r == 0)
        r = control_begin(control, &p->call);
    if (r < 0)
        return r;
    request.head.id = p->call.id;
    r = control_send(control, &request);
    if (r < 0)
        control_end(control, &p->call);
    return r;
}

static int start_now(struct process *p, struct err *err)
{
    CLEANUP(child_stdio_done) struct child_stdio stdio = {.fds = {-1, -1, -1}};
    int r = p->sb->cell ? 0 : -EPIPE;

    if (r == 0 && !p->tty)
        r = process_io_open(p, &stdio);
    if (r == 0)
        r = send_exec(p, &stdio);
    if (r < 0) {
        sandbox_ask_error(p->sb, r, p->files ? "change files" : "start the process", err);
        return -1;
    }
    p->starting = true;
    p->sb->n_starting++;
    return 0;
}

/* A failure in a turn that comes later is the verdict. */
static void on_start_more(struct deferred *d)
{
    struct sandbox *sb = CONTAINER_OF(d, struct sandbox, start_more);
    struct list *first;

    while (sb->n_starting < PROCESS_MAX_STARTING && (first = list_first(&sb->starts))) {
        struct process *p = CONTAINER_OF(first, struct process, start_link);

        list_remove(first);
        if (start_now(p, &p->err) == 0)
            continue;
        p->verdict = VERDICT_ERROR;
        deferred_post(&sb->rt->deferred, &p->later);
    }
}

static int launch_process(struct process *p, struct err *err)
{
    struct sandbox *sb = p->sb;

    if (sb->n_starting < PROCESS_MAX_STARTING && list_empty(&sb->starts))
        return start_now(p, err);
    sb->start_more.cb = on_start_more;
    list_append(&sb->starts, &p->start_link);
    return 0;
}

static void on_waited(struct sandbox_waiter *waiter, bool running)
{
    struct process *p = CONTAINER_OF(waiter, struct process, waiter);
    if (running && launch_process(p, &p->err) == 0)
        return;
    p->verdict = VERDICT_ERROR;
    deferred_post(&p->sb->rt->deferred, &p->later);
}

static struct process *process_new(struct sandbox *sb, const struct process_spec *spec,
                                   const struct process_events *events, void *user)
{
    CLEANUP_FD int out = spec->stdout_fd > 0 ? fcntl(spec->stdout_fd, F_DUPFD_CLOEXEC, 0) : -1;
    struct process *p = spec->stdout_fd > 0 && out < 0 ? NULL : calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->stdout_fd = TAKE_FD(out);
    list_append(&sb->processes, &p->link);
    list_init(&p->start_link);
    p->sb = sandbox_ref(sb);
    p->events = *events;
    p->user = user;
    p->waiter.cb = on_waited;
    p->later.cb = on_later;
    p->call.on_packet = on_packet;
    p->call.on_lost = on_lost;
    p->slot = -1;
    p->want_stdin = spec->want_stdin;
    p->files = spec->files;
    p->tty = spec->tty;
    p->tty_width = spec->tty_width ? spec->tty_width : 80;
    p->tty_height = spec->tty_height ? spec->tty_height : 24;
    process_io_init(p);
    return p;
}

int process_start(struct sandbox *sb, const struct process_spec *spec,
                  const struct process_events *events, void *user, struct process **ret,
                  struct err *err)
{
    if (process_spec_check(spec, err) < 0)
        return -1;
    struct process *p = process_new(sb, spec, events, user);
    if (!p)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "start the process: out of memory");
    int r = exec_body_compose(&p->body, sb->plan, spec, sb->id, err);
    if (r == 0)
        r = sandbox_wait(sb, &p->waiter, err);
    if (r == 1)
        r = launch_process(p, err);
    if (r < 0) {
        process_free(p);
        return -1;
    }
    *ret = p;
    return 0;
}

/* ---- the user's hand on it ---- */

void process_kill(struct process *p)
{
    if (p->ended || p->verdict != VERDICT_NONE)
        return;
    if (p->call.id != 0) {
        begin_kill(p);
        return;
    }
    sandbox_waiter_cancel(&p->waiter); /* never came to life; ends as if it had */
    list_remove(&p->start_link);
    p->verdict = VERDICT_EXIT;
    p->exit_code = 128 + SIGKILL;
    deferred_post(&p->sb->rt->deferred, &p->later);
}

void process_free(struct process *p)
{
    if (!p)
        return;
    p->user_gone = true;
    if (!p->ended && p->call.id != 0) {
        begin_kill(p);
        process_io_close(p);
    } else if (!p->ended && p->n_busy == 0) {
        detach(p);
    }
    process_reap(p);
}

void process_resize(struct process *p, uint16_t width, uint16_t height)
{
    p->tty_width = width;
    p->tty_height = height;
    struct winsize size = {.ws_col = width, .ws_row = height};
    if (p->tty && p->in.watch.fd >= 0)
        (void)ioctl(p->in.watch.fd, TIOCSWINSZ,
                    &size); /* a terminal that hung up has no size to set */
}

void process_pause_output(struct process *p)
{
    p->paused = true;
    if (!p->ended)
        process_io_update(p);
}

void process_resume_output(struct process *p)
{
    p->paused = false;
    if (p->ended)
        return;
    if (p->verdict != VERDICT_NONE)
        deferred_post(&p->sb->rt->deferred, &p->later);
    else
        process_io_update(p);
}
