/*
 * A sandbox of the ledger that still runs: taken over from the daemon before us.
 *
 *   #1 its record was read (ledger-record.c)        #2 launch listed it: a cell, SYNC to its init
 *   #3 SYNCED: how its main process is, the pipe of its log -> it goes on, or ends with the exit code it had meanwhile
 *
 * Until #3 its state is what the record says, and whoever wants to run or read something waits.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "base/util.h"
#include "runtime/ledger-record.h"
#include "runtime/log-file.h"
#include "runtime/sandbox.h"

#define UNMADE "the service was started anew while the sandbox was being made"

static void adopt_log(struct sandbox *sb, int take_fd)
{
    CLEANUP_ERR struct err err = {0};
    if (!sb->log && log_file_restore(sb->rt, sb->id, &sb->log, &err) < 0) {
        cleanup_fd(&take_fd);
        runtime_warn(sb->rt,
                     &err); /* the process goes on until its pipe is full: it is told of */
        return;
    }
    int r = log_file_adopt(sb->log, take_fd);
    if (r < 0) {
        (void)err_set_errno(&err, ERR_INTERNAL, -r, "go on with the log of sandbox %s", sb->id);
        runtime_warn(sb->rt, &err);
    }
}

/* #3 */
static void on_synced(struct control_call *call, const struct init_packet *packet, int take_fd)
{
    struct sandbox *sb = CONTAINER_OF(call, struct sandbox, main.call);
    bool has_main = packet->flags & INIT_MAIN;
    if (packet->type != INIT_SYNCED || has_main != sb->main.started) {
        cleanup_fd(&take_fd);
        control_end(&sb->cell->control, call);
        sandbox_adopted(sb);
        sandbox_fail(sb,
                     "its main process is not what the record says: it cannot be taken over");
        return;
    }
    if (take_fd >= 0)
        adopt_log(sb, take_fd);
    if (has_main && packet->aux != 0) {
        main_process_adopt(sb);
    } else {
        control_end(&sb->cell->control, call);
        if (has_main && !sb->main.ended)
            main_process_on_exit(sb, packet->value, 0);
        else if (sb->state == SANDBOX_TERMINATING)
            sandbox_kill(sb);
    }
    sandbox_adopted(sb);
}

static void on_lost(struct control_call *call)
{
    struct sandbox *sb = CONTAINER_OF(call, struct sandbox, main.call);
    control_end(&sb->cell->control, call); /* EVENT_EXITED tells why */
}

static void sync_init(struct sandbox *sb)
{
    sb->main.call.on_packet = on_synced;
    sb->main.call.on_lost = on_lost;
    int r = control_sync(&sb->cell->control, &sb->main.call);
    if (r == -EPIPE || r == -ECONNRESET)
        return; /* init has ended since it was listed, or launch has: as on_lost() */
    if (r < 0) {
        sandbox_adopted(sb);
        sandbox_fail(sb, "take the sandbox over: %s", strerror(-r));
    }
}

/* #2 */
void sandbox_adopt(struct sandbox *sb, int take_control_fd, uint32_t init_version)
{
    CLEANUP_ERR struct err err = {0};
    sb->cell = cell_adopt(sb->rt, sb, take_control_fd, &err);
    if (!sb->cell) {
        sandbox_adopted(sb);
        sandbox_fail(sb, "take the sandbox over: %s", err_text(&err));
    } else if (sandbox_state_terminal(sb->state) ||
               (sb->state == SANDBOX_TERMINATING && sb->grace_end_ns == 0)) {
        sandbox_adopted(sb);
        sandbox_kill(sb); /* it was dying */
    } else if (sandbox_state_starting(sb->state)) {
        sandbox_adopted(sb);
        sandbox_fail(sb, UNMADE);
    } else {
        sb->cell->control.init_version = init_version;
        sandbox_restart_timer(sb);
        sync_init(sb);
    }
}

static void sandbox_not_found(struct sandbox *sb)
{
    sandbox_adopted(sb);
    if (sb->state == SANDBOX_TERMINATING)
        sandbox_end(sb, SANDBOX_TERMINATED, "");
    else if (sb->state == SANDBOX_RUNNING)
        sandbox_end(sb, SANDBOX_FAILED,
                    "the service was killed, and the sandbox ended with it");
    else
        sandbox_end(sb, SANDBOX_FAILED, UNMADE);
}

void sandboxes_end_unfound(struct runtime *rt)
{
    uint64_t seq = 0; /* by number: the end of one may make others be forgotten */
    for (struct sandbox *sb; (sb = sandbox_after(rt, seq));) {
        seq = sb->seq;
        if (!sb->cell && !sandbox_state_terminal(sb->state))
            sandbox_not_found(sb);
    }
}
