/*
 * Killing the processes of one exec slot from outside of every limit: cgroup.kill, and then we watch cgroup.events until the
 * kernel says that nobody lives there. While somebody is dying the load may use as much CPU time as there is: who is
 * throttled cannot die. Nothing here waits; any number of kills may be under way.
 *
 * A killed process executes nothing of its program any more, and the kernel makes no child of it: the one write is the end
 * of all (it marks the group, so that a fork under way ends as well). The answer waits for their exits all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/util.h"
#include "launch/cell.h"

#define KILL_DEADLINE_NS \
    (30 * \
     NS_PER_SEC) /* chosen: a process that takes longer hangs in the kernel; the daemon ends the sandbox */
#define EVENTS_PER_TURN 16

struct kill {
    struct list node; /* engine.kills, oldest first */
    struct cell *cell;
    uint32_t seq;
    int events_fd; /* cgroup.events of the slot; in engine.kills_fd */
    uint64_t deadline_ns;
};

int kills_init(struct engine *e)
{
    list_init(&e->kills);
    e->kills_fd = epoll_create1(EPOLL_CLOEXEC);
    return e->kills_fd < 0 ? -errno : 0;
}

static void answer(struct engine *e, uint32_t seq, int status, const char *stage)
{
    const struct launch_message request = {.type = LAUNCH_KILL_EXEC, .seq = seq};

    answer_status(e, &request, status, stage);
}

static void kill_end(struct engine *e, struct kill *k, int status)
{
    struct cell *cell = k->cell;

    list_remove(&k->node);
    answer(e, k->seq, status, "wait for the end");
    (void)epoll_ctl(e->kills_fd, EPOLL_CTL_DEL, k->events_fd, NULL);
    (void)close(k->events_fd);
    free(k);
    if (--cell->n_kills == 0 && !cell->ending)
        cgroup_lift_cpu(&e->cgroups, cell->id, cell->cpu_millis, false);
}

/* The process that is told may be reaped at any later time; members are counted until they are done. */
static bool is_empty(int events_fd)
{
    char text[128];
    ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

    if (n < 0)
        return errno == ENODEV; /* removed since: only what is empty can be */
    text[n] = 0;
    return strstr(text, "populated 0") != NULL;
}

static int kill_begin(struct engine *e, struct cell *cell, uint32_t seq, int take_events_fd)
{
    CLEANUP_FD int events_fd = take_events_fd;
    struct kill *k = calloc(1, sizeof(*k));
    struct epoll_event event = {.events = EPOLLPRI, .data.ptr = k};

    if (!k)
        return -ENOMEM;
    if (epoll_ctl(e->kills_fd, EPOLL_CTL_ADD, events_fd, &event) < 0) {
        free(k);
        return -errno;
    }
    if (cell->n_kills++ == 0)
        cgroup_lift_cpu(&e->cgroups, cell->id, cell->cpu_millis, true);
    *k = (struct kill){.cell = cell,
                       .seq = seq,
                       .events_fd = TAKE_FD(events_fd),
                       .deadline_ns = clock_now_ns() + KILL_DEADLINE_NS};
    list_append(&e->kills, &k->node);
    if (is_empty(
            k->events_fd)) /* again: an event before the watch would have been the last one */
        kill_end(e, k, 0);
    return 0;
}

/* 1: it is under way and answers by itself. */
static int kill_slot(struct engine *e, struct cell *cell, uint32_t seq, uint32_t slot)
{
    char path[LAUNCH_MAX_ID + 64];
    CLEANUP_FD int events_fd = -1;
    int r;

    if (e->cgroups.v2 < 0)
        return -ENOTSUP;
    (void)snprintf(path, sizeof(path), "%s/" CGROUP_LOAD "/e%u", cell->id, slot);
    r = cgroup_kill(&e->cgroups, path);
    if (r < 0)
        return r == -ENOENT || r == -ENODEV ? 0
                                            : r; /* init removes a slot only when it is empty */
    (void)snprintf(path, sizeof(path), "%s/" CGROUP_LOAD "/e%u/cgroup.events", cell->id, slot);
    events_fd = openat(e->cgroups.v2, path, O_RDONLY | O_CLOEXEC);
    if (events_fd < 0)
        return errno == ENOENT || errno == ENODEV ? 0 : -errno;
    if (is_empty(events_fd))
        return 0;
    r = kill_begin(e, cell, seq, TAKE_FD(events_fd));
    return r < 0 ? r : 1;
}

void kills_add(struct engine *e, uint32_t seq, const struct launch_kill_exec *request)
{
    struct cell *cell = cell_find(e, request->id);
    int r = cell ? kill_slot(e, cell, seq, request->slot) : -ENOENT;

    if (r <= 0)
        answer(e, seq, r, cell ? "kill" : "id");
}

void kills_check(struct engine *e)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int n = epoll_wait(e->kills_fd, events, EVENTS_PER_TURN, 0);

    for (int i = 0; i < n; i++) {
        struct kill *k = events[i].data.ptr;

        if (is_empty(k->events_fd))
            kill_end(e, k, 0);
    }
}

int kills_expire(struct engine *e)
{
    uint64_t now_ns = clock_now_ns();

    LIST_FOREACH_SAFE(node, &e->kills)
    {
        struct kill *k = CONTAINER_OF(node, struct kill, node);

        if (k->deadline_ns > now_ns)
            return (int)((k->deadline_ns - now_ns) / NS_PER_MS) + 1;
        kill_end(e, k, -ETIMEDOUT);
    }
    return -1;
}

void kills_end(struct engine *e, const struct cell *cell)
{
    if (cell->n_kills == 0)
        return;
    LIST_FOREACH_SAFE(node, &e->kills)
    {
        struct kill *k = CONTAINER_OF(node, struct kill, node);

        if (k->cell == cell)
            kill_end(e, k, 0);
    }
}

void kills_forget_asker(struct engine *e)
{
    LIST_FOREACH(node, &e->kills)
    {
        CONTAINER_OF(node, struct kill, node)->seq = 0;
    }
}
