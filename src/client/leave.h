/* What has to go from the service before a program may end: stops under way, and sandboxes whose start was cancelled. */
#ifndef CWS_CLIENT_LEAVE_H
#define CWS_CLIENT_LEAVE_H

#include "client/sandbox.h"

/* ---- start.c ---- */
/** sandbox_abandon() - [loop] one that waited for the start was cancelled. When nobody else wants what it makes, or has it
 * already, it is stopped; who asks for it before the service has answered the create has it as if nothing had happened. */
void sandbox_abandon(struct cws_sandbox *sb);
/** sandbox_reclaim() - [loop] it is wanted after all, or a stop has taken it over. */
void sandbox_reclaim(struct cws_sandbox *sb);

/* ---- stop.c ---- */
/** stop_unwanted() - [loop] stop an abandoned one at once; nobody hears how it went. */
void stop_unwanted(struct cws_sandbox *sb);

/* ---- leave.c ---- */
/** leave_began() / leave_ended() - [loop] one more, one less, that has to go from the service
 * before the program may. */
void leave_began(struct cws_client *client);
void leave_ended(struct cws_client *client);

#endif
