/*
 * The lean root: launch's own root directory, one small read-only tmpfs with only what
 * sandboxes are made from. Every clone(CLONE_NEWNS) copies the mounts of its parent, so a
 * host's hundred mounts would cost each sandbox 0.3 ms (measured on Linux 6.18). It is also
 * a wall: a child that escapes its own root finds nothing of the host but the read-only /usr it
 * had anyway.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/util.h"
#include "launch/launch.h"
#include "launch/mounttree.h"

/* clang-format off */
static const struct {
    const char *name;
    unsigned minor; /* of character device 1, or 5 for tty */
} dev_nodes[] = {
    {"full", 7}, {"null", 3}, {"random", 8}, {"tty", 0}, {"urandom", 9}, {"zero", 5},
};

static const char *const dev_links[][2] = {
    {"/proc/self/fd", "fd"}, {"pts/ptmx", "ptmx"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
    {"/proc/self/fd/2", "stderr"},
};
/* clang-format on */

/* Detached clones of host trees, taken before the state directory is covered. */
struct trees {
    int images, proc;
    int dev[ARRAY_SIZE(dev_nodes)];
};

/* Our own directory, or else somebody could put there what they like. */
static int open_images(const char *path)
{
    CLEANUP_FD int fd = -1;
    struct stat st;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    return st.st_uid == geteuid() ? TAKE_FD(fd) : -EPERM;
}

static int take_images(struct lean_root *lean, struct trees *trees, int userns_fd,
                       const struct options *options)
{
    CLEANUP_FD int dir = -1;
    char path[PATH_MAX];
    int r;

    if ((size_t)snprintf(path, sizeof(path), "%s%s",
                         options->images_dir ? options->images_dir : options->state_dir,
                         options->images_dir ? "" : "/images") >= sizeof(path))
        return -ENAMETOOLONG;
    dir = open_images(path);
    if (dir < 0)
        return dir;
    trees->images = mount_tree_clone_all(dir, "");
    if (trees->images < 0)
        return trees->images;
    lean->images = true;
    r = mount_tree_restrict(trees->images, userns_fd, &lean->images_owned);
    lean->images_owned = lean->images_owned || userns_fd < 0;
    return r;
}

static int take_dev_nodes(struct trees *trees)
{
    for (size_t i = 0; i < ARRAY_SIZE(dev_nodes); i++) {
        char path[32];

        (void)snprintf(path, sizeof(path), "/dev/%s", dev_nodes[i].name);
        trees->dev[i] = mount_tree_clone(path, NULL);
        if (trees->dev[i] < 0)
            return trees->dev[i];
        /* The times of a node that a user has bound are the machine's. */
        int r = mount_tree_read_only(trees->dev[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Below the current directory. As root the nodes are made; a user binds the host's. */
static int build_dev(const struct trees *trees, const struct id_map *map)
{
    for (size_t i = 0; i < ARRAY_SIZE(dev_nodes); i++) {
        unsigned major = strcmp(dev_nodes[i].name, "tty") == 0 ? 5 : 1;
        mode_t type = map->root ? S_IFCHR : S_IFREG;
        char path[32];
        int r;

        (void)snprintf(path, sizeof(path), "dev/%s", dev_nodes[i].name);
        if (mknod(path, type | 0666, map->root ? makedev(major, dev_nodes[i].minor) : 0) < 0)
            return -errno;
        if (map->root) {
            r = chown(path, map->base, map->base) < 0 ? -errno : 0;
        } else {
            r = mount_tree_attach(trees->dev[i], path);
        }
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < ARRAY_SIZE(dev_links); i++) {
        char path[32];

        (void)snprintf(path, sizeof(path), "dev/%s", dev_links[i][1]);
        if (symlink(dev_links[i][0], path) < 0)
            return -errno;
        if (map->root && lchown(path, map->base, map->base) < 0)
            return -errno;
    }
    return 0;
}

static int make_dir(const char *path, const struct id_map *map)
{
    if (mkdir(path, 0755) < 0)
        return -errno;
    /* What sandboxes see must have an owner that is mapped in them. */
    return map->root && chown(path, map->base, map->base) < 0 ? -errno : 0;
}

static int make_dirs(const struct lean_root *lean, const struct id_map *map)
{
    static const char *const dirs[] = {"skel",   "usr-skel", "host",    "raw",
                                       "dev",    "dev/pts",  "dev/shm", "empty",
                                       "images", "box",      "proc",    "tmp"};

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        int r = make_dir(dirs[i], map);

        if (r < 0)
            return r;
    }
    for (uint32_t i = 0; i < lean->n_dirs; i++) {
        char path[32];
        int r;

        if (!lean->dirs[i].real)
            continue;
        (void)snprintf(path, sizeof(path), "host/%s", lean->dirs[i].name);
        r = make_dir(path, map);
        if (r < 0)
            return r;
        (void)snprintf(path, sizeof(path), "raw/%s", lean->dirs[i].name);
        r = make_dir(path, map);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What is the same in every sandbox of what looks like a machine with cgroups of version 2 alone (mounts.c). The rest of /sys is
 * links to what a sandbox's init writes (init/view.c); they lead nowhere as long as it is not limited. */
static int write_sys(const struct id_map *map)
{
    static const char *const dirs[] = {"sys",
                                       "sys/fs",
                                       "sys/fs/cgroup",
                                       "sys/devices",
                                       "sys/devices/system",
                                       "sys/devices/system/cpu"};
    static const char *const files[][2] = {
        {"cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpuset\t0\t1\t1\n"
                    "cpu\t0\t1\t1\ncpuacct\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\n"},
        {"sys/fs/cgroup.controllers", "cpuset cpu memory pids\n"},
        {"sys/fs/memory.soft_limit_in_bytes", "9223372036854771712\n"}, /* none */
    };
    static const char *const cpus[] = {"online", "possible", "present"};
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(dirs); i++)
        r = make_dir(dirs[i], map);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(files); i++) {
        CLEANUP_FD int fd = open(files[i][0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

        r = fd < 0 ? -errno : fd_write_all(fd, files[i][1], strlen(files[i][1]));
    }
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(cpus); i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "sys/devices/system/cpu/%s", cpus[i]);
        if (symlink("/sys/fs/cgroup/cpuset.cpus.effective", path) < 0)
            r = -errno;
    }
    return r;
}

/*
 * Whether a tmpfs keeps user.* attributes (since Linux 6.6). Overlayfs marks a directory that
 * hides one below it with such an attribute; without, it refuses to make the mark (EIO).
 */
static bool probe_user_xattr(const char *dir)
{
    return setxattr(dir, "user.cwsandbox", "", 0, 0) == 0 &&
           removexattr(dir, "user.cwsandbox") == 0;
}

static int attach_trees(const struct lean_root *lean, const struct trees *trees)
{
    int r = mount_tree_attach(trees->proc, "proc");

    if (r == 0 && lean->images)
        r = mount_tree_attach(trees->images, "images");
    return r;
}

/*
 * As root the skeleton is written under the sandboxes' own root user: the files then belong to
 * it, and what an unprivileged user of this machine cannot read is not copied.
 */
static int write_skeletons(struct lean_root *lean, const struct id_map *map)
{
    int r;

    if (map->root) {
        (void)setfsgid(map->base);
        (void)setfsuid(map->base);
        CHECK(setfsuid((uid_t)-1) == (int)map->base);
    }
    r = skeleton_write("skel", lean);
    if (r == 0)
        r = skeleton_write_usr("usr-skel", &lean->usr_skel);
    if (r == 0)
        r = own_libs_write(&lean->libs, "usr-skel", map);
    if (r > 0)
        lean->usr_skel = true;
    if (map->root) {
        (void)setfsuid(0);
        (void)setfsgid(0);
        CHECK(setfsuid((uid_t)-1) == 0);
    }
    return r < 0 ? r : 0;
}

static int enter(void)
{
    if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    /* Children bind parts of this mount; read-only here is read-only (and locked) there. */
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID, NULL) < 0
               ? -errno
               : 0;
}

static int take_trees(struct lean_root *lean, struct trees *trees, const struct id_map *map,
                      const struct options *options)
{
    CLEANUP_FD int userns_fd = -1;
    int r;

    if (map->root) {
        userns_fd = userns_open_mapped(map);
        if (userns_fd < 0)
            return userns_fd;
    }
    r = host_dirs_take(lean, userns_fd);
    if (r == 0)
        r = take_images(lean, trees, userns_fd, options);
    if (r == 0 && !map->root)
        r = take_dev_nodes(trees);
    if (r == 0) {
        /* Whole and uncovered: the kernel lets a user namespace mount a fresh proc only where
         * one is visible. */
        trees->proc = (int)syscall(SYS_open_tree, AT_FDCWD, "/proc",
                                   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
        r = trees->proc < 0 ? -errno : 0;
    }
    return r;
}

static void trees_done(struct trees *trees)
{
    cleanup_fd(&trees->images);
    cleanup_fd(&trees->proc);
    for (size_t i = 0; i < ARRAY_SIZE(trees->dev); i++)
        cleanup_fd(&trees->dev[i]);
}

int lean_root_build(struct lean_root *lean, struct machine *machine, const struct id_map *map,
                    const struct options *options, const char **ret_stage)
{
    CLEANUP(trees_done) struct trees trees;
    int r;

    memset(&trees, -1, sizeof(trees));
    *ret_stage = "host directories";
    r = machine_keep(machine, options, map);
    if (r < 0)
        return r;
    *ret_stage = "private mount namespace";
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    *ret_stage = "clone host directories";
    r = take_trees(lean, &trees, map, options);
    if (r < 0)
        return r;
    *ret_stage = "mount lean root";
    (void)umask(0);
    /* Groups of whoever started us: the veils (hostdirs.c) are mounted without, and nothing here needs one. */
    if (map->root && setgroups(0, NULL) < 0)
        return -errno;
    if (mount("cwsandbox", options->state_dir, "tmpfs", MS_NOSUID, "mode=0755,size=64m") < 0 ||
        chdir(options->state_dir) < 0)
        return -errno;
    r = make_dirs(lean, map);
    if (r == 0)
        r = machine_make_points();
    if (r == 0)
        r = write_sys(map);
    if (r < 0)
        return r;
    lean->user_xattr = probe_user_xattr("skel");
    *ret_stage = "attach trees";
    r = attach_trees(lean, &trees);
    if (r < 0)
        return r;
    *ret_stage = "make devices";
    r = build_dev(&trees, map);
    if (r < 0)
        return r;
    *ret_stage = "write skeleton";
    r = write_skeletons(lean, map);
    if (r < 0)
        return r;
    *ret_stage = "enter lean root";
    r = enter();
    if (r < 0)
        return r;
    *ret_stage = "show host directories";
    r = host_dirs_show(lean, map);
    if (r < 0)
        return r;
    lean->masks = mounts_probe_masks();
    return 0;
}
