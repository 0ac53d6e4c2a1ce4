/* The table of running execs: start, signal, kill, reap. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "init/init.h"

#define REAP_TURN \
    4096 /* chosen: more than usually die together; who goes on making orphans holds up no report */

static struct exec *find_id(struct execs *e, uint32_t id)
{
    for (uint32_t i = 0; i < e->n_rows; i++) {
        if (e->rows[i].pid != 0 && e->rows[i].id == id)
            return &e->rows[i];
    }
    return NULL;
}

static struct exec *find_pid(struct execs *e, pid_t pid)
{
    for (uint32_t i = 0; i < e->n_rows; i++) {
        if (e->rows[i].pid == pid && e->rows[i].end.type == 0)
            return &e->rows[i];
    }
    return NULL;
}

static struct exec *find_unused(struct execs *e)
{
    struct exec *row = find_pid(e, 0);

    if (row || e->n_rows == INIT_MAX_EXECS)
        return row;
    return &e->rows[e->n_rows++];
}

/* Cuts the body into cwd, user, argv, envp. strings[0] stays free for execvp's shell rule. */
static int parse_strings(struct init *in, struct spawn *s)
{
    const struct init_packet *head = &in->packet.head;
    char *at = in->packet.body, *end = at + head->body_size;
    char **to = in->strings;

    if (head->n_args == 0 || head->n_args > INIT_MAX_STRINGS ||
        head->n_envs > INIT_MAX_STRINGS - head->n_args)
        return -E2BIG;
    if (at == end || end[-1] != 0)
        return -EPROTO;
    s->cwd = at;
    at += strlen(at) + 1;
    if (at >= end)
        return -EPROTO;
    s->user = at;
    at += strlen(at) + 1;
    s->argv = ++to;
    for (uint32_t i = 0; i < head->n_args + head->n_envs; i++) {
        if (at >= end)
            return -EPROTO;
        if (i == head->n_args) {
            *to++ = NULL;
            s->envp = to;
        }
        *to++ = at;
        at += strlen(at) + 1;
    }
    if (head->n_envs == 0) {
        *to++ = NULL;
        s->envp = to;
    }
    *to = NULL;
    return at == end ? 0 : -EPROTO;
}

/* Fills stdio from the packet or from a fresh pty. */
static int prepare_stdio(struct init *in, struct spawn *s, int *ret_master, int *ret_slave)
{
    struct packet *p = &in->packet;
    uint32_t first, n;
    int r;

    if (p->head.flags & INIT_TTY) {
        r = pty_open(p->head.tty_width, p->head.tty_height, ret_master, ret_slave);
        if (r < 0) {
            s->stage = "pty";
            return r;
        }
        s->tty = true;
        for (int i = 0; i < 3; i++)
            s->stdio[i] = *ret_slave;
        return 0;
    }
    s->stage = "stdio";
    first = p->head.flags & INIT_NULL_STDIN ? 1 : 0;
    n = 3 - first;
    if (p->n_fds != n + (p->head.flags & INIT_MAIN ? 1 : 0))
        return -EPROTO;
    s->stdio[0] = -1;
    memcpy(s->stdio + first, p->fds, n * sizeof(int));
    if (p->head.flags & INIT_MAIN)
        in->main_output_fd = TAKE_FD(p->fds[n]);
    return 0;
}

static const struct memory_slot *memory_of(const struct init *in, const struct exec *row)
{
    return row->slot < 0 ? NULL : &in->slots.all[row->slot].memory;
}

/* row->slot stays -1 where there are none. */
static int take_slot(struct init *in, struct exec *row, const char **ret_stage)
{
    struct slot *slot;

    if (!in->slots.usable)
        return 0;
    *ret_stage = "slot";
    row->slot = slots_take(&in->slots);
    if (row->slot < 0)
        return row->slot;
    slot = &in->slots.all[row->slot];
    slot->id = row->id;
    *ret_stage = "memory";
    return memory_slot_open(&slot->memory, &in->limits, (uint32_t)row->slot, slot->dir_fd);
}

