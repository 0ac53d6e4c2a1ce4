/*
 * What `cwsandboxd` does when somebody starts it: everything that needs the privilege of who started it, before there is a
 * service. Then it becomes cwsandbox-launch, which starts the daemon with what was opened here.
 */
#ifndef CWS_SERVER_FRONT_H
#define CWS_SERVER_FRONT_H

#include "server/embedded.h"
#include "server/options.h"

struct front {
    struct options *options;
    struct embedded embedded;
    char **argv; /* as it was started, [0] is any */
    const char *
        renew; /* "UID:GID": a service of this daemon runs, and shall have another one (renew.h); NULL: a start */
    int ready_fd; /* closed (-1) once it was written to */
};

/** front_run() - on success this process is another program; else the exit status: 0 (somebody else serves, or the check
 * succeeded), 1, 2. */
int front_run(struct front *f);

#endif
