/*
 * What the operator left open, made from where we run: programs, data directory, names. All
 * strings are the caller's.
 */
#ifndef CWS_SERVER_PATHS_H
#define CWS_SERVER_PATHS_H

#include "server/options.h"

#define PATHS_DEFAULT_SOCKET_DIR "/run/cwsandbox"
#define PATHS_DEFAULT_LISTEN "unix://" PATHS_DEFAULT_SOCKET_DIR "/cwsandboxd.sock"

/**
 * paths_fill() - set launch_path, init_path, data_dir, service_name, runner_id and listen where
 * @o has none The data directory is made. Errors: FAILED_PRECONDITION naming what is missing.
 */
int paths_fill(struct options *o, struct err *err);
/** paths_lock_data() - one service per data directory: a lock on DIR/lock for life. Returns the
 * descriptor, or -1. */
int paths_lock_data(const struct options *o, struct err *err);

#endif
