/*
 * Channels straight to sandboxes: who takes the same one shares its connection. What nobody uses is kept for the next one,
 * up to a number; the least recently used goes first, and never one that is in use. Thread: the loop's.
 */
#ifndef CWS_CLIENT_PLANE_POOL_H
#define CWS_CLIENT_PLANE_POOL_H

#include "client/conn.h"
#include "client/plane-credential.h"

#define CHANNELS_MAX_IDLE 64u /* as the published client */

/** channel_take() - until channel_give_back(). NULL with @err set. */
struct conn *channel_take(struct cws_client *client, const struct credential *c,
                          struct err *err);
/** channel_give_back() - @usable false: nobody takes it any more. */
void channel_give_back(struct conn *channel, bool usable);
/** channel_forget() - its credential is gone: who uses it keeps it, then it is closed. */
void channel_forget(struct cws_client *client, const struct credential *c);

#endif
