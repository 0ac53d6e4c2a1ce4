/*
 * Killing an exec where there are no cgroups. The leader is a child subreaper, so everything it
 * started, setsid or double fork or not, stays below it until it is reaped. Stop first: a
 * stopped process cannot fork, so the set closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#include "init/init.h"

#define MAX_TREE 4096 /* chosen: as INIT_MAX_EXECS; a larger tree is killed in several rounds \
                       */
#define MAX_ROUNDS \
    64 /* chosen: a fork bomb loses long before; the namespace's end is the backstop */

struct tree {
    pid_t pids[MAX_TREE];
    uint32_t n;
};

/* Appends the children of every thread of @pid. */
static void add_children(struct tree *t, pid_t pid)
{
    char path[64], text[4096];
    char *at, *end;
    ssize_t n;

    /* Children are listed under the thread that forked them; subreaping attaches to the main
     * thread. Other threads' children appear there too once their thread ends, and the rounds
     * find them. */
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    CLEANUP_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
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

void tree_kill(pid_t leader)
{
    static struct tree t; /* single-threaded; too large for a stack */
    uint32_t before = UINT32_MAX;

    (void)kill(leader, SIGSTOP);
    for (int round = 0; round < MAX_ROUNDS && before != 0; round++) {
        uint32_t known = UINT32_MAX;

        for (int i = 0; i < MAX_ROUNDS; i++) {
            walk(&t, leader);
            if (t.n == known)
                break;
            known = t.n;
            signal_all(&t, SIGSTOP);
        }
        signal_all(&t, SIGKILL);
        before = t.n == MAX_TREE ? t.n : 0; /* a full table may have hidden more */
    }
    (void)kill(leader, SIGKILL);
}
