/*
 * The life of one sandbox as launch sees it: STARTING -> RUNNING -> (DEAD) -> gone, or STARTING
 * -> FAILED -> gone. A creation is never waited for: the child reports over its status pipe,
 * the loop looks at it. Whatever ends a sandbox, its directories are removed before anybody is
 * told.
 *
 * Handshake with the child: #1 launch writes the maps, #2 a byte releases the child, #3
 * execveat closes the status pipe (success), or a struct child_failure arrives.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "launch/cell.h"
#include "launch/network-names.h"

#define PARKED_FDS 512 /* chosen: above what a turn and 64 creations have open */
#define END_RETRY_MS 2 /* between looks at cgroups that are still busy when launch ends */
#define END_RETRIES 1000

struct cell *cell_find(struct engine *e, const char *id)
{
    return strmap_get(&e->by_id, id);
}

struct cell *cell_next_running(struct engine *e, const char *after)
{
    struct cell *last = *after ? cell_find(e, after) : NULL;

    for (struct list *node = last ? last->node.next : e->cells.next; node != &e->cells;
         node = node->next) {
        struct cell *cell = CONTAINER_OF(node, struct cell, node);

        if (cell->state == CELL_RUNNING)
            return cell;
    }
    return NULL;
}

static void created_fail(struct cell *cell, const char *stage, int error)
{
    cell->created.status = error;
    cell->created.pid = 0;
    (void)snprintf(cell->created.stage, sizeof(cell->created.stage), "%s", stage);
}

static int answer_created(struct engine *e, uint32_t seq, const struct launch_created *created,
                          int fd)
{
    struct launch_message answer = {
        .type = LAUNCH_CREATE, .seq = seq, .answer = true, .u.created = *created};

    return answer_send(e, &answer, fd);
}

static void cell_free(struct engine *e, struct cell *cell)
{
    kills_end(e, cell);
    e->n_disks -= cell->loop >= 0;
    cpus_give(&e->cpus, &cell->cpus);
    if (cell->ruled) {
        network_names_end(&e->network, cell->address);
        network_unrule(&e->network, cell->address, cell->grants, cell->n_grants);
    }
    network_release(&e->network, cell->address);
    free(cell->grants);
    layers_release(e, cell);
    list_remove(&cell->node);
    (void)strmap_remove(&e->by_id, cell->id);
    (void)strmap_remove(&e->by_pid, cell->pid_key);
    cleanup_fd(&cell->status_fd);
    cleanup_fd(&cell->control_fd);
    free(cell);
}

/* Tells the daemon about the end; the directories are already gone. */
static void announce_end(struct engine *e, const struct cell *cell,
                         const struct launch_usage *usage)
{
    struct launch_message event = {.type = LAUNCH_EVENT_EXITED};

    if (cell->state == CELL_FAILED) {
        (void)answer_created(e, cell->create_seq, &cell->created, -1);
        return;
    }
    memcpy(event.u.exited.id, cell->id, sizeof(cell->id));
    event.u.exited.wait_status = cell->wait_status;
    event.u.exited.cpu_ns = usage->cpu_ns;
    event.u.exited.memory_peak_bytes = usage->memory_peak_bytes;
    event.u.exited.n_oom_kills = usage->n_oom_kills;
    (void)answer_send(e, &event, -1);
}

/* init is reaped, so every process of its namespace is gone; the kernel may take a moment to
 * empty the cgroup. */
static int try_finish(struct engine *e, struct cell *cell)
{
    struct launch_usage usage;

    cgroup_usage(&e->cgroups, cell->id, &usage);
    if (cgroup_remove(&e->cgroups, cell->id) == -EBUSY)
        return -EBUSY;
    kills_end(e, cell);      /* answers come before the event */
    layers_release(e, cell); /* whoever hears of the end may remove them */
    announce_end(e, cell, &usage);
    cell_free(e, cell);
    return 0;
}

/* Descriptors of one creation, gone at the end of cell_create() unless taken. */
struct start {
    struct cgroup_fds cgroup;
    int netns;                             /* descriptor */
    int disk_fd, loop;                     /* struct disk */
    int release[2], status[2], control[2]; /* [0] read / daemon's end, [1] write / init's end */
};

