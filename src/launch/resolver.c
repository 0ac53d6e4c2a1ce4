/* See resolver.h. */
#include "launch/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"
#include "privproto/handover.h"

#define PROGRAM "cwsandbox-resolve"      /* beside ours */
#define USER_ID (HANDOVER_DAEMON_ID + 1) /* another one that nobody is, inside or outside */
#define PORT 53
#define BACKLOG 256 /* chosen */
#define QUEUE_BYTES \
    (1024 * 1024)     /* chosen: the router lets a sandbox send 1,000 questions a second */
#define YOUNG_MS 5000 /* chosen: one that dies before is not simply started again */
#define DELAY_MIN_MS 100
#define DELAY_MAX_MS 800

/* ---- what it gets ---- */

/* Out of the way of its numbers. */
static int keep(int fd, int *ret)
{
    CLEANUP_FD int low = fd;

    *ret = low < 0 ? -1 : fcntl(low, F_DUPFD_CLOEXEC, RESOLVE_END);
    return *ret < 0 ? -errno : 0;
}

static int open_socket(int type, int *ret)
{
    const struct sockaddr_in at = {.sin_family = AF_INET,
                                   .sin_port = htons(PORT),
                                   .sin_addr.s_addr = htonl(RESOLVE_ADDRESS)};
    const int queue = QUEUE_BYTES;
    int r = keep(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), ret);

    if (r < 0)
        return r;
    (void)setsockopt(*ret, SOL_SOCKET, SO_RCVBUFFORCE, &queue,
                     sizeof(queue)); /* less is fine */
    if (bind(*ret, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
        (type == SOCK_STREAM && listen(*ret, BACKLOG) < 0))
        return -errno;
    return 0;
}

/* We write, it cannot: what it gets is open for reading, and it opens nothing. (A seal would keep us from giving pages back.) */
static int open_table(struct resolver *r)
{
    char path[64];
    int result = keep(memfd_create("cwsandbox-names", MFD_CLOEXEC), &r->table_fd);

    if (result < 0)
        return result;
    if (ftruncate(r->table_fd, sizeof(*r->table)) < 0 || fchmod(r->table_fd, 0600) < 0)
        return -errno;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", r->table_fd);
    return keep(open(path, O_RDONLY | O_CLOEXEC), &r->fds[RESOLVE_TABLE]);
}

static int map_table(struct resolver *r)
{
    void *table =
        mmap(NULL, sizeof(*r->table), PROT_READ | PROT_WRITE, MAP_SHARED, r->table_fd, 0);

    if (table == MAP_FAILED)
        return -errno;
    r->table = table;
    return 0;
}

static int open_pair(struct resolver *r)
{
    int pair[2], result;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
        return -errno;
    result = keep(pair[0], &r->engine_fd);
    return MIN(keep(pair[1], &r->fds[RESOLVE_ENGINE]), result);
}

/* Opened while we are root: whoever executes it may have no way through the directories above. */
static int open_program(int *ret)
{
    char path[PATH_MAX +
              sizeof(PROGRAM)]; /* readlink(2) gives no more for an existing executable */
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);

    if (n < 0)
        return -errno;
    path[n] = '\0';
    (void)strcpy(strrchr(path, '/') + 1, PROGRAM);
    return keep(open(path, O_PATH | O_CLOEXEC), ret);
}

/* Whatever is not carried to the next program of ours. */
static int begin(struct resolver *r, const char *const *servers)
{
    int result = open_program(&r->program);

    r->servers = servers;
    if (result == 0)
        result = keep(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), &r->mounts);
    if (result == 0)
        result = map_table(r);
    if (result == 0)
        result = open_pair(r);
    if (result == 0)
        resolver_again(r);
    return result;
}

int resolver_open(struct resolver *r, const char *const *servers)
{
    int result;

    *r = RESOLVER_NONE;
    result = open_socket(SOCK_DGRAM, &r->fds[RESOLVE_UDP]);
    if (result == 0)
        result = open_socket(SOCK_STREAM, &r->fds[RESOLVE_TCP]);
    if (result == 0)
        result = open_table(r);
    return result == 0 ? begin(r, servers) : result;
}

int resolver_resume(struct resolver *r, const char *const *servers)
{
    int result = r->table_fd < 0 ? -ENOENT : begin(r, servers);

    if (result < 0)
        log_event(LOG_ERROR, "resolver_not_started", "errno=%d text=\"%s\"", -result,
                  strerror(-result));
    return result;
}

/* ---- its life ---- */

