/* What is mounted on a sandbox's root: a pure function of the root. */
#ifndef CWS_RUNTIME_MOUNTS_H
#define CWS_RUNTIME_MOUNTS_H

#include "privproto/launchproto.h"

/** mounts_plan() - fills @ret->mounts for @ret->root; the strings are static, but @working_dir (NULL: none), which is borrowed. */
void mounts_plan(struct launch_create *ret, const char *working_dir);

#endif
