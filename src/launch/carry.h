/* What an engine leaves to the program that takes its place (table.h): sandboxes, and what must stay the same while they live. All
 * else is made anew: the lean root, disks' template, namespaces kept ready. */
#ifndef CWS_LAUNCH_CARRY_H
#define CWS_LAUNCH_CARRY_H

#include "launch/cell.h"
#include "launch/table.h"

/** carry_put() - all of @e, in which nothing is under way. 0 or -ENOMEM. */
int carry_put(struct table *t, struct engine *e);
/** carry_get_engine() - the first record: what engine_start() needs to know of @ret. */
int carry_get_engine(struct table *t, struct engine *ret);
/** carry_get_cells() - the rest, into an engine that has started. 0, -EBADMSG, -ENOMEM. */
int carry_get_cells(struct table *t, struct engine *e);

#endif