static void start_done(struct start *s)
{
    int *all = (int *)s;

    s->loop = -1; /* a number, not a descriptor */

    for (size_t i = 0; i < sizeof(*s) / sizeof(int); i++)
        cleanup_fd(&all[i]);
}

static int start_disk(struct engine *e, const struct rootfs *root, struct start *s)
{
    struct disk disk;
    int r = root->size_bytes == e->disks.size_bytes ? disk_make(&e->disks, &disk) : -EINVAL;

    if (r == 0) {
        s->disk_fd = disk.mount;
        s->loop = disk.loop;
    }
    return r;
}

static int start_netns(struct engine *e, struct cell *cell, const struct launch_create *create,
                       struct start *s)
{
    struct netns netns;
    int r = -ENOTSUP;

    if (!create->network || e->network.open)
        r = netns_pool_take(create->network ? &e->wired : &e->netns, &netns);
    if (r == 0) {
        s->netns = netns.fd;
        cell->address = netns.address;
    }
    return r;
}

static int start_prepare(struct engine *e, struct cell *cell,
                         const struct launch_create *create, struct start *s,
                         const char **ret_stage)
{
    int r;

    *ret_stage = "make cgroups";
    r = cgroup_make(&e->cgroups, create->id, &e->map, &s->cgroup);
    if (r < 0)
        return r;
    *ret_stage = "mount layers";
    r = layers_hold(e, cell, &create->root);
    if (r < 0)
        return r;
    *ret_stage = "make disk";
    r = create->root.disk ? start_disk(e, &create->root, s) : 0;
    if (r < 0)
        return r;
    *ret_stage = "make network namespace";
    r = start_netns(e, cell, create, s);
    if (r < 0)
        return r;
    *ret_stage = "make pipes";
    if (pipe2(s->release, O_CLOEXEC) < 0 || pipe2(s->status, O_CLOEXEC) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s->control) < 0)
        return -errno;
    return 0;
}

/* See start_clone(). */
int cell_park(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, PARKED_FDS);

    return high < 0 && errno == EINVAL ? fcntl(fd, F_DUPFD_CLOEXEC, 0)
                                       : high; /* a low limit of descriptors */
}

/* Forks from a single-threaded process of a few hundred pages: cheap enough without CLONE_VM.
 */
static pid_t start_clone(struct engine *e, const struct launch_create *create, struct start *s,
                         uid_t owner)
{
    struct clone_args clone_args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS,
        .exit_signal = SIGCHLD,
    };
    struct child_args args = {
        .engine = e,
        .create = create,
        .release_fd = s->release[0],
        .status_fd = s->status[1],
        .control_fd = s->control[1],
        .enter_fd = s->cgroup.enter,
        .load_fd = s->cgroup.load,
        .disk_fd = s->disk_fd,
    };
    pid_t pid;
    int r = netns_enter(s->netns);

    if (r < 0)
        return r;
    if (s->cgroup.birth >= 0) {
        clone_args.flags |= CLONE_INTO_CGROUP;
        clone_args.cgroup = (uint64_t)s->cgroup.birth;
    }
    userns_set_owner(&e->map, owner);
    pid = (pid_t)syscall(SYS_clone3, &clone_args, sizeof(clone_args));
    if (pid == 0) {
        (void)close(s->release[1]); /* or we would wait for ourselves should launch die */
        /* The control sockets of all that run, in one go; nothing that this child needs is up there. */
        (void)close_range(PARKED_FDS, ~0u, 0);
        child_main(&args);
    }
    r = pid < 0 ? -errno : pid;
    userns_set_owner(&e->map, 0);
    CHECK(netns_enter(e->netns.home) == 0);
    return r;
}

static int start_release(struct engine *e, struct cell *cell, struct start *s,
                         const char **ret_stage)
{
    int r;

    *ret_stage = "write user maps";
    r = userns_write_maps(cell->pid, &e->map); /* #1 */
    if (r < 0)
        return r;
    *ret_stage = "release";
    return write(s->release[1], "", 1) == 1 ? 0 : -errno; /* #2 */
}

struct cell *cell_new(void)
{
    struct cell *cell = calloc(1, sizeof(*cell));

    if (!cell)
        return NULL;
    list_init(&cell->node);
    cell->init_version = INIT_VERSION;
    cell->status_fd = cell->control_fd = -1;
    cell->loop = -1;
    return cell;
}

