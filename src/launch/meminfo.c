/*
 * /proc/meminfo of a sandbox that is given a memory limit: a file system of one file, mounted over the machine's, whose content its
 * init says (init/meminfo.c). Only then, and once; sandboxes without a limit have the machine's, and cost nothing.
 *
 * We enter the sandbox's mount namespace for that. Nothing there can be moved under us: nobody inside may mount, and what is
 * mounted cannot be renamed; that /proc is a proc is looked at all the same. No request is waited for: the root of the file system
 * is the file, so there is no name to be looked up, and its first request is the kernel's own. Not to be executed: init stands still
 * until an execve of its child is done.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "launch/cell.h"
#include "launch/mounttree.h"

#define FILE_MODE "100444" /* octal: a regular file */

int meminfo_open_device(void)
{
    return open("/dev/fuse", O_PATH | O_CLOEXEC);
}

static int set_id(int fs, const char *key, uint32_t id)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", id);
    return fs_set(fs, key, text);
}

/* Detached; *ret_server: the end that answers. */
static int make_file(const struct engine *e, int *ret_server)
{
    uint32_t owner = e->map.root ? e->map.base : 0;
    CLEANUP_FD int server = -1;
    CLEANUP_FD int fs = -1;
    char path[40];
    int r;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", e->fuse_fd);
    server = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC); /* each opening is one of its own */
    if (server < 0)
        return -errno;
    fs = fs_open("fuse");
    if (fs < 0)
        return fs;
    r = set_id(fs, "fd", (uint32_t)server);
    if (r == 0)
        r = fs_set(fs, "rootmode", FILE_MODE);
    if (r == 0)
        r = set_id(fs, "user_id", owner);
    if (r == 0)
        r = set_id(fs, "group_id", owner);
    if (r == 0)
        r = fs_set(fs, "allow_other", NULL);
    if (r == 0)
        r = fs_mount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                             MOUNT_ATTR_NOEXEC);
    if (r >= 0)
        *ret_server = TAKE_FD(server);
    return r;
}

/* In the sandbox's mount namespace. */
static int cover(int file)
{
    CLEANUP_FD int proc = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct statfs fs;

    if (proc < 0 || fstatfs(proc, &fs) < 0)
        return -errno;
    return fs.f_type == PROC_SUPER_MAGIC ? mount_tree_attach_at(file, proc, "meminfo")
                                         : -EINVAL;
}

static int cover_inside(pid_t pid, int file)
{
    CLEANUP_FD int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    CLEANUP_FD int inside = -1;
    char path[40];
    int r;

    (void)snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
    inside = open(path, O_RDONLY | O_CLOEXEC);
    if (own < 0 || inside < 0 || setns(inside, CLONE_NEWNS) < 0)
        return -errno;
    r = cover(file);
    CHECK(setns(own, CLONE_NEWNS) == 0); /* also takes us to its root directory */
    return r;
}

int meminfo_show(const struct engine *e, struct cell *cell, int *ret_server)
{
    CLEANUP_FD int server = -1;
    CLEANUP_FD int file = -1;
    int r;

    if (e->fuse_fd < 0 || cell->has_meminfo)
        return -ENOTSUP;
    cell->has_meminfo =
        true; /* also one that could not be: it will not be better the next time */
    file = make_file(e, &server);
    if (file < 0)
        return file;
    r = cover_inside(cell->pid, file);
    if (r == 0)
        *ret_server = TAKE_FD(server);
    return r;
}
