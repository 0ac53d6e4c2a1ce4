/*
 * Killing an exec where there are no cgroups. The leader is a child subreaper, so everything it
 * started, setsid or double fork or not, stays below it until it is reaped. Stop first: a
 * stopped process cannot fork, so the set closes; then kill.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "init/init.h"

#define MAX_TREE 4096 /* chosen: as INIT_MAX_EXECS, far above the default limit of processes */
#define MAX_ROUNDS \
    64 /* chosen: a fork bomb loses long before; the namespace's end is the backstop */

struct tree {
    pid_t pids[MAX_TREE];
    uint32_t n;
};

/* Appends the pids in the file "<thread>/children" below @tasks, the task directory of a process. */
static void add_thread(struct tree *t, int tasks, const char *thread)
{
    char path[32], text[4096];
    char *at, *end;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "%.10s/children", thread);
    CLEANUP_FD int fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return;
    text[n] = 0;
    for (at = text; t->n < MAX_TREE; at = end) {
        pid_t child = (pid_t)strtol(at, &end, 10);

        if (end == at || *end == 0) /* the last, maybe cut, number has no space after it */
            break;
        t->pids[t->n++] = child;
    }
}

/* Appends the children of @pid. The kernel lists each under the thread that forked it. */
static void add_children(struct tree *t, pid_t pid)
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
            if (((struct dirent64 *)at)->d_name[0] != '.')
                add_thread(t, tasks, ((struct dirent64 *)at)->d_name);
        }
    }
}

static void walk(struct tree *t, pid_t leader)
{
    t->n = 0;
    add_children(t, leader);
    for (uint32_t i = 0; i < t->n; i++)
        add_children(t, t->pids[i]);
}

static void signal_all(const struct tree *t, int signo)
{
    for (uint32_t i = t->n; i > 0;
         i--) /* deepest first: nobody is reparented away from what we know */
        (void)kill(t->pids[i - 1], signo);
}

/* Whether @pid stands still: stopped, or dead and not reaped. Not in the middle of fork(2), that is. */
static bool is_still(pid_t pid)
{
    char path[32], text[512];
    const char *state;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        return true;
    text[n] = 0;
    state = strrchr(text, ')');
    return !state || strchr("TtZX", state[2]);
}

static bool tree_has(const struct tree *t, pid_t pid)
{
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->pids[i] == pid)
            return true;
    }
    return false;
}

static bool has_new(const struct tree *now, const struct tree *before)
{
    for (uint32_t i = 0; i < now->n; i++) {
        if (!tree_has(before, now->pids[i]))
            return true;
    }
    return false;
}

/* @signo to every descendant, again and again until a walk finds nobody who did not get it. */
static void signal_tree(pid_t leader, int signo)
{
    static struct tree now, before; /* single-threaded; too large for a stack */

    before.n = 0;
    walk(&now, leader);
    for (int i = 0; i < MAX_ROUNDS && (has_new(&now, &before) || !is_still(leader)); i++) {
        signal_all(&now, signo);
        before = now;
        walk(&now, leader);
    }
}

/*
 * A SIGSTOP that arrives in the middle of a fork(2) lets it finish: the child shows up later. SIGKILL ends it, so once all
 * that is known was killed, whatever they had made is there to be seen, under them or under the leader; and the leader itself
 * is killed only when it stands still.
 */
void tree_kill(pid_t leader)
{
    (void)kill(leader, SIGSTOP);
    signal_tree(leader, SIGSTOP);
    signal_tree(leader, SIGKILL);
    (void)kill(leader, SIGKILL);
}
