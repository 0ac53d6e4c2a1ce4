/*
 * Directories of the machine that one sandbox was given (MOUNT_DIR): those below what the operator listed, and only then.
 *
 * The engine has left the machine's file system. So it keeps a descriptor of the mount namespace it came from, when there is
 * a list, and enters that for the moment in which it opens a directory. What it takes is a clone, read-only, without devices
 * and setuid, and it waits at LEAN_MACHINE/0, 1... while the child is cloned, so that the kernel locks these attributes
 * in the child's user namespace. Nothing of it stays: the next clone(2) copies no mount of another sandbox.
 *
 * Links: the path of the list is the operator's and is followed as it is; what comes behind is the caller's and does not
 * leave it, by no link and no "..".
 *
 * Owners, as root: none of the machine's is mapped, and by an idmapped mount none is known. So nobody inside owns anything, each
 * gets what the mode gives to others, whatever capabilities they have, and writing is refused by the kernel before it looks
 * at modes: also to a socket or a FIFO, which a read-only mount alone would let through. A file system that cannot
 * be idmapped has the mode and the mount alone. An ordinary user's are that user's inside, and no further.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "launch/launch.h"
#include "launch/mounttree.h"

/* No file system has files of it: the last one that a file can have. */
#define UNUSED_ID (UINT32_MAX - 2)

int machine_keep(struct machine *m, const struct options *options, const struct id_map *map)
{
    if (options->n_machine_dirs == 0)
        return 0;
    /* The namespace that a user is in belongs to the machine's root; so the user has a copy, in which mounts and unmounts
     * of the machine show. */
    if (!map->root &&
        (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0))
        return -errno;
    m->home = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (m->home < 0)
        return -errno;
    if (map->root)
        m->nobody = userns_open_single(UNUSED_ID, map->base);
    return 0;
}

int machine_make_points(void)
{
    if (mkdir(LEAN_MACHINE + 1, 0755) < 0)
        return -errno;
    for (uint32_t i = 0; i < MACHINE_DIRS_MAX; i++) {
        char path[32];

        (void)snprintf(path, sizeof(path), LEAN_MACHINE "/%u", i);
        if (mkdir(path + 1, 0755) < 0)
            return -errno;
    }
    return 0;
}

/* @path, that the list has, or a directory above it has. */
static int open_listed(const struct options *options, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC};

    for (size_t i = 0; i < options->n_machine_dirs; i++) {
        const char *above = options->machine_dirs[i];
        const char *rest = machine_path_below(path, above);
        CLEANUP_FD int dir = -1;
        int fd;

        if (!rest)
            continue;
        dir = open(above, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
            return -errno;
        if (!*rest)
            return TAKE_FD(dir);
        how.resolve = RESOLVE_NO_MAGICLINKS | (above[1] ? RESOLVE_BENEATH : RESOLVE_IN_ROOT);
        fd = (int)syscall(SYS_openat2, dir, rest, &how, sizeof(how));
        if (fd < 0) /* EXDEV: a link leads out, to what is not listed */
            return errno == EXDEV ? -EPERM : -errno;
        return fd;
    }
    return -EPERM;
}

static int restrict_tree(int tree, int nobody)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                          MOUNT_ATTR_NODEV | MOUNT_ATTR_IDMAP,
                              .propagation = MS_PRIVATE,
                              .userns_fd = (uint64_t)nobody};
    unsigned flags = AT_EMPTY_PATH | AT_RECURSIVE;

    if (nobody >= 0 && syscall(SYS_mount_setattr, tree, "", flags, &attr, sizeof(attr)) == 0)
        return 0;
    attr.attr_set &= ~(uint64_t)MOUNT_ATTR_IDMAP;
    attr.userns_fd = 0;
    return syscall(SYS_mount_setattr, tree, "", flags, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

/* In the machine's namespace. */
static int take_tree(const struct engine *e, const char *path)
{
    CLEANUP_FD int dir = open_listed(e->options, path);
    CLEANUP_FD int tree = dir < 0 ? dir : mount_tree_clone_all(dir, "");
    int r;

    if (tree < 0)
        return tree;
    r = restrict_tree(tree, e->machine.nobody);
    return r < 0 ? r : TAKE_FD(tree);
}

static int attach_one(struct engine *e, const char *path)
{
    CLEANUP_FD int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    CLEANUP_FD int tree = -1;
    char point[32];
    int r;

    if (own < 0)
        return -errno;
    if (setns(e->machine.home, CLONE_NEWNS) < 0)
        return -errno;
    tree = take_tree(e, path);
    CHECK(setns(own, CLONE_NEWNS) == 0); /* also takes us to its root directory */
    if (tree < 0)
        return tree;
    (void)snprintf(point, sizeof(point), LEAN_MACHINE "/%u", e->machine.n_attached);
    r = mount_tree_attach(tree, point);
    e->machine.n_attached += r == 0;
    return r;
}

/* Of a long path its end. */
static const char *name_stage(struct machine *m, const char *path)
{
    size_t n = strlen(path), room = sizeof(m->stage) - sizeof("host directory `...`");

    (void)snprintf(m->stage, sizeof(m->stage), "host directory `%s%s`", n > room ? "..." : "",
                   n > room ? path + n - room : path);
    return m->stage;
}

int machine_attach(struct engine *e, const struct launch_create *create, const char **ret_stage)
{
    for (uint32_t i = 0; i < create->n_mounts; i++) {
        const struct mount_op *op = &create->mounts[i];
        int r;

        if (op->kind != MOUNT_DIR)
            continue;
        *ret_stage = name_stage(&e->machine, op->source);
        r = e->machine.home < 0 ? -EPERM : attach_one(e, op->source);
        if (r < 0)
            return r;
    }
    return 0;
}

void machine_detach(struct engine *e)
{
    while (e->machine.n_attached > 0) {
        char point[32];

        (void)snprintf(point, sizeof(point), LEAN_MACHINE "/%u", --e->machine.n_attached);
        CHECK(umount2(point, MNT_DETACH) == 0); /* or the next sandbox would have it */
    }
}

void machine_done(struct machine *m)
{
    cleanup_fd(&m->home);
    cleanup_fd(&m->nobody);
}
