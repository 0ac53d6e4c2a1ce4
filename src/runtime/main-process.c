/*
 * The main process of a sandbox: one EXEC, its STARTED and its EXITED. Its output goes through a pipe into the log
 * (log-file.h). When it ended, and all it wrote is in the log, the sandbox is COMPLETED and everything else in it is killed,
 * as in a container. A command that does not exist is a main process that ended with 127.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/util.h"
#include "runtime/ledger-record.h"
#include "runtime/log-file.h"
#include "runtime/sandbox.h"

/* Why a sandbox is COMPLETED that did not do what it was made for. */
static void describe_end(const struct main_process *m, char *ret, size_t size)
{
    if (m->exit_code == 0)
        ret[0] = '\0';
    else if (m->out_of_memory)
        (void)snprintf(ret, size, "out of memory: the main process was killed (exit code %d)",
                       m->exit_code);
    else if (m->signo != 0)
        (void)snprintf(ret, size, "the main process was killed by signal %d", m->signo);
    else
        (void)snprintf(ret, size, "the main process ended with exit code %d", m->exit_code);
}

static void tell_exit(struct sandbox *sb)
{
    char why[96]; /* the longest text is 71 bytes */

    log_waiter_cancel(&sb->main.flush);
    sb->main.ended = true;
    sb->has_exit_code = true;
    sb->exit_code = sb->main.exit_code;
    if (sb->state == SANDBOX_TERMINATING) {
        ledger_record_update(sb);
        sandbox_kill(sb); /* the rest of it; TERMINATED when that is gone */
    } else if (!sandbox_state_terminal(sb->state)) {
        describe_end(&sb->main, why, sizeof(why));
        sandbox_end(sb, SANDBOX_COMPLETED, why);
    }
}

static void on_flushed(struct log_waiter *w)
{
    tell_exit(CONTAINER_OF(w, struct sandbox, main.flush));
}

/* Told when what it wrote is in the log. */
static void end_main(struct sandbox *sb, int exit_code)
{
    cleanup_fd(&sb->main.log_fd);
    sb->main.exited = true;
    sb->main.exit_code = exit_code;
    sb->main.flush.cb = on_flushed;
    if (!sb->log || !log_file_flush(sb->log, &sb->main.flush))
        tell_exit(sb);
}

void main_process_on_cell_gone(struct sandbox *sb)
{
    cleanup_fd(&sb->main.log_fd);
    if (sb->main.exited && !sb->main.ended)
        tell_exit(sb);
}

static void on_started(struct sandbox *sb, const struct init_packet *packet)
{
    char text[PLAN_MAX_PATH + 256]; /* a longer name is cut */
    struct exec_body body = {
        .cwd = sb->plan->cwd, .user = sb->plan->user, .name = sb->plan->argv[0]};
    CLEANUP_ERR struct err err = {0};

    if (packet->value == 0) {
        cleanup_fd(&sb->main.log_fd); /* or the pipe would never end */
        sb->main.started = true;
        sb->main.start_ns = clock_now_ns();
        setup_check_running(sb);
        return;
    }
    control_end(&sb->cell->control, &sb->main.call);
    if (exec_request_error(&body, packet, &err)) {
        sandbox_fail(sb, "start the main process: %s", err_text(&err));
        return;
    }
    int exit_code = exec_failure_text(&body, packet, text, sizeof(text));
    if (exit_code == 0) {
        sandbox_fail(sb, "start the main process: %s: %s", packet->stage,
                     strerror(-packet->value));
        return;
    }
    sb->start_wall_ns = clock_wall_ns();
    /* Through the pipe as what a process would have said: less than its capacity, so it does not block. */
    (void)fd_write_all(sb->main.log_fd, text, strlen(text));
    end_main(sb, exit_code);
}

void main_process_on_exit(struct sandbox *sb, int wait_status, uint32_t flags)
{
    sb->main.signo = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
    sb->main.out_of_memory = (flags & INIT_OOM_KILLED) != 0;
    end_main(sb,
             WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
}

static void on_packet(struct control_call *call, const struct init_packet *packet, int take_fd)
{
    struct sandbox *sb = CONTAINER_OF(call, struct sandbox, main.call);
    cleanup_fd(&take_fd);
    if (packet->type == INIT_STARTED && !sb->main.started) {
        on_started(sb, packet);
        return;
    }
    control_end(&sb->cell->control, call);
    if (packet->type != INIT_EXITED || !sb->main.started) {
        sandbox_fail(sb, "the sandbox's init broke its protocol");
        return;
    }
    main_process_on_exit(sb, packet->value, packet->flags);
}

static void on_lost(struct control_call *call)
{
    struct sandbox *sb = CONTAINER_OF(call, struct sandbox, main.call);
    control_end(&sb->cell->control, call); /* EVENT_EXITED tells why */
}

void main_process_adopt(struct sandbox *sb)
{
    sb->main.call.on_packet = on_packet;
    sb->main.call.on_lost = on_lost;
    sb->main.start_ns = 1; /* long ago: it had its time to say something */
}

/* init gets the other end of the pipe too, and keeps it: the process outlives a service that is started anew. */
static int send_exec(struct sandbox *sb, const struct exec_body *body)
{
    struct control *control = &sb->cell->control;
    int fds[CONTROL_MAX_FDS] = {sb->main.log_fd, sb->main.log_fd, sb->log->pipe.fd, -1};
    struct control_request request = {
        .head = {.type = INIT_EXEC,
                 .flags = INIT_MAIN | INIT_NULL_STDIN,
                 .n_args = body->n_args,
                 .n_envs = body->n_envs},
        .fds = fds,
        .n_fds = 3,
    };
    CLEANUP_FD int memfd = -1;
    int r = exec_body_attach(body, &request, fds, &memfd);
    if (r < 0)
        return r;
    r = control_begin(control, &sb->main.call);
    if (r < 0)
        return r;
    request.head.id = sb->main.call.id;
    r = control_send(control, &request);
    if (r < 0)
        control_end(control, &sb->main.call);
    return r;
}

void main_process_start(struct sandbox *sb)
{
    CLEANUP_ERR struct err err = {0};
    CLEANUP(exec_body_done) struct exec_body body = {0};

    sb->main.call.on_packet = on_packet;
    sb->main.call.on_lost = on_lost;
    if (log_file_new(sb->rt, sb->id, &sb->log, &sb->main.log_fd, &err) < 0 ||
        exec_body_compose(&body, sb->plan, NULL, sb->id, &err) < 0) {
        sandbox_fail(sb, "start the main process: %s", err_text(&err));
        return;
    }
    int r = send_exec(sb, &body);
    if (r < 0)
        sandbox_fail(sb, "start the main process: %s", strerror(-r));
}

void main_process_signal(struct sandbox *sb, int signo)
{
    struct control_request request = {
        .head = {.type = INIT_SIGNAL, .id = sb->main.call.id, .value = signo}};
    (void)control_send(&sb->cell->control, &request); /* fails only when init is gone */
}
