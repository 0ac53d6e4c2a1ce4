/* See reload.h. */
#include "launch/reload.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"
#include "launch/notify.h"

#define LEAVE_MS \
    2000 /* chosen: a daemon leaves in 0.3 s; one that does not is killed, which loses as little */

void reload_secrets(struct supervisor *s)
{
    int fds[HANDOVER_N_SECRETS];
    size_t n = 0;
    uint8_t which;

    if (s->daemon_fd < 0)
        return;
    which = secrets_read(&s->secrets, fds, &n);
    if (supervisor_send_word(s->daemon_fd, HANDOVER_WORD_RELOAD, which, fds, n) < 0)
        secrets_settle(&s->secrets, 0);
}

static void reload_end(struct supervisor *s)
{
    renew_drop(&s->renewal, s->options);
    notify_systemd("READY=1");
    if (s->daemon_pid == 0 && !s->stopping && s->next_ns == 0)
        supervisor_plan_restart(s);
    if (s->reload && !s->stopping)
        reload_begin(s, s->reload_programs);
}

/* The old configuration stays, in the daemon that serves or in the next one. */
void reload_fail(struct supervisor *s, const char *why)
{
    log_event(LOG_ERROR, "reload_failed", "why=\"%s\" consequence=\"%s\"", why,
              "the configuration stays as it was");
    if (s->renewal.state == RENEW_OPENING)
        reload_secrets(s); /* of keys and certificates each counts for itself */
    reload_end(s);
}

void reload_begin(struct supervisor *s, bool programs)
{
    char text[64];
    int r;

    s->reload = s->reload_programs = false;
    if (s->renewal.state != RENEW_NONE) {
        s->reload = true;
        s->reload_programs = programs;
        return;
    }
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
                   (unsigned long long)(clock_now_ns() / 1000));
    notify_systemd(text);
    r = renew_begin(&s->renewal, s->options, programs);
    if (r < 0) {
        s->renewal.state = RENEW_OPENING;
        reload_fail(s, strerror(-r));
    }
}

static void take_over(struct supervisor *s)
{
    struct renewal *n = &s->renewal;
    int r = supervisor_send_word(s->engine_fd, HANDOVER_WORD_DAEMON, 0, &n->engine_fd, 1);

    if (r < 0) {
        reload_fail(s, strerror(-r));
        return;
    }
    cleanup_fd(&n->engine_fd);
    n->state = RENEW_TAKEN;
    s->daemon_pid = n->pid;
    s->daemon_fd = TAKE_FD(n->words_fd);
    s->born_ns = clock_now_ns();
    s->next_ns = 0;
    s->kill_ns = n->due_ns; /* ready by then */
}

static void begin_check(struct supervisor *s)
{
    pid_t pid = upgrade_check(s->renewal.options.argv[0]);

    if (pid < 0)
        reload_fail(s, strerror(-pid));
    else
        s->renewal.check_pid = pid;
}

void reload_on_front(struct supervisor *s)
{
    struct renewal *n = &s->renewal;
    struct program program = program_now(s->options->daemon_argv[0]);
    int r = renew_on_front(n, s->options);

    if (r < 0) {
        reload_fail(s, "the configuration cannot be used");
        return;
    }
    if (r == 0)
        return;
    n->upgrade = n->forced || upgrade_wanted(n->options.argv[0]);
    if (n->upgrade) {
        begin_check(s);
    } else if (renew_same(n, s->options) && program_same(&program, &s->program)) {
        reload_secrets(s);
        reload_end(s);
    }
}

/* The old daemon is gone: no difference to sandboxes. */
void reload_on_left(struct supervisor *s)
{
    struct renewal *n = &s->renewal;
    int r;

    if (!n->upgrade) {
        take_over(s);
        return;
    }
    n->state = RENEW_REPLACING;
    r = upgrade_engine(s->engine_fd, s->engine_pid, &n->options);
    if (r < 0)
        reload_fail(s, strerror(-r));
}

