/*
 * cws_sandbox: one sandbox as this client sees it. The state machine
 * runs on the loop thread; what the program may ask without waiting (`info`) is a copy under
 * the lock.
 *
 *   SB_NEW -> SB_CREATING -> SB_STARTING -> SB_RUNNING -> SB_STOPPING -> SB_TERMINAL
 *     ^----- create failed ----'
 *
 * Later states may be reached directly; terminal is absorbing.
 *
 * Whoever needs a state puts a `struct sb_waiter` into one of three lists: started (accepted,
 * an id is known), running (RUNNING, or what came instead), terminal. While the last two hold
 * somebody, one *watch* asks the service: by long-poll where the service is ours, else on the
 * schedule of the published client. Nobody waits, nobody asks.
 *
 * sandbox.c: the object and what is known. start.c: create. watch.c: the watch and the waiters.
 * stop.c: stop.
 */
#ifndef CWS_CLIENT_SANDBOX_H
#define CWS_CLIENT_SANDBOX_H

#include <stdatomic.h>

#include "client/details.h"
#include "client/hint.h"
#include "client/options-request.h"
#include "client/plane-state.h"
#include "client/retry.h"
#include "client/rpc.h"
#include "client/sb-waiter.h"
#include "client/snapshot-wait.h"

enum sb_state { SB_NEW, SB_CREATING, SB_STARTING, SB_RUNNING, SB_STOPPING, SB_TERMINAL };

enum { SB_REQUEST_CPU, SB_REQUEST_MEMORY, SB_LIMIT_CPU, SB_LIMIT_MEMORY, SB_RESOURCE_MAX };

/* A Sandbox message as it was packed. */
struct heard {
    size_t n;
    uint8_t bytes[];
};

/* Pointers in here are replaced by valid ones only (make, swap, free): a forked child may look. */
struct sandbox_info {
    char *id;
    cws_status status;
    bool has_status;
    uint64_t status_updated_ns; /* wall clock */
    uint64_t started_ns;        /* wall clock */
    bool has_exit_code;
    int exit_code;
    char *runner_id, *runner_group_id;
    char *state_reason; /* the service's words; NULL = none */
    char *resources[SB_RESOURCE_MAX];
    struct details *details; /* reference, or NULL */
    struct heard *heard;     /* the last answer, or NULL */
    char *share_token;       /* a secret; NULL = none */
    char **snapshot_ids;     /* taken when it was stopped */
    size_t n_snapshot_ids;
    bool spilled; /* it was placed where it was not asked for first */
    cws_exec_stats stats;
    uint64_t startup_ns; /* from our create request until it ran; 0 = not both */
};

/* The state of asking; see watch.c. */
struct watch {
    struct unary *get;       /* the question under way */
    struct timer timer;      /* until the next one */
    bool next_retries;       /* the next question follows a failure */
    bool terminal;           /* asking for the end, not for RUNNING */
    uint64_t asked_ns;       /* when `get` was sent */
    uint64_t interval_ns;    /* poll schedule */
    uint64_t retry_delay_ns; /* the jitter's memory */
    uint64_t budget_end_ns;  /* 0 = no failure in a row */
    uint64_t missing_end_ns; /* 0 = not in the NOT_FOUND window after our stop */
    uint64_t missing_delay_ns;
    unsigned grace_left;    /* exit-code questions left */
    bool in_grace;          /* COMPLETED is known, its exit code not yet */
    struct cws_error *last; /* why the next one is a retry; raised if there is no time for it */
};

/* The state of asking for a share token; see token.h. */
struct token {
    struct list waiters; /* struct sb_waiter: starts of this round */
    struct unary *call;
    struct timer timer; /* the pause */
    bool asked;         /* an endpoint of the request needs one */
    bool wanted;        /* the sandbox was accepted without it */
    bool active;        /* a round goes on */
    unsigned attempts;
    uint64_t end_ns, pause_ns;
};

/* The state of creating; see start.c. */
struct create {
    uint64_t began_ns;         /* monotonic, of the last attempt; 0 = we did not create it */
    struct retry retry;        /* of the place that is being asked */
    struct timer timer;        /* until it is asked again */
    struct cws_error *refused; /* what it said, while that timer runs */
};

struct cws_sandbox {
    _Atomic uint32_t refs;
    struct cws_client *client;  /* [const] reference */
    struct cws_target *target;  /* [const] reference */
    struct options_times times; /* [const] from the first operation on */
    cws_data_plane data_plane;  /* [const] from the first operation on */
    const char *create_method;  /* [const] path; NULL for a discovered sandbox */
    const char *create_label;   /* [const] the same */

    struct buf create_request; /* [loop] empty for a discovered sandbox */
    struct buf spill_request;  /* [loop] what follows when that finds no room; may be empty */
    bool spilled;              /* [loop] the second request is the one to repeat */
    struct cws_error *no_room; /* [loop] of the first request while the second is under way */
    char **scratch;            /* [loop] names of the scratch volumes */
    size_t n_scratch;          /* [loop] */

