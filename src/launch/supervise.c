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
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"
#include "launch/listeners.h"
#include "launch/notify.h"
#include "launch/secrets.h"
#include "privproto/handover.h"

#define DAEMON_END_MS 5000 /* chosen: without an engine it has nothing to wait for */
#define ENGINE_END_MS \
    25000 /* chosen: 0.3 ms a sandbox, 10,000 of them; below TimeoutStopSec of the unit */
#define YOUNG_MS 5000 /* chosen: a daemon that dies before is not simply started again */
#define DELAY_MIN_MS 100
#define DELAY_MAX_MS \
    800 /* chosen: with a start of 20 to 60 ms another one serves within a second, always */

static_assert(HANDOVER_DAEMON_ID == DEFAULT_UID_BASE + UID_COUNT,
              "a daemon of root's is nobody that a sandbox can be");

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
};

/* ---- starting ---- */

static void default_signals(void)
{
    sigset_t none;

    for (int signo = 1; signo < _NSIG; signo++)
        (void)signal(signo, SIG_DFL); /* those that cannot be changed are default */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. Nothing of the service's stays open in the engine: it neither listens nor holds keys or locks. */
static void become_engine(struct supervisor *s, int control, int launch)
{
    struct options options = *s->options;

    if (setsid() < 0) /* a Ctrl-C is for the supervisor alone */
        _exit(1);
    default_signals();
    if (dup2(control, HANDOVER_SUPER) < 0 || dup2(launch, HANDOVER_LAUNCH) < 0)
        _exit(1);
    (void)close_range(HANDOVER_LAUNCH + 1, ~0u, 0);
    (void)fd_set_cloexec(HANDOVER_SUPER, true);
    (void)fd_set_cloexec(HANDOVER_LAUNCH, true);
    options.control_fd = HANDOVER_SUPER;
    options.sock_fd = HANDOVER_LAUNCH;
    exit(s->engine(&options));
}

/* In the child: the numbers of handover.h, and nothing else that is open. */
static void become_daemon(struct supervisor *s, int words, int launch)
{
    if (setsid() < 0)
        _exit(1);
    default_signals();
    if (dup2(words, HANDOVER_SUPER) < 0 || dup2(launch, HANDOVER_LAUNCH) < 0)
        _exit(1);
    for (int fd = HANDOVER_DATA; fd < HANDOVER_END; fd++) {
        /* EBADF: not needed by this service. The locks end with the supervisor, however long a daemon takes to follow. */
        if (fd != HANDOVER_DATA_LOCK && fd != HANDOVER_HOME_LOCK)
            (void)fd_set_cloexec(fd, false);
    }
    (void)close_range(HANDOVER_END, ~0u, CLOSE_RANGE_CLOEXEC);
    (void)unsetenv("NOTIFY_SOCKET"); /* it is the main process who speaks to systemd */
    (void)execv(s->options->daemon_argv[0], s->options->daemon_argv);
    log_event(LOG_ERROR, "daemon_not_started", "path=\"%s\" errno=%d text=\"%s\"",
              s->options->daemon_argv[0], errno, strerror(errno));
    _exit(1);
}

/* Out of the way of the numbers of handover.h. */
static int move_up(int fd)
{
    CLEANUP_FD int low = fd;
    int high = fcntl(low, F_DUPFD_CLOEXEC, HANDOVER_ABOVE);

    return high < 0 ? -errno : high;
}

static int make_pair(int ret[2])
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    CLEANUP_FD int one = move_up(pair[0]);
    CLEANUP_FD int other = move_up(pair[1]);
    if (one < 0 || other < 0)
        return -EMFILE;
    ret[0] = TAKE_FD(one);
    ret[1] = TAKE_FD(other);
    return 0;
}

