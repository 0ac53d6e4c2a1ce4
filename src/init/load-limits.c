/*
 * The limits of the load: everything in the sandbox but init. Of cgroup v2 a child is born under them (its exec slot lies
 * below); of v1 it enters by itself, which is the one move there that takes no machine-wide lock.
 *
 * Who was killed for want of memory nobody tells: the kernel counts, for each memory cgroup. So each slot has one where memory
 * is limited. Of v1 the first slot's is the sandbox's own: most sandboxes run one thing at a time, and a memory cgroup is
 * not free.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init/load-limits.h"

enum {
    PIDS,
    PIDS_CURRENT,
    MEMORY, /* the directory */
    CPU,    /* the last to enter: it is what may stop us at once */
};          /* indices of limits.fds */

/* "oom_kill N", on a line of its own behind another one in every file that has it. */
static int read_count(int fd, uint64_t *ret)
{
    static const char key[] = "\noom_kill ";
    char text[16384]; /* /proc/vmstat has 4 to 6 KiB, and comes a page at a time */
    ssize_t n = 0, r = 1;

    while (fd >= 0 && r > 0 && n < (ssize_t)sizeof(text) - 1) {
        const char *at;

        r = pread(fd, text + n, sizeof(text) - 1 - (size_t)n, n);
        n += MAX(r, (ssize_t)0);
        text[n] = 0;
        at = strstr(text, key);
        if (at && strchr(at + 1, '\n')) {
            *ret = strtoull(at + sizeof(key) - 1, NULL, 10);
            return 0;
        }
    }
    return -ENOENT; /* v1 before Linux 4.13, or closed to us */
}

void limits_init(struct limits *l)
{
    *l = (struct limits){.fds = {-1, -1, -1, -1}};
    l->machine_fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
    (void)read_count(l->machine_fd,
                     &l->n_machine); /* not to be had: it is not at the end either */
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
    static const uint32_t flags[INIT_LIMITS_FDS] = {INIT_ENTER_PIDS, INIT_ENTER_PIDS,
                                                    INIT_ENTER_MEMORY, INIT_ENTER_CPU};
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

/* Without slots there is one memory cgroup for all. */
static int enter_whole(const struct limits *l)
{
    CLEANUP_FD int fd =
        l->fds[MEMORY] < 0 ? -1 : openat(l->fds[MEMORY], "tasks", O_WRONLY | O_CLOEXEC);

    return l->fds[MEMORY] >= 0 && fd < 0 ? -errno : enter(fd);
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

int limits_enter(const struct limits *l, const struct memory_slot *m)
{
    int r = enter(l->fds[PIDS]);

    if (r == 0)
        r = check_pids(l);
    if (r == 0)
        r = m ? enter(m->tasks_fd) : enter_whole(l);
    return r < 0 ? r : enter(l->fds[CPU]);
}

void memory_slot_init(struct memory_slot *m)
{
    *m = (struct memory_slot){.tasks_fd = -1, .count_fd = -1};
}

void memory_slot_close(struct memory_slot *m)
{
    cleanup_fd(&m->tasks_fd);
    cleanup_fd(&m->count_fd);
}

static int open_v1(struct memory_slot *m, int sandbox_fd, uint32_t index)
{
    CLEANUP_FD int own_fd = -1;
    int dir = sandbox_fd;
    char name[16];

    if (index > 0) {
        (void)snprintf(name, sizeof(name), "m%u", index);
        if (mkdirat(sandbox_fd, name, 0755) < 0 && errno != EEXIST)
            return -errno;
        dir = own_fd = openat(sandbox_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    m->tasks_fd = dir < 0 ? -1 : openat(dir, "tasks", O_WRONLY | O_CLOEXEC);
    if (m->tasks_fd < 0)
        return -errno;
    m->count_fd = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
    return m->count_fd < 0 ? -errno : 0;
}

int memory_slot_open(struct memory_slot *m, const struct limits *l, uint32_t index, int dir_fd)
{
    if (m->count_fd >= 0 || (l->fds[MEMORY] < 0 && l->memory_bytes == 0))
        return 0;
    if (l->fds[MEMORY] >= 0) {
        int r = open_v1(m, l->fds[MEMORY], index);

        if (r < 0)
            memory_slot_close(m);
        return r;
    }
    m->count_fd = openat(dir_fd, "memory.events", O_RDONLY | O_CLOEXEC);
    return m->count_fd < 0 && errno != ENOENT ? -errno : 0;
}

struct oom_count limits_count_oom(const struct limits *l, const struct memory_slot *m)
{
    struct oom_count count = {0};

    count.own = m && read_count(m->count_fd, &count.n) == 0;
    if (!count.own)
        count.n = l->n_machine;
    return count;
}

/* The kernel counts before it kills. */
uint32_t limits_oom_flags(struct limits *l, const struct memory_slot *m,
                          const struct oom_count *before, int wait_status)
{
    bool killed = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) == SIGKILL
                                           : WEXITSTATUS(wait_status) == 128 + SIGKILL;
    uint64_t n = 0;

    if (!killed)
        return 0;
    if (before->own)
        return read_count(m->count_fd, &n) < 0 ? INIT_OOM_UNKNOWN
               : n > before->n                 ? INIT_OOM_KILLED
                                               : 0;
    if (read_count(l->machine_fd, &n) < 0)
        return INIT_OOM_UNKNOWN;
    l->n_machine = n;
    return n > before->n ? INIT_OOM_UNKNOWN : 0;
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
