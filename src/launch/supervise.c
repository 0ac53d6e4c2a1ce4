/*
 * Starts the engine and the daemon, passes signals and secrets on, ends the one after the other.
 *
 *   engine up, daemon starting -> serving -> stopping (asked for: a signal, or idle) -> engine ends -> exit
 *
 * The end of the daemon that nobody asked for is followed by another daemon: listening sockets are open here all the time,
 * so clients wait instead of being refused. The end of the engine is the end of the service: nothing is left to serve.
 */
#include "launch/supervise.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"
#include "launch/children.h"
#include "launch/listeners.h"
#include "launch/notify.h"
#include "launch/reload.h"
#include "privproto/handover.h"

#define DAEMON_END_MS 5000 /* chosen: without an engine it has nothing to wait for */
#define YOUNG_MS 5000      /* chosen: a daemon that dies before is not simply started again */
#define DELAY_MIN_MS 100
#define DELAY_MAX_MS \
    800 /* chosen: with a start of 20 to 60 ms another one serves within a second, always */

static_assert(HANDOVER_DAEMON_ID == DEFAULT_UID_BASE + UID_COUNT,
              "a daemon of root's is nobody that a sandbox can be");

/* ---- starting ---- */

int supervisor_send_word(int fd, uint8_t word, uint8_t value, const int *fds, size_t n_fds)
{
    const uint8_t packet[2] = {word, value};

    return handover_send(fd, packet, fds, n_fds);
}

static int start_engine(struct supervisor *s, int launch)
{
    int pair[2], r = child_pair(pair);

    if (r < 0)
        return r;
    CLEANUP_FD int theirs = pair[1];
    s->engine_fd = pair[0];
    s->engine_pid = fork();
    if (s->engine_pid == 0)
        child_become_engine(s->options, s->engine, theirs, launch);
    return s->engine_pid < 0 ? -errno : 0;
}

/* The first engine gets its first socket by fork, each further one as a packet. */
static int start_daemon(struct supervisor *s)
{
    int words[2], launch[2], r = child_pair(words);

    if (r < 0)
        return r;
    s->daemon_fd = words[0];
    CLEANUP_FD int their_words = words[1];
    r = child_pair(launch);
    if (r < 0)
        return r;
    CLEANUP_FD int engines = launch[0];
    CLEANUP_FD int daemons = launch[1];
    r = s->engine_pid == 0
            ? start_engine(s, engines)
            : supervisor_send_word(s->engine_fd, HANDOVER_WORD_DAEMON, 0, &engines, 1);
    if (r < 0)
        return r;
    s->born_ns = clock_now_ns();
    s->daemon_pid = fork();
    if (s->daemon_pid == 0)
        child_become_daemon(s->options, s->program_fd, their_words, daemons);
    if (s->daemon_pid < 0) {
        s->daemon_pid = 0;
        return -errno;
    }
    return 0;
}

/* Another one is due at next_ns. */
void supervisor_plan_restart(struct supervisor *s)
{
    uint64_t now = clock_now_ns();

    if (now - s->born_ns >= YOUNG_MS * NS_PER_MS)
        s->delay_ms = 0;
    s->next_ns = MAX(now + s->delay_ms * NS_PER_MS, (uint64_t)1);
    s->delay_ms = s->delay_ms == 0 ? DELAY_MIN_MS : MIN(s->delay_ms * 2, DELAY_MAX_MS);
}

static void try_start(struct supervisor *s)
{
    int r;

    s->next_ns = 0;
    r = start_daemon(s);
    if (r == 0)
        return;
    cleanup_fd(&s->daemon_fd);
    log_event(LOG_ERROR, "daemon_not_started", "errno=%d text=\"%s\"", -r, strerror(-r));
    if (s->served) {
        supervisor_plan_restart(s);
    } else {
        s->status = 1;
        s->over = true;
    }
}

/* ---- the daemon's words ---- */

static void on_ready(struct supervisor *s)
{
    if (s->renewal.state == RENEW_TAKEN) {
        reload_commit(s);
        return;
    }
    if (s->served)
        return;
    s->served = true;
    (void)close(HANDOVER_READY); /* the daemon has written there */
    notify_systemd("READY=1");
}

