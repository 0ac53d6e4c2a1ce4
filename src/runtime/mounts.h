/* What is mounted on a sandbox's root: a pure function of the root. */
#ifndef CWS_RUNTIME_MOUNTS_H
#define CWS_RUNTIME_MOUNTS_H

#include "privproto/launchproto.h"

/** mounts_plan() - fills @ret->mounts for @ret->root; the strings are static, but those of @points, directories that shall be there, at
 * most CELL_MAX_POINTS (runtime/cell.h), and of @own (NULL: none), which are borrowed. */
void mounts_plan(struct launch_create *ret, const char *const *points, size_t n_points,
                 const struct mount_list *own);
/** mounts_copy() - rows with their strings, in one allocation for free(). NULL: out of memory. */
struct mount_op *mounts_copy(const struct mount_list *list);

#endif