/* Everything that can fail before the child, and, where we wait for it, in it. Returns the pid or -errno with s->stage set. */
static pid_t start(struct init *in, struct spawn *s, struct exec *row)
{
    CLEANUP_FD int slave = -1;
    int r;

    s->stage = "strings";
    r = parse_strings(in, s);
    if (r < 0)
        return r;
    r = prepare_stdio(in, s, &row->master, &slave);
    if (r < 0)
        return r;
    r = take_slot(in, row, &s->stage);
    if (r < 0)
        return r;
    s->cgroup_fd = row->slot < 0 ? -1 : in->slots.all[row->slot].dir_fd;
    s->memory = memory_of(in, row);
    row->n_oom = limits_count_oom(&in->limits, s->memory);
    s->subreaper = !in->slots.usable;
    s->files = (in->packet.head.flags & INIT_FILES) != 0;
    /* Alone under the limits it is not slow enough to matter. Another user must not share our memory, nor make us wait for
     * files of the sandbox; what works on files goes on in our program. */
    if (s->user[0] || s->files ||
        (in->limits.tight && (in->execs.n > 0 || in->slots.n_lingering > 0)))
        return spawn_fork(s, &row->status_fd);
    return spawn_run(s, in->stack, sizeof(in->stack));
}

/* @told: with an EXITED. */
static void row_free(struct init *in, struct exec *row, bool told)
{
    if (told)
        slots_retire(&in->slots, row->slot);
    else
        slots_give(&in->slots, row->slot);
    if (row->status_fd >= 0)
        in->execs.n_starting--;
    cleanup_fd(&row->status_fd);
    cleanup_fd(&row->master);
    row->pid = 0;
    row->end.type = 0;
    in->execs.n--;
}

static void send_failure(uint32_t id, int status, const char *stage)
{
    struct init_packet answer = {.type = INIT_STARTED, .id = id, .value = status};

    (void)snprintf(answer.stage, sizeof(answer.stage), "%s", stage);
    (void)control_send(&answer, -1);
}

static void send_started(struct init *in, struct exec *row)
{
    struct init_packet answer = {
        .type = INIT_STARTED, .id = row->id, .aux = (uint32_t)row->pid, .slot = row->slot};

    if (control_send(&answer, row->master) < 0) {
        /* A terminal that nobody outside can have. */
        exec_kill(in, row->id);
        row->failed = true;
        send_failure(row->id, -ETOOMANYREFS, "pty");
    }
    cleanup_fd(&row->master);
}

void exec_refuse(struct init *in, int error, const char *stage)
{
    slots_release(&in->slots, in->packet.head.n_seen);
    send_failure(in->packet.head.id, error, stage);
}

void exec_spawn(struct init *in)
{
    struct spawn s = {.limits = &in->limits,
                      .meminfo = &in->meminfo,
                      .cgroup_fd = -1,
                      .report_fd = -1,
                      .stage = "table"};
    struct exec *row = find_unused(&in->execs);
    struct exec fresh = {.id = in->packet.head.id,
                         .slot = -1,
                         .status_fd = -1,
                         .master = -1,
                         .started_ns = now_ns()};
    pid_t pid;

    slots_release(&in->slots, in->packet.head.n_seen);
    pid = row ? start(in, &s, &fresh) : -EAGAIN;
    in->execs.n++; /* row_free() takes it back */
    if (pid < 0) {
        row_free(in, &fresh, false);
        send_failure(fresh.id, pid, s.stage);
        return;
    }
    fresh.pid = pid;
    *row = fresh;
    if (in->packet.head.flags & INIT_MAIN)
        sync_main_started(in, pid);
    if (row->status_fd >= 0)
        in->execs.n_starting++;
    else
        send_started(in, row);
}

/* The child of spawn_fork() has reported, or reached its execve, or is dead. */
static void end_starting(struct init *in, struct exec *row)
{
    struct spawn_failure failure;
    ssize_t n = read(row->status_fd, &failure, sizeof(failure));

    if (n < 0)
        return; /* nothing yet */
    cleanup_fd(&row->status_fd);
    in->execs.n_starting--;
    if (row->failed)
        return; /* nobody waits for it any more: sync.c */
    if (n != (ssize_t)sizeof(failure)) {
        send_started(in, row);
        return;
    }
    row->failed = true; /* it ends by itself */
    failure.stage[sizeof(failure.stage) - 1] = 0;
    send_failure(row->id, failure.status, failure.stage);
}

uint32_t exec_watch(struct init *in, struct pollfd *fds)
{
    uint32_t n = 0;

    for (uint32_t i = 0; n < in->execs.n_starting && i < in->execs.n_rows; i++) {
        if (in->execs.rows[i].pid != 0 && in->execs.rows[i].status_fd >= 0)
            fds[n++] = (struct pollfd){.fd = in->execs.rows[i].status_fd, .events = POLLIN};
    }
    return n;
}

