/*
 * The home of sandboxes as a table of functions: what makes a cell, limits, measures, kills and finds it. The runtime knows no
 * other way to one; cwsandbox-launch, which makes them of namespaces, is one driver (launcher.h).
 *
 * States: open (list may be called) -> watched -> attached (on the loop) -> closing -> gone. A driver is *lost* when what
 * stands behind it ends by itself: every open request is then answered with NULL, later ones are refused, and on_lost is
 * called once.
 *
 * Owner: struct runtime, from open to free(). Loop thread only. Requests are answered
 * once, in their order, from the loop; a request that returned an error is not answered.
 */
#ifndef CWS_RUNTIME_CELL_DRIVER_H
#define CWS_RUNTIME_CELL_DRIVER_H

#include <uv.h>

#include "base/err.h"
#include "loop/poller.h"
#include "privproto/launchproto.h"

#define CELL_DRIVER_EXIT_MS \
    5000 /* chosen: how long the end of the last sandbox is waited for; normally 1 ms and 0.3 ms a sandbox */

struct cell_driver;

/* The first argument after @user is NULL when the driver was lost. @take_control_fd: socket of its init, or -1. */
typedef void (*cell_created_cb)(void *user, const struct launch_created *created,
                                int take_control_fd);
typedef void (*cell_status_cb)(void *user, const struct launch_status *status);
typedef void (*cell_usage_cb)(void *user, const struct launch_usage *usage);

struct found { /* one sandbox that runs */
    char id[LAUNCH_MAX_ID];
    int pid;                     /* of init, as the driver counts */
    uint32_t init_version;       /* that init's words: privproto/initproto.h */
    struct launch_limits limits; /* what the daemon before had asked for last; its id is set */
    int control_fd; /* to init, with what the daemon before did not read; -1: no descriptor was left */
    bool exited; /* it ended while the list was made: */
    struct launch_exited end;
};

struct found_list {
    struct found *items; /* in the order of creation */
    size_t n_items;
};

/** found_list_done() - closes the descriptors that nobody took. */
void found_list_done(struct found_list *found);

struct cell_driver_ops {
    /* What an earlier daemon left running: for adoption. Blocks; before `watch`. ERR_UNAVAILABLE. */
    int (*list)(struct cell_driver *d, struct found_list *ret, struct err *err);
    /* The part of becoming asynchronous that may fail; `user`, on_exited and on_lost are set before. */
    int (*watch)(struct cell_driver *d, struct poller *poller, struct err *err);
    void (*attach)(struct cell_driver *d, uv_loop_t *loop);
    /* Requests: 0, -EPIPE (lost), -ENOMEM. What is passed is copied. */
    int (*create)(struct cell_driver *d, const struct launch_create *what, cell_created_cb cb,
                  void *user);
    int (*limits)(struct cell_driver *d, const struct launch_limits *limits, cell_status_cb cb,
                  void *user);
    /* Once a cell, of those with a network. */
    int (*rules)(struct cell_driver *d, const struct launch_rules *rules, cell_status_cb cb,
                 void *user);
    int (*usage)(struct cell_driver *d, const char *id, cell_usage_cb cb, void *user);
    /* Everything in it, also while it is being created. on_exited follows if it was created; nothing else is told. */
    int (*kill)(struct cell_driver *d, const char *id);
    /* One exec; answered when nothing of it lives. */
    int (*kill_exec)(struct cell_driver *d, const struct launch_kill_exec *exec,
                     cell_status_cb cb, void *user);
    /* Open requests are answered with NULL, later ones refused; on_closed comes from the loop. */
    void (*close)(struct cell_driver *d, void (*on_closed)(void *user));
    /* In or after on_closed, or when it was never attached. */
    void (*free)(struct cell_driver *d);
};

struct cell_driver {
    const struct cell_driver_ops *ops;
    void *user;
    void (*on_exited)(void *user, const struct launch_exited *exited);
    void (*on_lost)(void *user, const struct err *why);
    bool closing;
};

#endif