static int cell_register(struct engine *e, struct cell *cell)
{
    int r;

    (void)snprintf(cell->pid_key, sizeof(cell->pid_key), "%d", cell->pid);
    r = strmap_put(&e->by_id, cell->id, cell);
    if (r == 0 && !cell->reaped)
        r = strmap_put(&e->by_pid, cell->pid_key, cell);
    if (r < 0)
        return r;
    list_append(&e->cells, &cell->node);
    return 0;
}

int cell_take_again(struct engine *e, struct cell *cell)
{
    int r = cell_register(e, cell);

    if (r < 0)
        return r;
    memcpy(cell->limits.id, cell->id, sizeof(cell->id));
    e->n_disks += cell->loop >= 0;
    cpus_take_again(&e->cpus, &cell->cpus);
    return 0;
}

/* After clone3 the child exists: a failure kills and reaps it here, so that nothing is left
 * behind. */
static int start_child(struct engine *e, struct cell *cell, const struct launch_create *create,
                       struct start *s, const char **ret_stage)
{
    int r;

    *ret_stage = "host directories";
    r = host_dirs_refresh(&e->lean, &e->map);
    if (r < 0)
        return r;
    r = machine_attach(e, create, ret_stage);
    if (r == 0) {
        *ret_stage = "clone3";
        cell->owner = userns_owner(&e->map, e->n_made++);
        r = cell->pid = start_clone(e, create, s, cell->owner);
    }
    machine_detach(e);
    if (r < 0)
        return r;
    r = start_release(e, cell, s, ret_stage);
    if (r == 0) {
        *ret_stage = "register";
        r = cell_register(e, cell);
    }
    if (r < 0) {
        (void)kill(cell->pid, SIGKILL);
        (void)waitpid(cell->pid, NULL, 0);
    }
    return r;
}

void cell_create(struct engine *e, const struct launch_message *request)
{
    const struct launch_create *create = &request->u.create;
    CLEANUP(start_done) struct start s;
    struct cell *cell = NULL;
    struct launch_created failed = {0};
    const char *stage = "id exists";
    int r = -EEXIST;

    memset(&s, -1, sizeof(s));
    if (!cell_find(e, create->id)) {
        cell = cell_new();
        stage = "allocate";
        r = -ENOMEM;
    }
    if (cell) {
        memcpy(cell->id, create->id, sizeof(cell->id));
        cell->create_seq = request->seq;
        r = start_prepare(e, cell, create, &s, &stage);
        if (r == 0)
            r = start_child(e, cell, create, &s, &stage);
        if (r < 0) {
            if (strcmp(stage, "make cgroups") != 0)
                (void)cgroup_remove(&e->cgroups, cell->id);
            cell_free(e, cell);
        }
    }
    if (r < 0) {
        failed.status = r;
        (void)snprintf(failed.stage, sizeof(failed.stage), "%s", stage);
        (void)answer_created(e, request->seq, &failed, -1);
        return;
    }
    cell->loop = s.loop;
    e->n_disks += cell->loop >= 0;
    if (cell->loop >= 0 && e->disks.held)
        disk_hold(&e->disks, cell->loop, true);
    cell->state = CELL_STARTING;
    cell->status_fd = TAKE_FD(s.status[0]);
    cell->control_fd = cell_park(s.control[0]); /* -1: the daemon misses it in the answer */
    e->n_pending++;
}

void cell_kill(struct engine *e, struct cell *cell)
{
    /* Not reaped, so the pid is still its own. The end of pid 1 is the end of all; cgroup.kill
     * only makes it quick. */
    if (cell->reaped)
        return;
    if (!cell->ending && cell->cpu_millis != 0)
        cgroup_lift_cpu(&e->cgroups, cell->id, cell->cpu_millis,
                        true); /* who is throttled cannot die */
    cell->ending = true;
    (void)kill(cell->pid, SIGKILL);
    (void)cgroup_kill(&e->cgroups, cell->id);
}

