/*
 * struct sandbox: one sandbox as its users see it. States and who moves them:
 *
 *   PREPARING (its image is being brought: prepare.c), then as
 *
 *   PENDING ---cell ready---> CREATING ---set-up done, main process runs---> RUNNING
 *      |                         |                                             |
 *      |                         +--- main process ended by itself ------------+--> COMPLETED
 *      |                         |                                             |    (exit code)
 *      |                         +--- set-up failed, init or launch gone ------+--> FAILED
 *      |                         |                                             |    (reason)
 *      +--- sandbox_stop() ------+---------------------------------------------+--> TERMINATING
 *                                                                                   |
 *                                                              cell gone            +--> TERMINATED
 *
 * COMPLETED and FAILED are said at once, while the cell is still being killed; TERMINATED means
 * that nothing of it is left. A stopped sandbox never ends FAILED. Terminal states never change.
 *
 * Owner: the registry, refcounted. Loop thread only.
 */
#ifndef CWS_RUNTIME_SANDBOX_H
#define CWS_RUNTIME_SANDBOX_H

#include "runtime/log-file.h"
#include "runtime/plan.h"
#include "runtime/room.h"

#define SANDBOX_LIFETIME_GRACE_NS \
    (2 * NS_PER_SEC) /* chosen: SIGTERM to SIGKILL when the lifetime is over */

/* Something that waits until the sandbox runs: a queued process or file request. */
struct sandbox_waiter {
    struct list link; /* zeroed: not waiting */
    void (*cb)(struct sandbox_waiter *w, bool running);
};

struct main_process {
    struct control_call call;
    int log_fd;                  /* where it writes; ours until it runs */
    bool started, exited, ended; /* exited: and the log gets the rest of its output */
    int exit_code;
    int signo; /* what killed it; 0: it ended by itself */
    bool out_of_memory;
    struct log_waiter flush;
    uint64_t start_ns; /* monotonic; 0 = not started */
};

struct setup {
    uint32_t n_steps; /* answers that are still due before the main process may start */
    bool files_sent, main_sent;
};

struct sandbox {
    struct runtime *rt;
    unsigned n_refs;
    char id[LAUNCH_MAX_ID];
    uint64_t seq;
    char *owner, *image, *state_reason;
    char *request_key; /* NULL: none; owner and request id */
    enum sandbox_state state;
    uint64_t create_wall_ns, start_wall_ns, end_wall_ns;
    int64_t create_boot_ns, end_boot_ns; /* boot.h; for lifetime and retention */
    struct ledger_slot slot;             /* its record */
    bool has_exit_code;
    int exit_code;
    uint64_t lifetime_ns, memory_bytes;
    uint32_t cpu_millis;
    bool own_limits, network; /* limits other than the defaults; NETWORK_EGRESS */
    void *user_data;
    void (*free_user_data)(void *);
    struct preparation *preparation; /* PREPARING; else NULL */
    struct plan *plan;
    struct launch_rules *rules; /* of its network; NULL: none, or in force */
    struct cell_kind *kind;     /* of an image, or with mounts; NULL: the default one */
    struct mount_list mounts;   /* its own */
    struct cell *cell;          /* NULL: ended and nothing left */
    struct setup setup;
    struct main_process main;
    struct log_file *log; /* NULL: no main process */
    bool killed;          /* the cell was told to die */
    bool adopting;    /* of an earlier service: how it is is not known yet (sandbox-adopt.c) */
    uv_timer_t timer; /* lifetime; while TERMINATING: grace */
    bool timer_open;
    uint64_t grace_end_ns;
    struct sandbox_usage usage; /* the last figures */
    uint64_t usage_wall_ns;     /* of the last that launch told; 0: none */

    struct list ended_link;
    uint64_t kept_bytes;   /* memory, once it ended */
    struct keeper *keeper; /* retained.c, inside of a trim */
    struct list waiters;   /* struct sandbox_waiter */
    struct list file_jobs; /* struct file_job: wait for their turn */
    uint32_t n_copies;     /* file jobs under way */
    struct list processes; /* struct process.link, sent to init */
    struct list starts;    /* struct process.start_link, first come first served */
    struct deferred start_more;
    uint32_t n_starting; /* EXEC sent, STARTED not here yet */
    struct list tunnels; /* struct tunnel.link, until ended */
    uint32_t n_tunnels;
    struct list streams; /* struct log_stream.link */
    struct list log_sessions;
    struct list watches; /* struct sandbox_watch */
    struct deferred notify;
};

/* sandbox.c */
/** sandbox_new() - @image: NULL when it is yet to be brought. */
struct sandbox *sandbox_new(struct runtime *rt, const struct sandbox_spec *spec,
                            const struct runtime_image *image, struct err *err);
