/*
 * Killing an exec where there are no cgroups. The leader is a child subreaper, so everything it
 * started, setsid or double fork or not, stays below it until it is reaped. Stop first: a
 * stopped process cannot fork, so the set closes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "init/init.h"

#define MAX_TREE \
    4096 /* chosen: as INIT_MAX_EXECS; a larger tree is killed in several rounds \
                       */
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

static bool tree_equal(const struct tree *a, const struct tree *b)
{
    return a->n == b->n && memcmp(a->pids, b->pids, a->n * sizeof(a->pids[0])) == 0;
}

/*
 * Fills @t with every descendant of @leader, all of them stopped: two walks that find the same. A process with a signal
 * pending does not fork (fork(2) is restarted after it), so what stands in the first of the two has no child that the
 * second does not show. Not the number alone: one may end while another is born.
 */
static void stop_all(struct tree *t, pid_t leader)
{
    static struct tree before; /* single-threaded; too large for a stack */

    walk(t, leader);
    for (int i = 0; i < MAX_ROUNDS; i++) {
        signal_all(t, SIGSTOP);
        before = *t;
        walk(t, leader);
        if (tree_equal(t, &before))
            return;
    }
}

void tree_kill(pid_t leader)
{
    static struct tree t;

    (void)kill(leader, SIGSTOP);
    for (int round = 0; round < MAX_ROUNDS; round++) {
        stop_all(&t, leader);
        signal_all(&t, SIGKILL);
        if (t.n < MAX_TREE) /* a full table may have hidden more */
            break;
    }
    (void)kill(leader, SIGKILL);
}
