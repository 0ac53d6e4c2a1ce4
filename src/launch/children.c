#include "launch/children.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"
#include "privproto/handover.h"

#define ENGINE_END_MS \
    25000 /* chosen: 0.3 ms a sandbox, 10,000 of them; below TimeoutStopSec of the unit */

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
void child_become_engine(const struct options *parents,
                         int (*engine)(const struct options *options), int control, int launch)
{
    struct options options = *parents;

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
    exit(engine(&options));
}

static bool has_name(int program, const char *path)
{
    struct stat own, named;

    return fstat(program, &own) == 0 && stat(path, &named) == 0 && own.st_dev == named.st_dev &&
           own.st_ino == named.st_ino;
}

/* In the child: the numbers of handover.h, and nothing else that is open. */
void child_become_daemon(const struct options *options, int program, int words, int launch)
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
    /* Of another release is what has its name now: that speaks with this engine, or not, after a reload. */
    if (program >= 0 && !has_name(program, options->daemon_argv[0]))
        (void)syscall(SYS_execveat, program, "", options->daemon_argv, environ, AT_EMPTY_PATH);
    (void)execv(options->daemon_argv[0], options->daemon_argv);
    log_event(LOG_ERROR, "daemon_not_started", "path=\"%s\" errno=%d text=\"%s\"",
              options->daemon_argv[0], errno, strerror(errno));
    _exit(1);
}

/* In the child. What the daemon sent reaches the program as two descriptors and is not looked at here: neither its command
 * line nor its environment has anything of it. */
void child_become_fetch(const struct options *options, int input, int output)
{
    const char *argv[9] = {options->image_path, "fetch", "--store", options->images_dir};
    size_t n = 4;

    if (options->image_public_only)
        argv[n++] = "--public-only";
    if (!options->image_logins)
        argv[n++] = "--no-logins";
    if (options->image_secrets) {
        argv[n++] = "--secrets";
        argv[n++] = options->image_secrets;
    }
    if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        _exit(1);
    default_signals();
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0)
        _exit(1);
    (void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    (void)unsetenv("NOTIFY_SOCKET");
    (void)execv(options->image_path, (char *const *)argv);
    log_event(LOG_ERROR, "fetch_not_started", "path=\"%s\" errno=%d text=\"%s\"",
              options->image_path, errno, strerror(errno));
    _exit(1);
}

/* In the child. */
void child_become_check(const char *path, unsigned version)
{
    char number[16];

    (void)snprintf(number, sizeof(number), "%u", version);
    default_signals();
    (void)close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    (void)execl(path, path, "--check-table", number, (char *)NULL);
    log_event(LOG_ERROR, "check_not_started", "path=\"%s\" errno=%d text=\"%s\"", path, errno,
              strerror(errno));
    _exit(1);
}

/* In the child: cwsandboxd once more, as it was started. It reads its configuration, says over @front what it opened, and
 * becomes a daemon (server/front.c). */
void child_become_front(const struct options *options, int words, int launch, int front)
{
    char who[32];
    char *self = options->daemon_argv[0];
    const char **argv = calloc(options->n_front_args + 4, sizeof(*argv));

    if (!argv || setsid() < 0)
        _exit(1);
    default_signals();
    if (dup2(words, HANDOVER_SUPER) < 0 || dup2(launch, HANDOVER_LAUNCH) < 0 ||
        dup2(front, HANDOVER_READY) < 0 || fd_set_cloexec(HANDOVER_DATA, false) < 0)
        _exit(1);
    for (int fd = HANDOVER_LISTEN; fd < HANDOVER_END; fd++)
        (void)fd_set_cloexec(fd, false); /* EBADF: so many there are not */
    (void)close_range(HANDOVER_END, ~0u, CLOSE_RANGE_CLOEXEC);
    (void)unsetenv("NOTIFY_SOCKET");
    bool other = options->daemon_uid != (uid_t)-1;
    (void)snprintf(who, sizeof(who), "%u:%u", other ? options->daemon_uid : geteuid(),
                   other ? options->daemon_gid : getegid());
    argv[0] = self;
    argv[1] = "--renew";
    argv[2] = who;
    for (size_t i = 0; i < options->n_front_args; i++)
        argv[3 + i] = options->front_args[i];
    (void)execv(self, (char *const *)argv);
    log_event(LOG_ERROR, "front_not_started", "path=\"%s\" errno=%d text=\"%s\"", self, errno,
              strerror(errno));
    _exit(1);
}

/* Out of the way of the numbers of handover.h. */
int child_move_up(int fd)
{
    CLEANUP_FD int low = fd;
    int high = fcntl(low, F_DUPFD_CLOEXEC, HANDOVER_ABOVE);

    return high < 0 ? -errno : high;
}

int child_pair(int ret[2])
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    CLEANUP_FD int one = child_move_up(pair[0]);
    CLEANUP_FD int other = child_move_up(pair[1]);
    if (one < 0 || other < 0)
        return -EMFILE;
    ret[0] = TAKE_FD(one);
    ret[1] = TAKE_FD(other);
    return 0;
}

int child_signals(void)
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

void child_end_engine(pid_t pid, int signal_fd)
{
    uint64_t end_ns = clock_now_ns() + ENGINE_END_MS * NS_PER_MS, now;

    while (pid > 0) {
        struct pollfd fd = {.fd = signal_fd, .events = POLLIN};
        struct signalfd_siginfo info;

        if (waitpid(pid, NULL, WNOHANG) == pid)
            break;
        now = clock_now_ns();
        if (now >= end_ns) {
            log_event(LOG_ERROR, "engine_killed", "waited_ms=%d", ENGINE_END_MS);
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            break;
        }
        (void)poll(&fd, 1, (int)((end_ns - now) / NS_PER_MS) + 1);
        while (read(signal_fd, &info, sizeof(info)) > 0)
            ;
    }
}
