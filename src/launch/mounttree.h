/* Mounts by descriptor: clones of trees, new file systems; detached until they are attached. Nothing here allocates. */
#ifndef CWS_LAUNCH_MOUNTTREE_H
#define CWS_LAUNCH_MOUNTTREE_H

#include "base/macros.h"

/** mount_tree_clone() - a descriptor of a detached clone of the mount at @path; with everything mounted below it, where a
 * user namespace lets none be left out: *ret_whole, if it is not NULL. */
int mount_tree_clone(const char *path, bool *ret_whole);
/** mount_tree_clone_all() - with everything mounted below it; @path from @dir. */
int mount_tree_clone_all(int dir, const char *path);
/** mount_tree_restrict() - read-only, no devices, no setuid; owners shifted when @userns_fd >= 0. *ret_idmap: whether
 * that worked. */
int mount_tree_restrict(int tree, int userns_fd, bool *ret_idmap);
/** mount_tree_read_only() - devices in it work on. */
int mount_tree_read_only(int tree);
/** mount_tree_attach() - at the path @at, which exists. */
int mount_tree_attach(int tree, const char *at);
/** mount_tree_attach_at() - the same at @path from @dir; "": at @dir itself. A link in the last place is not followed. */
int mount_tree_attach_at(int tree, int dir, const char *path);

/** fs_open() - a file system of type @name that is being configured. */
int fs_open(const char *name);
/** fs_set() - @value NULL: an option without one. */
int fs_set(int fs, const char *key, const char *value);
/** fs_mount() - made and mounted, detached, with MOUNT_ATTR_ @attributes. */
int fs_mount(int fs, unsigned attributes);

#endif
