/*
 * The limits of the load: everything in the sandbox but init. Of cgroup v2 a child is born under them (its exec slot lies
 * below); of v1 it enters by itself, which is the one move there that takes no machine-wide lock.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init/load-limits.h"

enum {
    PIDS,
    PIDS_CURRENT,
    MEMORY,
    CPU, /* the last to enter: it is what may stop us at once */
    OOM_COUNT
}; /* indices of limits.fds */

void limits_init(struct limits *l)
{
    *l = (struct limits){.fds = {-1, -1, -1, -1, -1}};
}

/* Ourselves, for all that we start: who was to move by itself would stand in a queue once more. Fails where none of them is
 * ours any more; programs count wrong then, and the limit holds. */
static void run_on(const cpu_set_t *cpus)
{
    cpu_set_t all;

    memset(&all, 0xff, sizeof(all));
    (void)sched_setaffinity(0, sizeof(all), CPU_COUNT(cpus) > 0 ? cpus : &all);
}

int limits_take(struct limits *l, struct packet *p)
{
    static const uint32_t flags[INIT_LIMITS_FDS] = {
        INIT_ENTER_PIDS, INIT_ENTER_PIDS, INIT_ENTER_MEMORY, INIT_ENTER_CPU, INIT_COUNT_OOM};
    cpu_set_t cpus = {0};
    uint32_t n = 0;
    bool changed;

    for (size_t i = 0; i < INIT_LIMITS_FDS; i++)
        n += (p->head.flags & flags[i]) != 0;
    if (n != p->n_fds || (p->head.body_size != 0 && p->head.body_size != sizeof(l->cpus)))
        return -EPROTO;
    n = 0;
    for (size_t i = 0; i < INIT_LIMITS_FDS; i++) {
        cleanup_fd(&l->fds[i]);
        if (p->head.flags & flags[i]) {
            l->fds[i] = TAKE_FD(p->fds[n]);
            n++;
        }
    }
    memcpy(&cpus, p->body, p->head.body_size);
    changed = memcmp(&l->cpus, &cpus, sizeof(cpus)) != 0;
    l->cpus = cpus;
    if (changed)
        run_on(&l->cpus);
    l->memory_bytes = p->head.size_bytes;
    l->cpu_millis = (uint32_t)p->head.value;
    l->pids = p->head.aux;
    l->tight = p->head.flags & INIT_TIGHT;
    return 0;
}

static int enter(int fd)
{
    return fd >= 0 && write(fd, "0", 1) != 1 ? -errno : 0;
}

/* v1 lets whoever enters in, however full it is. */
static int check_pids(const struct limits *l)
{
    char text[24];
    ssize_t n = l->fds[PIDS_CURRENT] < 0 || l->pids == 0
                    ? 0
                    : pread(l->fds[PIDS_CURRENT], text, sizeof(text) - 1, 0);

    if (n <= 0)
        return n < 0 ? -errno : 0;
    text[n] = 0;
    return strtoul(text, NULL, 10) > l->pids ? -EAGAIN : 0;
}

int limits_enter(const struct limits *l)
{
    int r = enter(l->fds[PIDS]);

    if (r == 0)
        r = check_pids(l);
    if (r == 0)
        r = enter(l->fds[MEMORY]);
    return r < 0 ? r : enter(l->fds[CPU]);
}

int limits_count_oom(const struct limits *l, uint64_t *ret)
{
    static const char key[] =
        "\noom_kill "; /* in both versions' files another line comes before it */
    char text[256];
    ssize_t n =
        l->fds[OOM_COUNT] < 0 ? -1 : pread(l->fds[OOM_COUNT], text, sizeof(text) - 1, 0);
    const char *at;

    if (n < 0)
        return -ENOENT;
    text[n] = 0;
    at = strstr(text, key);
    if (!at)
        return -ENOENT; /* v1 before Linux 4.13 */
    *ret = strtoull(at + sizeof(key) - 1, NULL, 10);
    return 0;
}

/* The kernel counts before it kills, and tells nobody whom. So one SIGKILL is explained by each kill that was counted while
 * the exec ran, and only by one that explains no other exec's end. */
uint32_t limits_oom_flags(struct limits *l, uint64_t n_before, int wait_status)
{
    bool killed = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) == SIGKILL
                                           : WEXITSTATUS(wait_status) == 128 + SIGKILL;
    uint64_t n = 0, n_explained = MAX(n_before, l->n_oom_told);

    if (!killed)
        return 0;
    if (limits_count_oom(l, &n) < 0)
        return INIT_OOM_UNKNOWN;
    if (n <= n_explained)
        return 0;
    l->n_oom_told = n_explained + 1;
    return INIT_OOM_KILLED;
}

pid_t limits_fork(int cgroup_fd)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid;

    if (cgroup_fd >= 0) {
        args.flags = CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)cgroup_fd;
    }
    pid = syscall(SYS_clone3, &args, sizeof(args));
    return pid < 0 ? -errno : (pid_t)pid;
}
