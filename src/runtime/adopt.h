/*
 * What a daemon finds when it is started under a cwsandbox-launch that has sandboxes already: those of the daemon before.
 * launcher_list() learns of them before anything else is asked; adopt_found() decides what becomes of them.
 */
#ifndef CWS_RUNTIME_ADOPT_H
#define CWS_RUNTIME_ADOPT_H

#include "runtime/launcher.h"

struct runtime;

struct found { /* one sandbox that runs */
    char id[LAUNCH_MAX_ID];
    int pid;                     /* of init, in launch's pid namespace */
    struct launch_limits limits; /* what the daemon before had asked for last; its id is set */
    int control_fd; /* to init, with what the daemon before did not read; -1: no descriptor was left */
    bool exited; /* it ended while the list was made: */
    struct launch_exited end;
};

struct found_list {
    struct found *items; /* in the order of creation */
    size_t n_items;
};

/** launcher_list() - blocks; after launcher_start(), before launcher_watch(). ERR_UNAVAILABLE: launch is gone. */
int launcher_list(struct launcher *l, struct found_list *ret, struct err *err);
/** adopt_found() - once everything is attached. Takes the descriptors it keeps (sets them to -1). */
void adopt_found(struct runtime *rt, struct found_list *found);
/** found_list_done() - closes the descriptors that nobody took. */
void found_list_done(struct found_list *found);

#endif
