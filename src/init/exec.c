/* The table of running execs: start, signal, kill, reap. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "init/init.h"

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
        if (e->rows[i].pid == pid)
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

/* Cuts the body into cwd, argv, envp. strings[0] stays free for execvp's shell rule. */
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

/* Everything that can fail before and in the child. Returns the pid or -errno with s->stage
 * set. */
static pid_t start(struct init *in, struct spawn *s, int *ret_slot, int *ret_master)
{
    CLEANUP_FD int slave = -1;
    int r;

    s->stage = "strings";
    r = parse_strings(in, s);
    if (r < 0)
        return r;
    r = prepare_stdio(in, s, ret_master, &slave);
    if (r < 0)
        return r;
    if (in->slots.usable) {
        s->stage = "slot";
        *ret_slot = slots_take(&in->slots);
        if (*ret_slot < 0)
            return *ret_slot;
        in->slots.all[*ret_slot].id = in->packet.head.id;
        s->cgroup_fd = in->slots.all[*ret_slot].dir_fd;
    }
    s->subreaper = !in->slots.usable;
    return spawn_run(s, in->stack, sizeof(in->stack));
}

void exec_start(struct init *in)
{
    struct init_packet answer = {.type = INIT_STARTED, .id = in->packet.head.id};
    struct spawn s = {.cgroup_fd = -1, .stage = "table"};
    CLEANUP_FD int master = -1;
    struct exec *row = find_unused(&in->execs);
    int slot = -1;
    pid_t pid = row ? start(in, &s, &slot, &master) : -EAGAIN;

    if (pid < 0) {
        slots_give(&in->slots, slot);
        answer.value = pid;
        (void)snprintf(answer.stage, sizeof(answer.stage), "%s", s.stage);
        (void)control_send(&answer, -1);
        return;
    }
    *row = (struct exec){.id = in->packet.head.id, .pid = pid, .slot = slot};
    answer.aux = (uint32_t)pid;
    if (control_send(&answer, master) < 0) {
        /* A terminal that nobody outside can have. Its row is gone, so its exit goes unreported, as that of any orphan. */
        exec_kill(in, answer.id);
        slots_give(&in->slots, slot);
        row->pid = 0;
        answer.value = -ETOOMANYREFS;
        answer.aux = 0;
        (void)snprintf(answer.stage, sizeof(answer.stage), "pty");
        (void)control_send(&answer, -1);
    }
}

/* Reaps everything that has ended: leaders of execs are reported, orphans are only reaped. */
void exec_reap(struct init *in)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct init_packet event = {.type = INIT_EXITED, .value = status};
        struct exec *row = find_pid(&in->execs, pid);

        if (!row)
            continue;
        event.id = row->id;
        slots_give(&in->slots, row->slot);
        row->pid = 0;
        (void)control_send(&event, -1);
    }
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
        slots_kill_lingering(&in->slots, id);
        return;
    }
    if (row->slot < 0 || slots_kill(&in->slots, row->slot) < 0)
        tree_kill(row->pid);
}
