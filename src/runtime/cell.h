/*
 * A cell is what cwsandbox-launch knows by an id: a blank sandbox with a running init, later
 * the inside of one sandbox.
 *
 *   QUEUED -> CREATING -> READY -> ENDING -> (freed at EVENT_EXITED)
 *
 * READY: init is there, the limits every sandbox gets (config: pids, default memory and cpu)
 * are set. ENDING: told to die, or init was found dead. A failed creation frees the cell too.
 * The pool keeps READY cells of the default kind (root, network) and makes new ones while nobody waits; a
 * sandbox takes a READY one, or one that is being made, or waits for its own.
 *
 * Owner: the runtime's pool, all cells in `cells` by id. Loop thread only.
 */
#ifndef CWS_RUNTIME_CELL_H
#define CWS_RUNTIME_CELL_H

#include <uv.h>

#include "base/err.h"
#include "base/list.h"
#include "base/strmap.h"
#include "loop/deferred.h"
#include "privproto/launchproto.h"
#include "runtime/control.h"

#define CELL_MAX_CREATING \
    4 /* chosen: launch is single-threaded; enough that it never waits for us */
#define POOL_RETRY_MIN_MS 100
#define POOL_RETRY_MAX_MS \
    10000 /* chosen: a host that cannot make sandboxes is asked 6 times a minute */

/* After a blank was taken the pool rests so long, unless it is half empty: who creates a
 * sandbox runs something in it at once, and making the next blank on the other core would take
 * half of that core from it. */
#define POOL_REST_MS 5

struct runtime;
struct sandbox;

enum cell_state { CELL_QUEUED, CELL_CREATING, CELL_READY, CELL_ENDING };

/* What the network of a cell can reach. */
enum network_class {
    NETWORK_NONE,   /* its own loopback */
    NETWORK_EGRESS, /* and what every sandbox may, or less: struct launch_rules */
    NETWORK_CLASS_MAX,
};

/* Chosen: a working directory and fifteen volumes. With what every root and a sandbox of its own has: LAUNCH_MAX_MOUNTS. */
#define CELL_MAX_POINTS 16

/* What cells of a kind have in common before anybody configures one: blanks of a kind are interchangeable. */
struct cell_kind {
    struct rootfs root;
    const char *points
        [CELL_MAX_POINTS]; /* of an image: directories that are made where they are missing */
    uint32_t n_points;
    enum network_class network;
    const struct mount_list *mounts; /* of the one sandbox that can have the cell; NULL: none */
};

/** cell_kind_equal() - may a blank of @a be taken where @b is asked for? */
bool cell_kind_equal(const struct cell_kind *a, const struct cell_kind *b);

/* Blanks of one kind. */
struct shelf {
    struct cell_kind kind;
    struct list blanks; /* nobody's, CREATING or READY, oldest first */
    uint32_t n_blanks;
    bool
        wanted; /* the pool keeps some ready: of the default kind, and of one that was asked for */
};

struct cell {
    struct list link;             /* pool.queue, shelf.blanks, or alone */
    struct shelf *shelf;          /* NULL: no blank of the pool */
    const struct cell_kind *kind; /* borrowed, of a shelf or its sandbox, for CREATE; or NULL */
    struct runtime *rt;
    char id[LAUNCH_MAX_ID];
    enum cell_state state;
    bool created;      /* launch said so: EVENT_EXITED will come */
    uint8_t n_answers; /* of launch that the creation still waits for */
    struct err why;    /* what the creation failed for */
    struct deferred unsent;
    struct sandbox *sb; /* NULL: blank or doomed */
    struct control control;
};

struct pool {
    struct list queue;                       /* QUEUED, first come first served */
    struct shelf shelves[NETWORK_CLASS_MAX]; /* of the default image and size, by network */
    struct strmap cells;
    uint32_t n_creating;
    uint32_t retry_ms;      /* back-off after a failed refill; 0: none */
    uv_timer_t retry_timer; /* of the back-off, or of the rest */
};

void pool_open(struct runtime *rt);
/** pool_kind() - of blanks with that network; borrowed for the runtime's life. */
const struct cell_kind *pool_kind(const struct runtime *rt, bool network);
/** pool_close() - kills blanks, refills no more. */
void pool_close(struct runtime *rt);
/** pool_refill() - starts what should be started now. Call after anything changed. */
void pool_refill(struct runtime *rt);
/** cell_make_id() - "sb-" and 64 random bits: collisions are not a concern below billions. */
void cell_make_id(char ret_id[static LAUNCH_MAX_ID]);
/** cell_take() - a cell of @kind (the pool's or @sb's own) for @sb, under the id that it has, if it has one. READY if the pool had one; else
 * sandbox_on_cell_ready/failed follows. NULL: out of memory. */
struct cell *cell_take(struct runtime *rt, struct sandbox *sb, const struct cell_kind *kind);
/** cell_forget() - launch ends it, and nobody hears of it. */
void cell_forget(struct runtime *rt, const char *id);
/** cell_adopt() - one that launch has already, for @sb of an earlier service. NULL: it is killed. */
struct cell *cell_adopt(struct runtime *rt, struct sandbox *sb, int take_control_fd,
                        struct err *err);
/** cell_kill() - everything in it, now. sandbox_on_cell_exited() follows unless it was QUEUED:
 * then false, and it is gone. */
bool cell_kill(struct cell *cell);
/** cell_default_limits() - what the configuration gives every sandbox; fills all but the id. */
void cell_default_limits(const struct runtime *rt, struct launch_limits *ret);
/** cell_on_exited() - launch's event. */
void cell_on_exited(struct runtime *rt, const struct launch_exited *exited);
/** cells_lose() - launch is gone: every cell ends here and now. */
void cells_lose(struct runtime *rt);

#endif
