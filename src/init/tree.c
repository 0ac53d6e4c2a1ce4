/*
 * Killing an exec where there are no cgroups. The leader is a child subreaper, so everything it started, setsid or double
 * fork or not, stays below it until it is reaped. Stop first, so that the set closes; then kill, and look until all of them
 * are dead. The leader last: so its EXITED says that nothing of the exec runs.
 *
 * A signal to many (a process group, or all of the namespace) is the one that closes a set at once: the kernel gives it to
 * whoever is being forked as well (copy_process(), `multiprocess`), and a process that has one pending forks no more, even if
 * it has not stopped yet. One to a single process comes too late for a fork under way: whoever has left the leader's group
 * is looked for until nobody new shows up, or, where there are many of them, stopped together with the whole sandbox.
 *
 * Here and not in launch: without cgroups there is no limit that could starve init, a walk takes milliseconds per thousand
 * processes, and launch has every sandbox to look after.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "init/init.h"

#define MAX_TREE 32768 /* Linux's default of kernel.pid_max */
/* chosen: a SIGSTOP can be undone, by SIGCONT from anybody in the sandbox; then killing has to be faster than forking */
#define STOP_ROUNDS 64
#define POLITE_NS \
    1500000 /* chosen: within our first turn on a busy processor. Then everything in the sandbox stands still for a moment: \
               1,000 processes that spin would take the processor from the walk for many seconds (measured) */
#define KILL_ROUNDS \
    4096 /* chosen: 4 s and more; whom that does not end, the end of the namespace does */
#define FAST_ROUNDS 4 /* then a pause between two looks: dying needs the processor */
#define PAUSE_NS 1000000

struct tree {
    pid_t pids[MAX_TREE]; /* [0] is the leader */
    uint32_t n;
    bool everybody; /* outside of the tree, too, processes were stopped */
};

struct process {
    char state; /* of proc(5): 'X' also when it is gone */
    pid_t group;
    uint32_t n_threads; /* 0: unknown */
};

static void add(struct tree *t, pid_t pid)
{
    if (t->n < MAX_TREE)
        t->pids[t->n++] =
            pid; /* else the next round finds it: those before it are dead by then */
}

/* Appends the pids in a file of "<pid> " each, however long it is. A number may be cut between two reads. */
static void add_file(struct tree *t, int dir, const char *path)
{
    char text[4096];
    pid_t pid = 0;
    ssize_t n;

    CLEANUP_FD int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    while ((n = read(fd, text, sizeof(text))) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else {
                add(t, pid);
                pid = 0;
            }
        }
    }
}

/* The kernel lists children under the thread that forked them. */
static void add_children_of_threads(struct tree *t, pid_t pid)
{
    char path[32], entries[4096];
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
    CLEANUP_FD int tasks = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (tasks < 0)
        return;
    while ((n = getdents64(tasks, entries, sizeof(entries))) >
           0) { /* readdir(3) would allocate */
        for (char *at = entries; at < entries + n; at += ((struct dirent64 *)at)->d_reclen) {
            if (((struct dirent64 *)at)->d_name[0] == '.')
                continue;
            (void)snprintf(path, sizeof(path), "%.10s/children",
                           ((struct dirent64 *)at)->d_name);
            add_file(t, tasks, path);
        }
    }
}

static void add_children(struct tree *t, pid_t pid, const struct process *p)
{
    char path[48];

    if (p->n_threads != 1) {
        add_children_of_threads(t, pid);
        return;
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    add_file(t, AT_FDCWD, path);
}

static struct process look(pid_t pid)
{
    struct process p = {.state = 'X'};
    char path[32], text[512];
    const char *at;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return p;
    text[n] = 0;
    at = strrchr(text, ')'); /* the name before it may hold anything */
    if (!at || !at[1])
        return p;
    p.state = at[2];
    for (int field = 2; field < 20 && at;
         field++) { /* the 5th is the group, the 20th the number of threads */
        at = strchr(at + 1, ' ');
        if (field == 4 && at)
            p.group = (pid_t)strtol(at, NULL, 10);
    }
    if (at)
        p.n_threads = (uint32_t)strtoul(at, NULL, 10);
    return p;
}

static bool is_dead(const struct process *p)
{
    return p->state == 'Z' || p->state == 'X';
}

uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The whole tree again from its leader, whose group has its signal. Whoever else is neither stopped nor dead gets one before
 * his children are read. Returns whether another round has to look. */
static bool stop_round(struct tree *t, pid_t leader, uint64_t polite_until_ns)
{
    bool again = false;

    t->n = 0;
    add(t, leader);
    for (uint32_t i = 0; i < t->n; i++) {
        struct process p = look(t->pids[i]);

        if (!t->everybody && now_ns() > polite_until_ns) {
            (void)kill(-1, SIGSTOP);
            t->everybody = again = true;
        }
        if (is_dead(&p))
            continue;
        if (p.group != leader && p.state != 'T' && p.state != 't' && !t->everybody) {
            (void)kill(t->pids[i], SIGSTOP);
            again = true;
        }
        add_children(t, t->pids[i], &p);
    }
    return again;
}

/* SIGKILL to all but the leader, from @t, which may be older than their latest children; how many are not dead. */
static uint32_t kill_round(struct tree *t)
{
    uint32_t n_alive = 0;

    for (uint32_t i = t->n; i > 1; i--) /* deepest first: nobody moves away from what we know */
        (void)kill(t->pids[i - 1], SIGKILL);
    for (uint32_t i = 1; i < t->n; i++) {
        struct process p = look(t->pids[i]);

        n_alive += !is_dead(&p);
    }
    return n_alive;
}

static void pause_after(int round)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    if (round >= FAST_ROUNDS)
        (void)nanosleep(&pause, NULL);
}

void tree_kill(pid_t leader)
{
    static struct tree t; /* single-threaded; too large for a stack */
    uint64_t polite_until_ns = now_ns() + POLITE_NS;
    uint32_t n_alive = 1;

    t.everybody = false;
    (void)kill(-leader,
               SIGSTOP); /* at once whoever has not left its group, and most have not */
    for (int i = 0; i < STOP_ROUNDS && stop_round(&t, leader, polite_until_ns); i++)
        pause_after(i);
    for (int i = 0; n_alive > 0; i++) {
        if (i == KILL_ROUNDS)
            _exit(3); /* it fights back; with us everything ends */
        n_alive = kill_round(&t);
        pause_after(i);
        if (n_alive == 0) {
            (void)stop_round(&t, leader, UINT64_MAX); /* whoever was not in the list */
            n_alive = t.n > 1 ? kill_round(&t) : 0;
        }
    }
    (void)kill(leader, SIGKILL);
    if (t.everybody)
        (void)kill(-1, SIGCONT); /* a stop of their own is lost, too */
}
