/*
 * Waiting for a sandbox's figures before a message tells them.
 */
#ifndef CWS_SERVER_USAGE_WAIT_H
#define CWS_SERVER_USAGE_WAIT_H

#include "runtime/usage.h"

struct usage_wait;
/** usage_wait_new() - @done later, once, with new figures or without. NULL: there is nothing to wait for. */
struct usage_wait *usage_wait_new(struct sandbox *sb, void (*done)(void *user), void *user);
/** usage_wait_cancel() - @done does not come any more. NULL: nothing. */
void usage_wait_cancel(struct usage_wait *w);

#endif
