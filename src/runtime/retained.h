/*
 * Which ended sandboxes go when too much of them is kept: by number, by memory, or by what their
 * logs take of the disk. Those of the owners that keep most go, the oldest first: an owner that
 * keeps less than an equal part loses none for the sake of others.
 */
#ifndef CWS_RUNTIME_RETAINED_H
#define CWS_RUNTIME_RETAINED_H

#include "runtime/room.h"

/** retained_is_too_much() - is a cap passed by something that can go? */
bool retained_is_too_much(const struct runtime *rt);
/** retained_trim() - to a sixteenth below each cap that is passed. Not from inside of what a log or a sandbox reports: they
 * may be gone after it. */
void retained_trim(struct runtime *rt);
/** retained_level() - the most that each of @n may keep so that all together keep @target; UINT64_MAX: they do. Sorts
 * @totals. */
uint64_t retained_level(uint64_t *totals, size_t n, uint64_t target);

#endif
