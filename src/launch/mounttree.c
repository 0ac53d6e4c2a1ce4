/* The mounts of mounttree.h, through the descriptor-based mount interface. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch/mounttree.h"

int mount_tree_clone_all(int dir, const char *path)
{
    int fd = (int)syscall(SYS_open_tree, dir, path,
                          OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);

    return fd < 0 ? -errno : fd;
}

int mount_tree_clone(const char *path, bool *ret_whole)
{
    int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    bool whole = fd < 0 && errno == EINVAL;

    if (ret_whole)
        *ret_whole = whole;
    if (whole)
        return mount_tree_clone_all(AT_FDCWD, path);
    return fd < 0 ? -errno : fd;
}

int mount_tree_attach_at(int tree, int dir, const char *path)
{
    int r = (int)syscall(SYS_move_mount, tree, "", dir, path,
                         MOVE_MOUNT_F_EMPTY_PATH | (*path ? 0 : MOVE_MOUNT_T_EMPTY_PATH));

    return r < 0 ? -errno : 0;
}

int mount_tree_attach(int tree, const char *at)
{
    return mount_tree_attach_at(tree, AT_FDCWD, at);
}

int fs_open(const char *name)
{
    int fs = (int)syscall(SYS_fsopen, name, FSOPEN_CLOEXEC);

    return fs < 0 ? -errno : fs;
}

int fs_set(int fs, const char *key, const char *value)
{
    unsigned command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;

    return syscall(SYS_fsconfig, fs, command, key, value, 0) < 0 ? -errno : 0;
}

int fs_mount(int fs, unsigned attributes)
{
    int mount;

    if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
    return mount < 0 ? -errno : mount;
}

int mount_tree_read_only(int tree)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};

    return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr,
                   sizeof(attr)) < 0
               ? -errno
               : 0;
}

int mount_tree_restrict(int tree, int userns_fd, bool *ret_idmap)
{
    struct mount_attr attr = {.attr_set =
                                  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};

    *ret_idmap = false;
    if (userns_fd >= 0) {
        attr.attr_set |= MOUNT_ATTR_IDMAP;
        attr.userns_fd = (uint64_t)userns_fd;
        if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0) {
            *ret_idmap = true;
            return 0;
        }
        attr.attr_set &= ~(
            uint64_t)MOUNT_ATTR_IDMAP; /* a file system without idmap: owners show as nobody */
        attr.userns_fd = 0;
    }
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr,
                sizeof(attr)) < 0)
        return -errno;
    return 0;
}
