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
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"
#include "launch/children.h"
#include "launch/fetches.h"
#include "launch/listeners.h"
#include "launch/notify.h"
#include "launch/renew.h"
#include "launch/secrets.h"
#include "privproto/handover.h"

#define DAEMON_END_MS 5000 /* chosen: without an engine it has nothing to wait for */
#define ENGINE_END_MS \
    25000 /* chosen: 0.3 ms a sandbox, 10,000 of them; below TimeoutStopSec of the unit */
#define LEAVE_MS \
    2000 /* chosen: a daemon leaves in 0.3 s; one that does not is killed, which loses as little */
#define YOUNG_MS 5000 /* chosen: a daemon that dies before is not simply started again */
#define DELAY_MIN_MS 100
#define DELAY_MAX_MS \
    800 /* chosen: with a start of 20 to 60 ms another one serves within a second, always */

static_assert(HANDOVER_DAEMON_ID == DEFAULT_UID_BASE + UID_COUNT,
              "a daemon of root's is nobody that a sandbox can be");

/* Which file a program is; another one is an upgrade. */
struct program {
    dev_t dev;
    ino_t ino;
    struct timespec changed;
};

struct supervisor {
    const struct options *options;
    int (*engine)(const struct options *options);
    int signal_fd;
    pid_t engine_pid, daemon_pid; /* 0: none */
    int engine_fd;                /* daemons' sockets go there; its end ends the engine */
    int daemon_fd;                /* words */
    struct secrets secrets;
    bool served;   /* a daemon was ready once */
    bool stopping; /* no other daemon shall follow */
    bool over;
    uint64_t born_ns, next_ns; /* of the daemon; when another one is due */
    uint64_t kill_ns;          /* when the daemon is killed; 0: not */
    uint32_t delay_ms;
    int status;
    struct fetches fetches;
    struct renewal renewal;
    struct program program;       /* the daemon's, when it was started */
    bool reload, reload_programs; /* asked for while a renewal was under way */
};

/* ---- starting ---- */

static int send_word(int fd, uint8_t word, uint8_t value, const int *fds, size_t n_fds)
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
    r = s->engine_pid == 0 ? start_engine(s, engines)
                           : send_word(s->engine_fd, HANDOVER_WORD_DAEMON, 0, &engines, 1);
    if (r < 0)
        return r;
    s->born_ns = clock_now_ns();
    s->daemon_pid = fork();
    if (s->daemon_pid == 0)
        child_become_daemon(s->options, their_words, daemons);
    if (s->daemon_pid < 0) {
        s->daemon_pid = 0;
        return -errno;
    }
    return 0;
}

static struct program program_now(const struct options *options)
{
    struct stat st = {0};

    (void)stat(options->daemon_argv[0], &st); /* none is another one, too */
    return (struct program){.dev = st.st_dev, .ino = st.st_ino, .changed = st.st_ctim};
}

static bool program_same(const struct program *a, const struct program *b)
{
    return a->dev == b->dev && a->ino == b->ino && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

/* Another one is due at next_ns. */
static void plan_restart(struct supervisor *s)
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
        plan_restart(s);
    } else {
        s->status = 1;
        s->over = true;
    }
}

/* ---- another configuration (renew.h) ---- */

static void begin_reload(struct supervisor *s, bool programs);

static void reload_secrets(struct supervisor *s)
{
    int fds[HANDOVER_N_SECRETS];
    size_t n = 0;
    uint8_t which;

    if (s->daemon_fd < 0)
        return;
    which = secrets_read(&s->secrets, fds, &n);
    if (send_word(s->daemon_fd, HANDOVER_WORD_RELOAD, which, fds, n) < 0)
        secrets_settle(&s->secrets, 0);
}

static void end_reload(struct supervisor *s)
{
    renew_drop(&s->renewal, s->options);
    notify_systemd("READY=1");
    if (s->daemon_pid == 0 && !s->stopping && s->next_ns == 0)
        plan_restart(s);
    if (s->reload && !s->stopping)
        begin_reload(s, s->reload_programs);
}

/* The old configuration stays, in the daemon that serves or in the next one. */
static void fail_renewal(struct supervisor *s, const char *why)
{
    log_event(LOG_ERROR, "reload_failed", "why=\"%s\" consequence=\"%s\"", why,
              "the configuration stays as it was");
    if (s->renewal.state == RENEW_OPENING)
        reload_secrets(s); /* of keys and certificates each counts for itself */
    end_reload(s);
}

static void begin_reload(struct supervisor *s, bool programs)
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
        fail_renewal(s, strerror(-r));
    }
}

