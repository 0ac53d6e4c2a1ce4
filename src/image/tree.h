/*
 * Directories whose content is not ours: opened and removed without ever following a link. Linux 5.6 (openat2).
 */
#ifndef CWS_IMAGE_TREE_H
#define CWS_IMAGE_TREE_H

#include "base/macros.h"

#define TREE_DEPTH_MAX \
    256 /* directories above a name. Chosen: walking takes one descriptor a level */

/**
 * tree_open() - open @path below @dir; no component may be a link, none leads out
 * @flags: of open(2); O_CLOEXEC is added. Return: a descriptor or -errno (ELOOP: a link, EXDEV: out).
 */
int tree_open(int dir, const char *path, int flags);
/** tree_remove() - whatever @name in @dir is, with all below; 0 also when it is not there, or -errno. */
int tree_remove(int dir, const char *name);

#endif
