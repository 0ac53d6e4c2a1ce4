/* Questions in, on to a server, and what it says back to who asked; see query.h. */
#ifndef CWS_RESOLVE_FORWARD_H
#define CWS_RESOLVE_FORWARD_H

#include "resolve/query.h"

/** forward_init() - waits for questions, too. -errno. */
int forward_init(struct resolver *r);
/** forward_turn() - waits for something, does all of it. 0; -EPIPE: the engine is gone; -ESTALE: another
 * process should ask other servers. */
int forward_turn(struct resolver *r);

#endif