static void take_over(struct supervisor *s)
{
    struct renewal *n = &s->renewal;
    int r = send_word(s->engine_fd, HANDOVER_WORD_DAEMON, 0, &n->engine_fd, 1);

    if (r < 0) {
        fail_renewal(s, strerror(-r));
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

static void on_front(struct supervisor *s)
{
    struct program program = program_now(s->options);
    int r = renew_on_front(&s->renewal, s->options);

    if (r < 0) {
        fail_renewal(s, "the configuration cannot be used");
    } else if (r > 0 && !s->renewal.forced && renew_same(&s->renewal, s->options) &&
               program_same(&program, &s->program)) {
        reload_secrets(s);
        end_reload(s);
    }
}

/* Words of a daemon that does not serve yet; PREPARED is the only one. */
static void on_next_word(struct supervisor *s)
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
    if (s->daemon_pid == 0) {
        take_over(s);
        return;
    }
    (void)send_word(s->daemon_fd, HANDOVER_WORD_LEAVE, 0, NULL, 0);
    s->kill_ns = clock_now_ns() + LEAVE_MS * NS_PER_MS;
}

static void commit_renewal(struct supervisor *s)
{
    s->kill_ns = 0;
    secrets_settle(&s->secrets, 0);
    s->options = renew_commit(&s->renewal, s->options);
    s->secrets.options = s->options;
    s->program = program_now(s->options);
    log_event(LOG_INFO, "reloaded", "pid=%d", s->daemon_pid);
    end_reload(s);
}

/* ---- the daemon's words ---- */

static void on_ready(struct supervisor *s)
{
    if (s->renewal.state == RENEW_TAKEN) {
        commit_renewal(s);
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
    (void)send_word(s->daemon_fd, HANDOVER_WORD_UNLINKED, 0, NULL, 0);
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
    if (s->renewal.state == RENEW_PREPARED) {
        take_over(s); /* it has left, or was killed: no difference to sandboxes */
        return;
    }
    log_event(LOG_ERROR, "daemon_died", "%s=%d lived_ms=%llu",
              WIFSIGNALED(wait_status) ? "signal" : "exit_status",
              WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : status,
              (unsigned long long)((clock_now_ns() - s->born_ns) / NS_PER_MS));
    if (s->renewal.state == RENEW_TAKEN)
        fail_renewal(s, "the new daemon ended before it was ready");
    else if (s->renewal.state == RENEW_NONE)
        plan_restart(s);
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
            fail_renewal(s, "the new daemon ended before it was ready");
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
        begin_reload(s, programs);
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

static int open_signals(void)
{
    static const int watched[] = {SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR2};
    sigset_t set;
    int fd;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGCHLD,
                 SIG_DFL); /* inherited as ignored, it would take our children's ends from us */
    (void)sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(watched); i++) {
        (void)signal(watched[i], SIG_DFL); /* an ignored signal is not even queued */
        (void)sigaddset(&set, watched[i]);
    }
    if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
        return -errno;
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : child_move_up(fd);
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
        if (s->renewal.state <
            RENEW_PREPARED) /* later the end of a daemon that is killed tells */
            fail_renewal(s, "it took too long");
    }
    if (s->next_ns != 0 && now >= s->next_ns)
        try_start(s);
}

static void turn(struct supervisor *s)
{
    struct pollfd fds[] = {{.fd = s->signal_fd, .events = POLLIN},
                           {.fd = s->daemon_fd, .events = POLLIN},
                           {.fd = s->renewal.front_fd, .events = POLLIN},
                           {.fd = s->renewal.words_fd, .events = POLLIN}};

    if (poll(fds, ARRAY_SIZE(fds), timeout_ms(s)) < 0)
        return; /* EINTR: no signal is left that could */
    if (fds[1].revents)
        on_word(s); /* before its end: the last word counts */
    if (fds[2].revents)
        on_front(s);
    if (fds[3].revents && s->renewal.words_fd == fds[3].fd)
        on_next_word(s);
    if (fds[0].revents)
        on_signals(s);
    on_time(s);
}

/* Closing its socket is how it is told. It ends every sandbox that is left. */
static void end_engine(struct supervisor *s)
{
    uint64_t end_ns = clock_now_ns() + ENGINE_END_MS * NS_PER_MS, now;

    cleanup_fd(&s->engine_fd);
    while (s->engine_pid > 0) {
        struct pollfd fd = {.fd = s->signal_fd, .events = POLLIN};
        struct signalfd_siginfo info;

        if (waitpid(s->engine_pid, NULL, WNOHANG) == s->engine_pid)
            break;
        now = clock_now_ns();
        if (now >= end_ns) {
            log_event(LOG_ERROR, "engine_killed", "waited_ms=%d", ENGINE_END_MS);
            (void)kill(s->engine_pid, SIGKILL);
            (void)waitpid(s->engine_pid, NULL, 0);
            break;
        }
        (void)poll(&fd, 1, (int)((end_ns - now) / NS_PER_MS) + 1);
        while (read(s->signal_fd, &info, sizeof(info)) > 0)
            ;
    }
    s->engine_pid = 0;
}

int supervise(const struct options *options, int (*engine)(const struct options *options))
{
    static struct supervisor s;

    s = (struct supervisor){
        .options = options, .engine = engine, .engine_fd = -1, .daemon_fd = -1};
    secrets_init(&s.secrets, options);
    renew_init(&s.renewal);
    s.program = program_now(options);
    for (int fd = HANDOVER_SUPER; fd < HANDOVER_END; fd++)
        (void)fd_set_cloexec(fd, true);
    s.signal_fd = open_signals();
    if (s.signal_fd < 0)
        return 1;
    try_start(&s);
    while (!s.over)
        turn(&s);
    renew_drop(&s.renewal, s.options);
    listeners_close(s.options);
    end_engine(&s);
    if (s.daemon_pid != 0) {
        (void)kill(s.daemon_pid, SIGKILL);
        (void)waitpid(s.daemon_pid, NULL, 0);
    }
    if (s.options->remove_data)
        data_remove(HANDOVER_DATA, s.options->remove_data);
    return s.status;
}