static void default_signals(void)
{
    sigset_t none;

    for (int signo = 1; signo < _NSIG; signo++)
        (void)signal(signo, SIG_DFL); /* those that cannot be changed are default */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. The user is nobody's, so what it may do is gone with the execution. */
static void become(const struct resolver *r, pid_t parent)
{
    char *argv[RESOLVE_MAX_SERVERS + 2] = {PROGRAM};
    char *const env[] = {NULL};

    for (size_t i = 0; i < RESOLVE_MAX_SERVERS && r->servers[i]; i++)
        argv[1 + i] = (char *)r->servers[i];
    default_signals();
    for (int fd = RESOLVE_UDP; fd < RESOLVE_END; fd++)
        if (dup2(r->fds[fd], fd) < 0)
            return;
    (void)setsid();
    if (setns(r->mounts, CLONE_NEWNS) < 0 || chdir("/") < 0 || setgroups(0, NULL) < 0 ||
        setresgid(USER_ID, USER_ID, USER_ID) < 0 || setresuid(USER_ID, USER_ID, USER_ID) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        getppid() != parent || close_range(RESOLVE_END, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        return;
    (void)execveat(r->program, "", argv, env, AT_EMPTY_PATH);
}

static void plan(struct resolver *r)
{
    uint64_t now = clock_now_ns();

    if (now - r->born_ns >= YOUNG_MS * NS_PER_MS)
        r->delay_ms = 0;
    r->next_ns = now + r->delay_ms * NS_PER_MS;
    r->delay_ms = r->delay_ms == 0 ? DELAY_MIN_MS : MIN(r->delay_ms * 2, DELAY_MAX_MS);
}

void resolver_run(struct resolver *r)
{
    pid_t self = getpid();

    if (resolver_pause_ms(r) != 0)
        return;
    r->next_ns = 0;
    r->born_ns = clock_now_ns();
    r->pid = fork();
    if (r->pid == 0) {
        become(r, self);
        log_event(LOG_ERROR, "resolver_not_started", "errno=%d text=\"%s\"", errno,
                  strerror(errno));
        _exit(1);
    }
    if (r->pid < 0) {
        r->pid = 0;
        plan(r);
    }
}

int resolver_pause_ms(const struct resolver *r)
{
    uint64_t now = clock_now_ns();

    if (r->pid != 0 || r->next_ns == 0)
        return -1;
    return r->next_ns <= now ? 0 : (int)((r->next_ns - now) / NS_PER_MS) + 1;
}

bool resolver_reaped(struct resolver *r, pid_t pid, int wait_status)
{
    if (pid != r->pid || pid == 0)
        return false;
    r->pid = 0;
    if (!WIFEXITED(wait_status) ||
        WEXITSTATUS(wait_status) != 0) /* else it has seen another file */
        log_event(LOG_ERROR, "resolver_died", "%s=%d consequence=\"%s\"",
                  WIFSIGNALED(wait_status) ? "signal" : "exit_status",
                  WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status),
                  "another one is started");
    plan(r);
    return true;
}

void resolver_stop(struct resolver *r)
{
    if (r->pid != 0) {
        (void)kill(r->pid, SIGKILL);
        (void)waitpid(r->pid, NULL, 0);
    }
    r->pid = 0;
    r->next_ns = 0;
}

void resolver_again(struct resolver *r)
{
    if (r->table)
        r->next_ns = 1; /* long ago */
}

void resolver_close(struct resolver *r)
{
    resolver_stop(r);
    if (r->table)
        (void)munmap(r->table, sizeof(*r->table));
    r->table = NULL;
    cleanup_fd(&r->program);
    cleanup_fd(&r->mounts);
    cleanup_fd(&r->table_fd);
    cleanup_fd(&r->engine_fd);
    for (int i = 0; i < RESOLVE_END; i++)
        cleanup_fd(&r->fds[i]);
}

/* ---- sandboxes ---- */

enum resolve_mode resolver_mode(const struct resolver *r, uint32_t address)
{
    return r->table ? (enum resolve_mode)r->table->modes[RESOLVE_PLACE(address)]
                    : RESOLVE_NOTHING;
}

void resolver_allow(struct resolver *r, uint32_t address, enum resolve_mode mode,
                    const char *names)
{
    uint32_t place = RESOLVE_PLACE(address);
    bool had_names;

    if (!r->table)
        return;
    had_names = r->table->modes[place] == RESOLVE_NAMED;
    r->table->modes[place] = RESOLVE_NOTHING;
    if (had_names) /* whole pages: LAUNCH_MAX_NAMES is a number of them, and they begin at one */
        (void)madvise(r->table->names[place], LAUNCH_MAX_NAMES, MADV_REMOVE);
    (void)snprintf(r->table->names[place], *names ? LAUNCH_MAX_NAMES : 0, "%s", names);
    r->table->modes[place] = (uint8_t)mode;
}
