/*
 * The service's main process: parent of the engine (which makes sandboxes) and of the daemon (which talks to strangers).
 * It stays in the machine's own namespaces, holds what both need to be started again, and reads nothing but single bytes
 * of the daemon's.
 */
#ifndef CWS_LAUNCH_SUPERVISE_H
#define CWS_LAUNCH_SUPERVISE_H

#include "launch/launch.h"

/**
 * supervise() - run the service until it is over
 * @engine: the engine's main function, called in a child of ours with its options
 * Returns the exit status.
 */
int supervise(const struct options *options, int (*engine)(const struct options *options));

#endif
