/*
 * A new daemon takes the sandbox over: what it must know of the main process, and an end for everything else that the daemon
 * before had started, whose clients are gone. What that daemon left behind on purpose, children of execs that ended, stays.
 */
#include "init/init.h"

void sync_main_started(struct init *in, pid_t pid)
{
    in->main = (struct main_process){.known = true, .pid = pid};
}

void sync_main_ended(struct init *in, pid_t pid, int wait_status)
{
    if (!in->main.known || in->main.pid != pid)
        return;
    in->main.pid = 0;
    in->main.wait_status = wait_status;
}

/* Ends by itself from here on, unheard: the new daemon gives the same ids to others. */
static void abandon(struct init *in, struct exec *row)
{
    exec_kill(in, row->id);
    row->failed = true;
    row->id = 0;
    if (row->slot >= 0)
        in->slots.all[row->slot].id = 0;
}

void sync_answer(struct init *in)
{
    struct init_packet answer = {.type = INIT_SYNCED,
                                 .id = in->packet.head.id,
                                 .flags = in->main.known ? INIT_MAIN : 0,
                                 .size_bytes = in->packet.head.size_bytes};

    exec_reap(in); /* who has ended has ended: told below, not once more */
    answer.value = in->main.wait_status;
    answer.aux = (uint32_t)in->main.pid;
    for (uint32_t i = 0; i < in->execs.n_rows; i++) {
        struct exec *row = &in->execs.rows[i];

        if (row->pid == 0)
            continue;
        if (row->pid == in->main.pid)
            row->id = answer.id;
        else
            abandon(in, row);
    }
    slots_restart(&in->slots);
    for (uint32_t i = 0; i < in->slots.n_lingering; i++)
        in->slots.all[in->slots.lingering[i]].id = 0;
    if (control_send(&answer, in->main_output_fd) < 0)
        (void)control_send(&answer, -1); /* the daemon sees that the pipe is missing */
}
