/*
 * How many forks lie between the first process and this one. A child has none of its parent's threads, so whatever
 * a thread of this library shared is never locked, posted or freed there (the thread may have held anything half-way): each such
 * object keeps the number of when it was made and compares.
 */
#ifndef CWS_CLIENT_FORK_H
#define CWS_CLIENT_FORK_H

#include <stdint.h>

/** fork_watch() - count from now on; once, before the first thread. */
void fork_watch(void);
/** fork_generation() - any thread. */
uint32_t fork_generation(void);

#endif