/* A packet of two bytes with descriptors. */
static int send_word(int fd, uint8_t word, uint8_t value, const int *fds, size_t n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(HANDOVER_N_SECRETS * sizeof(int))];
    } control = {0};
    uint8_t packet[2] = {word, value};
    struct iovec iov = {.iov_base = packet, .iov_len = sizeof(packet)};
    struct msghdr out = {.msg_iov = &iov, .msg_iovlen = 1};

    CHECK(n_fds <= HANDOVER_N_SECRETS);
    if (n_fds > 0) {
        out.msg_control = &control;
        out.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&out);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    /* Never waits: a daemon that does not read its words must not stop us. */
    return sendmsg(fd, &out, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static int start_engine(struct supervisor *s, int launch)
{
    int pair[2], r = make_pair(pair);

    if (r < 0)
        return r;
    CLEANUP_FD int theirs = pair[1];
    s->engine_fd = pair[0];
    s->engine_pid = fork();
    if (s->engine_pid == 0)
        become_engine(s, theirs, launch);
    return s->engine_pid < 0 ? -errno : 0;
}

/* The first engine gets its first socket by fork, each further one as a packet. */
static int start_daemon(struct supervisor *s)
{
    int words[2], launch[2], r = make_pair(words);

    if (r < 0)
        return r;
    s->daemon_fd = words[0];
    CLEANUP_FD int their_words = words[1];
    r = make_pair(launch);
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
        become_daemon(s, their_words, daemons);
    if (s->daemon_pid < 0) {
        s->daemon_pid = 0;
        return -errno;
    }
    return 0;
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

/* ---- the daemon's words ---- */

static void on_ready(struct supervisor *s)
{
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
    ssize_t n = recv(s->daemon_fd, packet, sizeof(packet), MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        cleanup_fd(&s->daemon_fd); /* its end comes as SIGCHLD */
        return;
    }
    switch (packet[0]) {
    case HANDOVER_WORD_READY:
        on_ready(s);
        break;
    case HANDOVER_WORD_STOPPING:
        on_stopping(s);
        break;
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
    log_event(LOG_ERROR, "daemon_died", "%s=%d lived_ms=%llu",
              WIFSIGNALED(wait_status) ? "signal" : "exit_status",
              WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : status,
              (unsigned long long)((clock_now_ns() - s->born_ns) / NS_PER_MS));
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

static void on_reload_signal(struct supervisor *s)
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
            on_reload_signal(s);
            break;
        default: /* SIGCHLD */
            break;
        }
    }
    reap(s);
}

static int open_signals(void)
{
    static const int watched[] = {SIGCHLD, SIGHUP, SIGINT, SIGTERM};
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
    return fd < 0 ? -errno : move_up(fd);
}

/* ---- the loop, and the end ---- */

static int timeout_ms(const struct supervisor *s)
{
    uint64_t due = s->kill_ns != 0 ? s->kill_ns : s->next_ns, now = clock_now_ns();

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
    if (s->next_ns != 0 && now >= s->next_ns)
        try_start(s);
}

static void turn(struct supervisor *s)
{
    struct pollfd fds[] = {{.fd = s->signal_fd, .events = POLLIN},
                           {.fd = s->daemon_fd, .events = POLLIN}};

    if (poll(fds, ARRAY_SIZE(fds), timeout_ms(s)) < 0)
        return; /* EINTR: no signal is left that could */
    if (fds[1].revents)
        on_word(s); /* before its end: the last word counts */
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
    for (int fd = HANDOVER_SUPER; fd < HANDOVER_END; fd++)
        (void)fd_set_cloexec(fd, true);
    s.signal_fd = open_signals();
    if (s.signal_fd < 0)
        return 1;
    try_start(&s);
    while (!s.over)
        turn(&s);
    listeners_close(options);
    end_engine(&s);
    if (s.daemon_pid != 0) {
        (void)kill(s.daemon_pid, SIGKILL);
        (void)waitpid(s.daemon_pid, NULL, 0);
    }
    if (options->remove_data)
        data_remove(HANDOVER_DATA, options->remove_data);
    return s.status;
}