static void begin_stop(struct supervisor *s)
{
    if (!s->stopping)
        notify_systemd("STOPPING=1");
    s->stopping = true;
    renew_drop(&s->renewal, s->options);
}

/* From here on nobody finds the service any more; who is in the queue of a listening socket is still served. */
static void on_stopping(struct supervisor *s)
{
    begin_stop(s);
    listeners_close(s->options);
    (void)supervisor_send_word(s->daemon_fd, HANDOVER_WORD_UNLINKED, 0, NULL, 0);
}

static void on_word(struct supervisor *s)
{
    uint8_t packet[2] = {0};
    int fds[HANDOVER_MAX_FDS];
    size_t n_fds;
    ssize_t n = handover_receive(s->daemon_fd, packet, fds, &n_fds);

    if (n == -EAGAIN || n == -EINTR)
        return;
    if (n <= 0) {
        cleanup_fd(&s->daemon_fd); /* its end comes as SIGCHLD */
        return;
    }
    if (packet[0] == HANDOVER_WORD_FETCH) {
        fetches_start(&s->fetches, s->options, fds, n_fds);
        return;
    }
    while (n_fds > 0)
        (void)close(fds[--n_fds]); /* no other word brings any */
    switch (packet[0]) {
    case HANDOVER_WORD_READY:
        on_ready(s);
        break;
    case HANDOVER_WORD_STOPPING:
        on_stopping(s);
        break;
    case HANDOVER_WORD_PREPARED:
        break; /* of a daemon that takes nobody's place */
    case HANDOVER_WORD_ACCEPTED:
        secrets_settle(&s->secrets, packet[1]);
        break;
    default:
        log_event(LOG_WARN, "unknown_word", "word=%u", packet[0]);
        break;
    }
}

/* ---- signals ---- */

static void on_daemon_gone(struct supervisor *s, int wait_status)
{
    int status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 1;

    s->daemon_pid = 0;
    s->kill_ns = 0;
    cleanup_fd(&s->daemon_fd);
    secrets_settle(&s->secrets, 0);
    if (s->stopping || !s->served) {
        s->status = s->status != 0 ? s->status : status;
        if (!s->served && WIFSIGNALED(wait_status))
            notify_ready("cwsandboxd was killed while it started");
        s->over = true;
        return;
    }
    if (s->renewal.state == RENEW_PREPARED && s->renewal.check_pid == 0) {
        reload_on_left(s);
        return;
    }
    log_event(LOG_ERROR, "daemon_died", "%s=%d lived_ms=%llu",
              WIFSIGNALED(wait_status) ? "signal" : "exit_status",
              WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : status,
              (unsigned long long)((clock_now_ns() - s->born_ns) / NS_PER_MS));
    if (s->renewal.state == RENEW_TAKEN)
        reload_fail(s, "the new daemon ended before it was ready");
    else if (s->renewal.state == RENEW_NONE)
        supervisor_plan_restart(s);
}

/* The daemon sees it too, says so and ends; if it cannot, it is ended. */
static void on_engine_gone(struct supervisor *s, int wait_status)
{
    s->engine_pid = 0;
    cleanup_fd(&s->engine_fd);
    s->status = 1;
    if (!s->stopping && s->served) /* otherwise it has said why it did not start */
        log_event(LOG_ERROR, "engine_died", "%s=%d",
                  WIFSIGNALED(wait_status) ? "signal" : "exit_status",
                  WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
    s->stopping = true;
    renew_drop(&s->renewal, s->options);
    s->kill_ns = clock_now_ns() + DAEMON_END_MS * NS_PER_MS;
    s->over = s->daemon_pid == 0;
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == s->daemon_pid)
            on_daemon_gone(s, status);
        else if (pid == s->engine_pid)
            on_engine_gone(s, status);
        else if (pid == s->renewal.pid) {
            s->renewal.pid = 0;
            reload_fail(s, "the new daemon ended before it was ready");
        } else if (pid == s->renewal.check_pid) {
            reload_on_checked(s, status);
        } else {
            (void)fetches_reaped(&s->fetches, pid);
        }
    }
}

static void on_stop_signal(struct supervisor *s, int signo)
{
    begin_stop(s);
    s->next_ns = 0;
    if (s->daemon_pid != 0)
        (void)kill(s->daemon_pid, signo); /* a second one ends it at once */
    else
        s->over = true;
}

