/*
 * Programs that bring images (cwsandbox-image), started for a daemon that may start none. Of what it sends two descriptors go
 * to the program unread; which program, which store and what it may ask are the operator's words alone. So a daemon that
 * somebody took over gains what a client of it has: an image is asked for.
 */
#ifndef CWS_LAUNCH_FETCHES_H
#define CWS_LAUNCH_FETCHES_H

#include "launch/options.h"
#include "privproto/handover.h"

struct fetches {
    pid_t pids[HANDOVER_MAX_FETCHES]; /* 0: none */
};

/** fetches_start() - takes @fds, @n of them; their end is the daemon's answer when nothing is started. */
void fetches_start(struct fetches *f, const struct options *options, const int *fds, size_t n);
/** fetches_reaped() - was @pid one of them? */
bool fetches_reaped(struct fetches *f, pid_t pid);

#endif
