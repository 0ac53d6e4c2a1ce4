/*
 * LIMITS of one sandbox: the cgroups get the numbers, init learns how its children come under them. The packet goes by the
 * daemon's end of the control socket, which launch keeps: so it lies in front of every request that the daemon sends after
 * the answer.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "launch/cell.h"

/* @packet, with what follows it, and descriptors. */
static int send_to_init(const struct cell *cell, struct iovec iov[static 2], const int *fds,
                        size_t n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * INIT_LIMITS_FDS)];
    } control = {0};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
    size_t n_bytes = sizeof(int) * n_fds;

    if (n_fds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n_bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_bytes);
        memcpy(CMSG_DATA(c), fds, n_bytes);
    }
    if (sendmsg(cell->control_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return errno == EPIPE || errno == ECONNRESET
                   ? 0
                   : -errno; /* init is gone: EVENT_EXITED says so */
    return 0;
}

/* Where it cannot be had, the machine's stays: no limit depends on it. */
static void show_memory(struct engine *e, struct cell *cell)
{
    struct init_packet packet = {.type = INIT_SHOW, .aux = e->map.root ? e->map.base : 0};
    struct iovec iov[2] = {{.iov_base = &packet, .iov_len = sizeof(packet)}};
    CLEANUP_FD int server = -1;
    CLEANUP_FD int stat = cgroup_open_memory(&e->cgroups, cell->id);

    if (cell->init_version >= INIT_SHOW_SINCE && stat >= 0 &&
        meminfo_show(e, cell, &server) == 0)
        (void)send_to_init(cell, iov, (const int[]){server, stat}, 2);
}

static int tell_init(const struct cell *cell, const struct launch_limits *limits,
                     const struct cgroup_entry *entry)
{
    struct init_packet packet = {
        .type = INIT_LIMITS,
        .flags = entry->flags,
        .aux = entry->pids,
        .size_bytes = limits->memory_bytes,
        .value = (int32_t)limits->cpu_millis,
        .body_size = CPU_COUNT(&cell->cpus) > 0 ? sizeof(cell->cpus) : 0,
    };
    struct iovec iov[2] = {
        {.iov_base = &packet, .iov_len = sizeof(packet)},
        {.iov_base = (void *)(uintptr_t)&cell->cpus, .iov_len = packet.body_size},
    };

    return send_to_init(cell, iov, entry->fds, entry->n_fds);
}

static int apply(struct engine *e, struct cell *cell, const struct launch_limits *limits,
                 const char **ret_stage)
{
    CLEANUP(cgroup_entry_done) struct cgroup_entry entry = {0};
    int r = cgroup_limit(&e->cgroups, &e->map, limits, &entry, ret_stage);

    if (r == 0 && !cgroup_counts_pids(&e->cgroups)) {
        *ret_stage = "pids";
        /* As its owner: a container's root may lack CAP_SYS_RESOURCE, the owner has it over the sandbox. */
        userns_set_owner(&e->map, cell->owner);
        r = nproc_limit(cell->pid, limits->pids);
        userns_set_owner(&e->map, 0);
    }
    if (r < 0)
        return r;
    cell->cpu_millis = limits->cpu_millis;
    if (cell->n_kills > 0 || cell->ending)
        cgroup_lift_cpu(&e->cgroups, cell->id, cell->cpu_millis, true);
    cpus_give(&e->cpus, &cell->cpus);
    /* Where nothing holds the load back, init would be in its queue. */
    cpus_take(&e->cpus, e->features.limit_cpu ? limits->cpu_millis : 0, &cell->cpus);
    if (limits->memory_bytes > 0 && e->features.limit_memory)
        show_memory(e, cell);
    *ret_stage = "tell init";
    return tell_init(cell, limits, &entry);
}

static void answer(struct engine *e, uint32_t seq, int status, const char *stage)
{
    const struct launch_message request = {.type = LAUNCH_LIMITS, .seq = seq};

    answer_status(e, &request, status, stage);
}

void limits_set(struct engine *e, struct cell *cell, uint32_t seq,
                const struct launch_limits *limits)
{
    const char *stage = "init has ended";
    int r = -ESRCH; /* reaped: its number may be somebody else's */

    if (cell->state == CELL_STARTING && cgroup_limits_need_init(&e->cgroups)) {
        if (cell->limits_seq != 0) {
            answer(e, seq, -EBUSY, "limits");
            return;
        }
        cell->limits_seq = seq;
        cell->limits = *limits;
        return;
    }
    if (!cell->reaped)
        r = apply(e, cell, limits, &stage);
    if (r == 0)
        cell->limits = *limits; /* for LIST */
    answer(e, seq, r, stage);
}

void limits_set_waiting(struct engine *e, struct cell *cell)
{
    uint32_t seq = cell->limits_seq;

    cell->limits_seq = 0;
    if (seq != 0)
        limits_set(e, cell, seq, &cell->limits);
}