/** sandbox_new_empty() - nothing of it set but its lists. */
struct sandbox *sandbox_new_empty(struct runtime *rt, struct err *err);
void sandbox_count_cpus(struct sandbox *sb); /* that its limit fills, for what runs in it */
const char *sandbox_state_name(enum sandbox_state state);
/** sandbox_request_key() - owner and request id in one string; NULL when out of memory. */
char *sandbox_request_key(const struct sandbox_spec *spec);
void sandbox_orphan_cell(struct sandbox *sb); /* it is not to be after all */
/** sandbox_begin() - a new sandbox, registered; without a cell and a preparation it fails, for the reason it has. */
void sandbox_begin(struct sandbox *sb);
void sandbox_set_state(struct sandbox *sb, enum sandbox_state state);
/** sandbox_end() - to a terminal state; @reason is copied, "" for none. */
void sandbox_end(struct sandbox *sb, enum sandbox_state state, const char *reason);
void sandbox_fail(struct sandbox *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** sandbox_wait() - 0: @w->cb follows; 1: runs now; -1 with @err FAILED_PRECONDITION: on its way out or ended. */
int sandbox_wait(struct sandbox *sb, struct sandbox_waiter *w, struct err *err);
void sandbox_waiter_cancel(struct sandbox_waiter *w);
/** sandbox_adopted() - its state is true from here on. */
void sandbox_adopted(struct sandbox *sb);
/** sandbox_restart_timer() - what is left of its lifetime, or of its grace. */
void sandbox_restart_timer(struct sandbox *sb);
/** sandbox_ask_error() - why its init was not asked for @what ("start the process"): @r is control_send()'s, or of what comes before. */
void sandbox_ask_error(const struct sandbox *sb, int r, const char *what, struct err *err);
/** sandbox_gone_error() - UNAVAILABLE: it ended under an operation. */
void sandbox_gone_error(const struct sandbox *sb, struct err *err);
/** sandbox_kill() - everything in it, without a change of state. */
void sandbox_kill(struct sandbox *sb);

/* What the cell reports. */
void sandbox_on_cell_ready(struct sandbox *sb);
/** @wait: a part of it exists; sandbox_on_cell_exited() follows. */
void sandbox_on_cell_failed(struct sandbox *sb, const struct err *why, bool wait);
/** @exited: NULL when launch is gone. */
void sandbox_on_cell_exited(struct sandbox *sb, const struct launch_exited *exited);

/* prepare.c: from an image to a cell */
/** sandbox_get_cell() - of what @image is; its id is the sandbox's, or becomes it. RESOURCE_EXHAUSTED. */
int sandbox_get_cell(struct sandbox *sb, const struct runtime_image *image, struct err *err);
/** prepare_new() - @sb, which is new, waits for its image. RESOURCE_EXHAUSTED. */
int prepare_new(struct sandbox *sb, const struct sandbox_spec *spec, struct err *err);
void prepare_begin(struct sandbox *sb);
/** prepare_end() - the image is not needed any more, or is there. Harmless when none was awaited. */
void prepare_end(struct sandbox *sb);

/* setup.c: from a blank cell to a running sandbox. */
void setup_begin(struct sandbox *sb);
/** setup_check_running() - RUNNING if nothing is missing any more. */
void setup_check_running(struct sandbox *sb);
/** setup_check_limits() - FAILED_PRECONDITION with the remedy when the host cannot enforce what
 * is asked. */
int setup_check_limits(const struct runtime *rt, uint64_t memory_bytes, uint32_t cpu_millis,
                       struct err *err);

/* main-process.c */
/** main_process_start() - sends EXEC; the sandbox fails when that is impossible. */
void main_process_start(struct sandbox *sb);
/** main_process_on_cell_gone() - says the exit that waited for the log. */
void main_process_on_cell_gone(struct sandbox *sb);
void main_process_signal(struct sandbox *sb, int signo);

/** main_process_adopt() - it runs, started by a service before us; its control_call is begun. */
void main_process_adopt(struct sandbox *sb);
/** main_process_on_exit() - it ended with @wait_status; @flags: of INIT_EXITED, 0 where that was told to another daemon. */
void main_process_on_exit(struct sandbox *sb, int wait_status, uint32_t flags);

/* sandbox-adopt.c: what ledger_records_load() brought and has not ended */
/** sandbox_adopt() - launch has it; @init_version: of its init. */
void sandbox_adopt(struct sandbox *sb, int take_control_fd, uint32_t init_version);
/** sandboxes_end_unfound() - those that launch does not have. */
void sandboxes_end_unfound(struct runtime *rt);

/* tunnel.c */
/** tunnels_end_now() - at the close of the runtime. */
void tunnels_end_now(struct sandbox *sb);

/* registry.c */
void registry_open(struct runtime *rt);
/** registry_close() - forgets every sandbox; their references must be gone but for ours. */
void registry_close(struct runtime *rt);
/** registry_restore() - enters @sb of an earlier service, with the number it had; its reference
 * is taken on success. Before registry_open(). */
int registry_restore(struct sandbox *sb, struct err *err);
/** registry_on_ended() - @sb reached a terminal state; keep it for the retention time. */
void registry_on_ended(struct sandbox *sb);
/** registry_forget() - an ended sandbox without a cell goes, and its log. */
void registry_forget(struct sandbox *sb);
/** registry_on_logs_grown() - there may be too much of them. */
void registry_on_logs_grown(struct runtime *rt);
/** registry_on_cell_gone() - @sb may be pruned from now on. */
void registry_on_cell_gone(struct sandbox *sb);

#endif