void exec_check_starting(struct init *in)
{
    for (uint32_t i = 0; in->execs.n_starting > 0 && i < in->execs.n_rows; i++) {
        if (in->execs.rows[i].pid != 0 && in->execs.rows[i].status_fd >= 0)
            end_starting(in, &in->execs.rows[i]);
    }
}

void exec_copy(struct init *in)
{
    struct exec *row = find_unused(&in->execs);
    struct exec fresh = {.id = in->packet.head.id, .slot = -1, .status_fd = -1, .master = -1};
    const char *stage = "fork";
    pid_t pid = -EAGAIN;

    slots_release(&in->slots, in->packet.head.n_seen);
    if (row)
        pid = take_slot(in, &fresh, &stage);
    if (pid == 0) {
        stage = "fork";
        fresh.copied = &in->copied[row - in->execs.rows];
        *fresh.copied = (struct init_packet){.type = 0};
        pid = limits_fork(fresh.slot >= 0 ? in->slots.all[fresh.slot].dir_fd : -1);
        if (pid == 0) {
            meminfo_leave(&in->meminfo);
            copy_main(in, memory_of(in, &fresh), fresh.copied);
        }
    }
    in->execs.n++; /* row_free() takes it back */
    if (pid < 0) {
        row_free(in, &fresh, false);
        send_failure(fresh.id, pid, stage);
        return;
    }
    fresh.pid = pid;
    *row = fresh;
}

static uint64_t ns_of(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000000 + (uint64_t)t->tv_usec * 1000;
}

static struct init_packet exited(struct init *in, const struct exec *row, int status,
                                 const struct rusage *usage)
{
    return (struct init_packet){
        .type = INIT_EXITED,
        .id = row->id,
        .value = status,
        .flags = limits_oom_flags(&in->limits, memory_of(in, row), &row->n_oom, status),
        .duration_ns = now_ns() - row->started_ns,
        .cpu_ns = ns_of(&usage->ru_utime) + ns_of(&usage->ru_stime),
        .size_bytes = (uint64_t)usage->ru_maxrss * 1024,
    };
}

static void report_end(struct init *in, struct exec *row)
{
    struct init_packet event = row->end, copied = {.type = 0};

    if (row->copied)
        copied = *row->copied;
    copied.id = row->id;
    row_free(in, row, !row->failed);
    if (row->failed)
        return;
    if (copied.type == INIT_COPIED)
        (void)control_send(&copied, -1);
    (void)control_send(&event, -1);
}

static void report_ends(struct init *in)
{
    for (uint32_t i = 0; i < in->execs.n_rows; i++) {
        if (in->execs.rows[i].pid != 0 && in->execs.rows[i].end.type != 0)
            report_end(in, &in->execs.rows[i]);
    }
}

static bool reap_one(struct init *in)
{
    struct rusage usage;
    int status;
    pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    struct exec *row;

    if (pid <= 0)
        return false;
    row = find_pid(&in->execs, pid);
    if (!row)
        return true;
    if (row->status_fd >= 0)
        end_starting(in, row); /* STARTED comes before EXITED */
    sync_main_ended(in, pid, status);
    row->end = exited(in, row, status, &usage);
    return true;
}

/* Reaps everything that has ended: leaders of execs are reported, orphans are only reaped. What a
 * leader leaves dead is ours before it is (exit_notify()), and goes first: it counts as processes
 * until then, and takes time, and the next exec comes with the report. */
void exec_reap(struct init *in)
{
    uint32_t n;

    do {
        for (n = 0; n < REAP_TURN && reap_one(in); n++) {
        }
        report_ends(in);
    } while (n == REAP_TURN);
}

void exec_signal(struct init *in, uint32_t id, int signo)
{
    struct exec *row = find_id(&in->execs, id);

    /* Not reaped, so the group's number is still ours. An exec that just ended is no error:
     * EXITED is on its way. */
    if (row && signo > 0 && signo < _NSIG)
        (void)kill(-row->pid, signo);
}

void exec_kill(struct init *in, uint32_t id)
{
    struct exec *row = find_id(&in->execs, id);

    if (!row) {
        slots_kill_ended(&in->slots, id);
        return;
    }
    if (row->slot < 0 || slots_kill(&in->slots, row->slot) < 0)
        tree_kill(row->pid);
}