/* Before it serves and while it stops there is nothing to put into its place. */
static void on_reload_signal(struct supervisor *s, bool programs)
{
    if (s->served && !s->stopping && s->engine_pid != 0)
        reload_begin(s, programs);
    else
        reload_secrets(s);
}

static void on_signals(struct supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGTERM:
        case SIGINT:
            on_stop_signal(s, (int)info.ssi_signo);
            break;
        case SIGHUP:
            on_reload_signal(s, false);
            break;
        case SIGUSR2:
            on_reload_signal(s, true);
            break;
        default: /* SIGCHLD */
            break;
        }
    }
    reap(s);
}

/* ---- the loop, and the end ---- */

static int timeout_ms(const struct supervisor *s)
{
    const uint64_t times[] = {s->kill_ns, s->next_ns, s->renewal.due_ns};
    uint64_t due = 0, now = clock_now_ns();

    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        if (times[i] != 0 && (due == 0 || times[i] < due))
            due = times[i];
    }

    if (due == 0)
        return -1;
    return due <= now ? 0 : (int)((due - now) / NS_PER_MS) + 1;
}

static void on_time(struct supervisor *s)
{
    uint64_t now = clock_now_ns();

    if (s->kill_ns != 0 && now >= s->kill_ns && s->daemon_pid != 0) {
        (void)kill(s->daemon_pid, SIGKILL);
        s->kill_ns = 0;
    }
    if (s->renewal.due_ns != 0 && now >= s->renewal.due_ns) {
        s->renewal.due_ns = 0;
        /* Later the end of a daemon that is killed tells. */
        if (s->renewal.state < RENEW_PREPARED || s->renewal.check_pid != 0 ||
            s->renewal.state == RENEW_REPLACING)
            reload_fail(s, "it took too long");
    }
    if (s->next_ns != 0 && now >= s->next_ns)
        try_start(s);
}

static void turn(struct supervisor *s)
{
    struct pollfd fds[] = {{.fd = s->signal_fd, .events = POLLIN},
                           {.fd = s->daemon_fd, .events = POLLIN},
                           {.fd = s->renewal.front_fd, .events = POLLIN},
                           {.fd = s->renewal.words_fd, .events = POLLIN},
                           {.fd = s->engine_fd, .events = POLLIN}};

    if (poll(fds, ARRAY_SIZE(fds), timeout_ms(s)) < 0)
        return; /* EINTR: no signal is left that could */
    if (fds[1].revents)
        on_word(s); /* before its end: the last word counts */
    if (fds[2].revents)
        reload_on_front(s);
    if (fds[3].revents && s->renewal.words_fd == fds[3].fd)
        reload_on_next_word(s);
    if (fds[4].revents && s->engine_fd == fds[4].fd)
        reload_on_engine_word(s);
    if (fds[0].revents)
        on_signals(s);
    on_time(s);
}

int supervise(const struct options *options, int (*engine)(const struct options *options))
{
    static struct supervisor s;

    s = (struct supervisor){.options = options,
                            .engine = engine,
                            .engine_fd = -1,
                            .daemon_fd = -1,
                            .program_fd = -1};
    secrets_init(&s.secrets, options);
    renew_init(&s.renewal);
    s.program = program_now(options->daemon_argv[0]);
    for (int fd = HANDOVER_SUPER; fd < HANDOVER_END; fd++)
        (void)fd_set_cloexec(fd, true);
    s.signal_fd = child_signals();
    if (s.signal_fd < 0)
        return 1;
    if (options->table_fd < 0) {
        s.program_fd = program_open(options->daemon_argv[0]);
        try_start(&s);
    }
    if (options->table_fd >= 0 && reload_resume(&s) < 0)
        return 1;
    while (!s.over)
        turn(&s);
    renew_drop(&s.renewal, s.options);
    listeners_close(s.options);
    cleanup_fd(&s.engine_fd); /* how it is told; it ends every sandbox that is left */
    child_end_engine(s.engine_pid, s.signal_fd);
    if (s.daemon_pid != 0) {
        (void)kill(s.daemon_pid, SIGKILL);
        (void)waitpid(s.daemon_pid, NULL, 0);
    }
    if (s.options->remove_data)
        data_remove(HANDOVER_DATA, s.options->remove_data);
    return s.status;
}