int cell_rule(struct engine *e, struct cell *cell, const struct launch_rules *rules)
{
    CLEANUP_FREE struct launch_grant *grants = calloc(rules->n_grants + 1, sizeof(*grants));
    int r;

    if (cell->address == 0 || cell->ruled)
        return -EINVAL;
    if (!grants)
        return -ENOMEM;
    memcpy(grants, rules->grants, rules->n_grants * sizeof(*grants));
    r = network_rule(&e->network, cell->address, grants, rules->n_grants);
    if (r < 0)
        return r;
    r = network_names_begin(&e->network, cell->address, rules->names);
    if (r < 0) {
        network_unrule(&e->network, cell->address, grants, rules->n_grants);
        return r;
    }
    cell->ruled = true;
    cell->grants = TAKE_PTR(grants);
    cell->n_grants = rules->n_grants;
    return 0;
}

static void on_init_runs(struct engine *e, struct cell *cell)
{
    int r;

    cell->state = CELL_RUNNING;
    cell->created.pid = cell->pid;
    cell->created.init_version = cell->init_version;
    r = answer_created(e, cell->create_seq, &cell->created, cell->control_fd);
    if (r < 0) { /* nobody can speak with this one */
        cell_kill(e, cell);
        cell->state = CELL_FAILED;
        created_fail(cell, "send the control socket", r);
    }
    limits_set_waiting(e, cell);
}

void cell_on_status(struct engine *e, struct cell *cell)
{
    struct child_failure failure = {0};
    ssize_t n = read(cell->status_fd, &failure, sizeof(failure));

    cleanup_fd(&cell->status_fd);
    e->n_pending--;
    if (n == 0) { /* #3 */
        on_init_runs(e, cell);
        return;
    }
    cell->state = CELL_FAILED; /* answered when the child is reaped */
    failure.stage[sizeof(failure.stage) - 1] = 0;
    if (n == (ssize_t)sizeof(failure) && failure.error > 0)
        created_fail(cell, failure.stage, -failure.error);
    else
        created_fail(cell, "set up", -EIO);
    limits_set_waiting(e, cell); /* answers that it is too late */
}

static void on_reaped(struct engine *e, struct cell *cell, int wait_status)
{
    cell->wait_status = wait_status;
    cell->reaped = true;
    if (cell->state == CELL_STARTING) {
        /* Its last words, if any. A pipe that closed without a word means that it was killed,
         * or init ended at once. */
        cell_on_status(e, cell);
    }
    if (cell->state == CELL_RUNNING)
        cell->state = CELL_DEAD;
    (void)strmap_remove(&e->by_pid,
                        cell->pid_key); /* the number may be used again from now on */
    (void)try_finish(e, cell);
}

void cells_reap(struct engine *e)
{
    char key[16];
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct cell *cell;

        (void)snprintf(key, sizeof(key), "%d", pid);
        cell = strmap_get(&e->by_pid, key);
        if (cell)
            on_reaped(e, cell, status);
        else
            (void)resolver_reaped(&e->network.resolver, pid, status);
    }
}

uint32_t cells_retry_dead(struct engine *e)
{
    uint32_t n_busy = 0;

    LIST_FOREACH_SAFE(node, &e->cells)
    {
        struct cell *cell = CONTAINER_OF(node, struct cell, node);

        if (cell->reaped && try_finish(e, cell) == -EBUSY)
            n_busy++;
    }
    return n_busy;
}

void cells_guard_disks(struct engine *e)
{
    bool full = disks_full(&e->disks);

    if (full == e->disks.held)
        return;
    e->disks.held = full;
    LIST_FOREACH(node, &e->cells)
    {
        struct cell *cell = CONTAINER_OF(node, struct cell, node);

        if (cell->loop >= 0 && !cell->reaped)
            disk_hold(&e->disks, cell->loop, full);
    }
}

void cells_end(struct engine *e)
{
    int status;
    pid_t pid;

    LIST_FOREACH(node, &e->cells)
    cell_kill(e, CONTAINER_OF(node, struct cell, node));
    while ((pid = waitpid(-1, &status, 0)) > 0 || errno == EINTR) {
        char key[16];
        struct cell *cell;

        (void)snprintf(key, sizeof(key), "%d", pid);
        cell = strmap_get(&e->by_pid, key);
        if (cell)
            on_reaped(e, cell, status);
    }
    /* v1 has no event for "empty now", and nobody else waits for us: a bounded look every
     * END_RETRY_MS. */
    for (int i = 0; i < END_RETRIES && cells_retry_dead(e) > 0; i++)
        (void)poll(NULL, 0, END_RETRY_MS);
}
