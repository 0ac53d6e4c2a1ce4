/* What is mounted on a sandbox's root: a pure function of the root. */
#ifndef CWS_RUNTIME_MOUNTS_H
#define CWS_RUNTIME_MOUNTS_H

#include "privproto/launchproto.h"

/** mounts_plan() - fills @ret->mounts for @ret->root; the strings are static, but @working_dir (NULL: none) and those of @own (NULL: none),
 * which are borrowed. */
void mounts_plan(struct launch_create *ret, const char *working_dir,
                 const struct mount_list *own);
/** mounts_copy() - rows with their strings, in one allocation for free(). NULL: out of memory. */
struct mount_op *mounts_copy(const struct mount_list *list);

#endif
