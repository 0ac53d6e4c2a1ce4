/* Detached clones of the machine's mounts: taken while they are visible, attached in launch's own root. */
#ifndef CWS_LAUNCH_MOUNTTREE_H
#define CWS_LAUNCH_MOUNTTREE_H

#include "base/macros.h"

/** mount_tree_clone() - a descriptor of a detached clone of the mount at @path. */
int mount_tree_clone(const char *path);
/** mount_tree_restrict() - read-only, no devices, no setuid; owners shifted when @userns_fd >= 0. *ret_idmap: whether
 * that worked. */
int mount_tree_restrict(int tree, int userns_fd, bool *ret_idmap);
/** mount_tree_attach() - at the path @at, which exists. */
int mount_tree_attach(int tree, const char *at);

#endif
