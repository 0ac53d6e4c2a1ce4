/* For tests: a client and its target against a scripted peer (testpeer.h), and what most tests do with them. */
#ifndef CWS_CLIENT_TESTWORLD_H
#define CWS_CLIENT_TESTWORLD_H

#include "client/testpeer.h"

#define LONG (30 * NS_PER_SEC) /* only a hang takes that long */

struct world {
    struct peer peer; /* its user is the world */
    struct cws_client *client;
    struct cws_target *target;
};

void world_begin(struct world *w, bool ours, peer_handler handler);
void world_end(struct world *w);
/** world_sandbox() - one that was not started; polls that fail are given up after a second. */
cws_sandbox *world_sandbox(struct world *w);
/** world_basics() - answers Create and Get with a running sandbox; true when the call was one of them. */
bool world_basics(struct peer_call *c);
/** result_of() - waits for the end of @take_op; 0, or the kind of its error. */
cws_error_kind result_of(cws_op *take_op);

#endif
