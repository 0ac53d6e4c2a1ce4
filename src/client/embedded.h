/*
 * The embedded service: where this user's cwsandboxd listens, and starting it when nobody does.
 *
 * embedded_socket_path() is cheap. embedded_ensure() BLOCKS (fork, exec, wait for the service's ready line, at most
 * EMBEDDED_START_TIMEOUT_NS) and belongs on libuv's pool, never on the loop. Safe when several processes or threads race: the
 * service itself holds a lock file, the loser reports "running" and everybody connects to the winner.
 */
#ifndef CWS_CLIENT_EMBEDDED_H
#define CWS_CLIENT_EMBEDDED_H

#include "base/err.h"

#define EMBEDDED_START_TIMEOUT_NS \
    (15ULL * 1000000000ULL) /* chosen: cold start takes 50-300 ms here */

/** embedded_socket_path() - *@ret is heap. ERR_FAILED_PRECONDITION when the directory belongs to somebody else or is a link. */
int embedded_socket_path(char **ret, struct err *err);
/** embedded_ensure() - start the service unless one holds the lock. Errors: ERR_UNAVAILABLE with the service's own text. */
int embedded_ensure(struct err *err);

#endif
