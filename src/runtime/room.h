/*
 * The inside of the room: struct runtime, and the small services its files share. Included by
 * every .c here.
 *
 * Who holds whom: the runtime holds cells (what exists at the driver) and sandboxes (what users
 * see). A sandbox that is alive has one cell, made for it or taken from the pool, and shares
 * its id. A cell belongs to the pool, to a sandbox, or to nobody (doomed: it only waits for its
 * end). Processes, file requests and log streams hang on their sandbox while under way.
 */
#ifndef CWS_RUNTIME_ROOM_H
#define CWS_RUNTIME_ROOM_H

#include "base/strmap.h"
#include "loop/deferred.h"
#include "loop/poller.h"
#include "loop/timers.h"
#include "runtime/boot.h"
#include "runtime/cell-driver.h"
#include "runtime/cell.h"
#include "runtime/ledger.h"
#include "runtime/runtime.h"

struct runtime {
    uv_loop_t *loop;
    struct runtime_config config; /* its strings are owned copies, but for the image aliases */
    struct launch_features features;
    struct poller poller;
    struct cell_driver *driver;
    struct pool pool;
    struct deferred_queue deferred;
    struct timers timers;
    struct err lost; /* code != OK: launch is gone */
    void (*on_lost)(void *user, const struct err *why);
    void *on_lost_user;

    struct ledger ledger;
    char boot_id[BOOT_ID_BYTES];

    /* registry.c */
    struct sandbox **by_seq; /* ascending */
    size_t n_sandboxes, cap_sandboxes, n_active;
    struct strmap by_id, by_request;
    uint64_t seq;
    struct list ended; /* struct sandbox.ended_link, first ended first */
    size_t n_ended;
    uint64_t kept_bytes; /* memory of the ended ones */
    uv_timer_t retention_timer;

    /* log-file.c */
    char *log_dir;
    struct list log_queue; /* struct log_file.queue_link: has something to move */
    uint32_t n_logs, n_moves;
    uint64_t log_bytes; /* of all logs */
    bool
        logs_are_alive; /* ... above the cap, but nothing that ended has any: until the next end */
    void (*on_log_lost)(void *user, const char *sandbox_id, int error);
    void *on_log_lost_user;

    struct buf scratch; /* where pipes are read into */
    uint32_t n_jobs;    /* on libuv's pool: the close waits for them */

    bool closing;
    bool forgotten;     /* no sandbox is left; only jobs are waited for */
    uint32_t n_closing; /* handles whose close callback is due */
    void (*on_closed)(void *user);
    void *on_closed_user;
};

/** runtime_check_closed() - goes on with runtime_close() when the last cell is gone. */
void runtime_check_closed(struct runtime *rt);
/** runtime_job_begin() - work on libuv's pool that uses the runtime when it is done. */
void runtime_job_begin(struct runtime *rt);
/** runtime_job_end() - as the last thing of its callback: the runtime may be on its way out after it. */
void runtime_job_end(struct runtime *rt);
/** runtime_warn() - tells whoever keeps the log of the service. */
void runtime_warn(struct runtime *rt, const struct err *what);

#endif