    pthread_mutex_t lock;
    struct sandbox_info info; /* [lock]; written by the loop only, except stats */

    enum sb_state state;     /* [loop] */
    bool cancelled;          /* [loop] stopped before it was started */
    struct create create;    /* [loop] */
    size_t n_wanting;        /* [loop] who wants what is created, and has nothing of it yet */
    bool abandoned;          /* [loop] nobody wants what is created: start.c */
    bool undone, stop_owned; /* [loop] stopped as abandoned; the service accepted our stop */
    struct conn *conn;       /* [loop] */
    struct list started, running, terminal; /* [loop] struct sb_waiter */
    struct watch watch;                     /* [loop] */
    struct token token;                     /* [loop] */
    struct plane plane;                     /* [loop] */

    struct list stop_ops;                    /* [loop] see stop.c */
    bool stopping;                           /* [loop] a stop is under way */
    bool stop_missing_ok;                    /* [loop] of the first stop */
    uint64_t stop_grace_ns;                  /* [loop] */
    struct hint stop_hint;                   /* [loop] of a plain stop */
    bool stop_snapshot;                      /* [loop] the first stop wants a snapshot */
    bool stop_wait_ready;                    /* [loop] and to know that it is complete */
    char *stop_request_id;                   /* [loop] of the first stop, or NULL */
    size_t stop_n_ready;                     /* [loop] snapshots that are */
    struct snapshot_wait stop_snapshot_wait; /* [loop] for the next one */
    struct sb_waiter stop_waiter;            /* [loop] */
    _Atomic uint64_t file_cap; /* the service's unary limit, 0 = not learned; set on the loop */
    uint64_t file_proven;      /* [loop] the largest file that it took in one message */
};

/* ---- sandbox.c ---- */
struct cws_sandbox *sandbox_new(struct cws_client *client, struct cws_target *target);
/** sandbox_conn() - [loop] NULL with @err set. */
struct conn *sandbox_conn(struct cws_sandbox *sb, struct err *err);
/** sandbox_id_borrow() - [loop] the id, "" before there is one. Never changes once set. */
const char *sandbox_id_borrow(const struct cws_sandbox *sb);
enum apply { APPLY_CREATE, APPLY_POLL, APPLY_QUERY };
/** sandbox_apply() - [loop] take over what the service said. 0 or -ENOMEM (nothing is lost but
 * texts). */
int sandbox_apply(struct cws_sandbox *sb, const Pb__Sandbox *msg, enum apply how);
/** sandbox_set_status() - [loop] a transition that the client knows by itself. */
void sandbox_set_status(struct cws_sandbox *sb, enum sb_state state, cws_status status);
cws_status sandbox_status(const struct cws_sandbox *sb);
/** sandbox_add_snapshots() - [loop] ids of what a stop has captured; copied. 0 or -ENOMEM. */
int sandbox_add_snapshots(struct cws_sandbox *sb, char *const *ids, size_t n);
/** sandbox_set_token() - [loop] 0 or -ENOMEM. */
int sandbox_set_token(struct cws_sandbox *sb, const char *token);
/** sandbox_set_spilled() - [loop] which of the two requests counts. */
void sandbox_set_spilled(struct cws_sandbox *sb, bool spilled);
/** sandbox_exec_began() / sandbox_exec_ended() - statistics; any thread. */
void sandbox_exec_began(struct cws_sandbox *sb);
void sandbox_exec_ended(struct cws_sandbox *sb, const struct cws_error *error, int exit_code);

/** container_check() - of a caller: NULL, or UTF-8. 0, or -1 with *@error. */
int container_check(const char *name, cws_error **error);
/** container_dup() - *@ret: the name without blanks around it, NULL for the primary one. 0 or -ENOMEM. */
int container_dup(const char *name, char **ret);

/* ---- start.c ---- */
/** sandbox_when_started() - [loop] create it if needed; fires at once when that is done. */
void sandbox_when_started(struct cws_sandbox *sb, struct sb_waiter *w);
/** create_stop_waiting() - [loop] no further attempt at a place that is full; harmless when none
 * is planned. */
void create_stop_waiting(struct cws_sandbox *sb);

/* ---- watch.c ---- */
void sandbox_when_running(struct cws_sandbox *sb, struct sb_waiter *w);
void sandbox_when_terminal(struct cws_sandbox *sb, struct sb_waiter *w);
/** sb_waiter_cancel() - [loop] harmless when it is not waiting. */
void sb_waiter_cancel(struct cws_sandbox *sb, struct sb_waiter *w);
/** sandbox_settle() - [loop] after any change: tell who can be told, ask on if any are left. */
void sandbox_settle(struct cws_sandbox *sb);
/** watch_adopt() - [loop] stop waiting for an exit code that the service owes. */
void watch_adopt(struct cws_sandbox *sb);

/* ---- stop.c ---- */
/** stop_advance() - [loop] the state changed (create ended) while a stop waits for it. */
void stop_advance(struct cws_sandbox *sb);
#endif