/* When the new one is prepared, and the new cwsandbox-launch has said that it can. */
static void leave_daemon(struct supervisor *s)
{
    if (s->renewal.state != RENEW_PREPARED || s->renewal.check_pid != 0)
        return;
    if (s->daemon_pid == 0) {
        reload_on_left(s);
        return;
    }
    (void)supervisor_send_word(s->daemon_fd, HANDOVER_WORD_LEAVE, 0, NULL, 0);
    s->kill_ns = clock_now_ns() + LEAVE_MS * NS_PER_MS;
}

void reload_on_checked(struct supervisor *s, int wait_status)
{
    s->renewal.check_pid = 0;
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0)
        leave_daemon(s);
    else
        reload_fail(
            s, "the new cwsandbox-launch does not start, or cannot take over from this one");
}

void reload_on_engine_word(struct supervisor *s)
{
    uint8_t packet[2] = {0};
    ssize_t n = recv(s->engine_fd, packet, sizeof(packet), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        cleanup_fd(&s->engine_fd); /* its end comes as SIGCHLD */
    else if (packet[0] != HANDOVER_WORD_REPLACED || s->renewal.state != RENEW_REPLACING)
        log_event(LOG_WARN, "unknown_word", "word=%u", packet[0]);
    else if (packet[1])
        take_over(s);
    else
        reload_fail(s, "the new cwsandbox-launch could not take the sandboxes over");
}

/* Words of a daemon that does not serve yet; PREPARED is the only one. */
void reload_on_next_word(struct supervisor *s)
{
    uint8_t packet[2] = {0};
    ssize_t n = recv(s->renewal.words_fd, packet, sizeof(packet), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        cleanup_fd(&s->renewal.words_fd); /* its end comes as SIGCHLD */
        return;
    }
    if (packet[0] != HANDOVER_WORD_PREPARED || s->renewal.state != RENEW_PREPARING)
        return;
    s->renewal.state = RENEW_PREPARED;
    leave_daemon(s);
}

/* The last step; without it the engine is the new program all the same, and understands our words. */
static void replace_self(struct supervisor *s)
{
    const struct supervised state = {.engine_pid = s->engine_pid,
                                     .daemon_pid = s->daemon_pid,
                                     .engine_fd = s->engine_fd,
                                     .daemon_fd = s->daemon_fd,
                                     .program_fd = s->program_fd,
                                     .born_ns = s->born_ns,
                                     .delay_ms = s->delay_ms,
                                     .reload = s->reload,
                                     .reload_programs = s->reload_programs,
                                     .fetches = s->fetches};
    int r = upgrade_self(&state, s->options);

    log_event(LOG_ERROR, "supervisor_not_replaced", "errno=%d text=\"%s\"", -r, strerror(-r));
}

void reload_commit(struct supervisor *s)
{
    bool upgrade = s->renewal.upgrade;

    s->kill_ns = 0;
    secrets_settle(&s->secrets, 0);
    s->options = renew_commit(&s->renewal, s->options);
    s->secrets.options = s->options;
    s->program = program_now(s->options->daemon_argv[0]);
    cleanup_fd(&s->program_fd);
    s->program_fd = program_open(s->options->daemon_argv[0]);
    if (upgrade)
        replace_self(s);
    log_event(LOG_INFO, "reloaded", "pid=%d", s->daemon_pid);
    reload_end(s);
}

/* In the place of the supervisor that has just renewed the service. */
int reload_resume(struct supervisor *s)
{
    struct supervised state = {.program_fd = -1};
    int r = upgrade_resume(&state, s->options->table_fd);

    if (r < 0) {
        log_event(LOG_ERROR, "supervisor_not_resumed", "errno=%d text=\"%s\"", -r,
                  strerror(-r));
        return r;
    }
    s->engine_pid = state.engine_pid;
    s->daemon_pid = state.daemon_pid;
    s->engine_fd = state.engine_fd;
    s->daemon_fd = state.daemon_fd;
    s->program_fd = state.program_fd;
    s->born_ns = state.born_ns;
    s->delay_ms = state.delay_ms;
    s->reload = state.reload;
    s->reload_programs = state.reload_programs;
    s->fetches = state.fetches;
    s->served = true;
    log_event(LOG_INFO, "reloaded", "pid=%d", s->daemon_pid);
    reload_end(s);
    return 0;
}
