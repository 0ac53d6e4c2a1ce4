/*
 * [child] The mounts of one sandbox: its space and its root from a `struct rootfs`, then what the rows of CREATE say, one
 * case each. Everything is done by descriptor: a directory is opened once, and what is made of it, or mounted on it, is that
 * one. Few superblocks on purpose (the kernel keeps a list
 * for each memory cgroup in each superblock, so their product is what grows): one tmpfs, one overlay per real host directory plus
 * the root's, proc, devpts.
 *
 *   /box          tmpfs, or the sandbox's disk: upper work root, upper-usr work-usr ..., tmp, shm, cgroup, volumes
 *   /box/root     overlay; on it: usr (overlay), dev (template, read-only), dev/pts, dev/shm,
 * tmp, proc, sys (template), sys/fs/cgroup (cgroup2, and cgroup of the space over it, both read-only)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "launch/launch.h"
#include "launch/mounttree.h"

/* Chosen: more than a build or a test suite opens at once. The kernel has 3072 for all sandboxes and containers together
 * (kernel.pty.max - kernel.pty.reserve), so one must not take them all. */
#define MAX_TERMINALS "256"
#define SAFE_ATTRIBUTES (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define PROC_ATTRIBUTES (SAFE_ATTRIBUTES | MOUNT_ATTR_NOEXEC)
/* Three digits, a colon: as much as fsconfig(2) takes (256 with the NUL), exactly. */
#define LOWERS_TEXT (LAUNCH_MAX_LAYERS * 4)
#define MAX_LOWER_FD 999
#define BYTES_PER_INODE 4096 /* chosen: a page per file */
#define MIN_INODES 4096
#define SHM_BYTES \
    (UINT64_C(1) << 30) /* beside a disk; chosen: what a root in memory has by default */

struct build {
    const struct engine *e;
    const struct launch_create *create;
    int disk; /* struct disk; -1: none */
    int box;  /* the sandbox's space: LEAN_BOX */
    int root; /* its root: LEAN_BOX "/root" */
    int view; /* LEAN_BOX "/cgroup" */
};

enum mask_how {
    MASK_FILE,      /* /dev/null over it */
    MASK_DIR,       /* an empty directory over it */
    MASK_READ_ONLY, /* itself, read-only */
    MASK_CGROUPS,   /* LEAN_CGROUPS over it */
};

/* Sorted. What a fresh /proc still says about, or does to, the whole machine. */
/* clang-format off */
static const struct {
    const char *name;
    enum mask_how how;
} masks[] = {
    {"acpi", MASK_DIR},            /* machine state */
    {"bus", MASK_READ_ONLY},       /* PCI configuration */
    {"cgroups", MASK_CGROUPS},     /* how many there are; and programs ask which version to look for at /sys/fs/cgroup */
    {"fs", MASK_READ_ONLY},        /* per-filesystem switches */
    {"irq", MASK_READ_ONLY},       /* interrupt affinity */
    {"kcore", MASK_FILE},          /* kernel memory */
    {"keys", MASK_FILE},           /* keyrings are not namespaced */
    {"latency_stats", MASK_FILE},  /* other processes' kernel stacks */
    {"scsi", MASK_DIR},            /* machine state, scsi commands */
    {"sys", MASK_READ_ONLY},       /* sysctls: the sandbox's own were set by launch */
    {"sysrq-trigger", MASK_FILE},  /* reboot */
    {"timer_list", MASK_FILE},     /* kernel addresses, other processes */
};
/* clang-format on */

uint32_t mounts_probe_masks(void)
{
    uint32_t found = 0;

    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%s", masks[i].name);
        if (access(path, F_OK) == 0)
            found |= 1u << i;
    }
    return found;
}

static int open_dir(int from, const char *path)
{
    int fd = openat(from, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* A directory of the sandbox's space that is not there yet. */
static int make_in_space(const struct build *b, const char *name)
{
    return mkdirat(b->box, name, 0755) < 0 ? -errno : open_dir(b->box, name);
}

/* "12:13:14": what overlayfs is to open, from /proc/self/fd. */
static int lowers_text(const struct lower_dirs *dirs, char text[LOWERS_TEXT])
{
    size_t at = 0;

    for (uint32_t i = 0; i < dirs->n; i++) {
        if (dirs->fds[i] > MAX_LOWER_FD)
            return -EMFILE;
        at += (size_t)snprintf(text + at, LOWERS_TEXT - at, "%s%d", i ? ":" : "", dirs->fds[i]);
    }
    return 0;
}

static int set_number(int fs, const char *key, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return fs_set(fs, key, text);
}

/* One overlay, detached: upper and work of @suffix over @dirs. */
static int make_overlay(const struct build *b, const struct lower_dirs *dirs,
                        const char *suffix)
{
    CLEANUP_FD int fs = fs_open("overlay");
    CLEANUP_FD int upper = -1;
    CLEANUP_FD int work = -1;
    char text[LOWERS_TEXT], name[32];
    int r;

    if (fs < 0)
        return fs;
    (void)snprintf(name, sizeof(name), "upper%s", suffix);
    upper = make_in_space(b, name);
    if (upper < 0)
        return upper;
    (void)snprintf(name, sizeof(name), "work%s", suffix);
    work = make_in_space(b, name);
    if (work < 0)
        return work;
    /* The names of descriptors: for overlayfs to open those, on kernels that take only names, too (before Linux 6.13). */
    if (chdir("/proc/self/fd") < 0)
        return -errno;
    r = lowers_text(dirs, text);
    if (r == 0)
        r = fs_set(fs, "lowerdir", text);
    if (r == 0)
        r = set_number(fs, "upperdir", (uint64_t)upper);
    if (r == 0)
        r = set_number(fs, "workdir", (uint64_t)work);
    if (r == 0) /* trusted.* is not ours to write in a user namespace. */
        r = fs_set(fs, "userxattr", NULL);
    if (r == 0 && b->create->root.disk) /* nothing to sync for: a disk is gone after a crash */
        r = fs_set(fs, "volatile", NULL);
    return r < 0 ? r : fs_mount(fs, SAFE_ATTRIBUTES);
}

static int make_memory(const char *mode, uint64_t size_bytes, uint64_t n_inodes)
{
    CLEANUP_FD int fs = fs_open("tmpfs");
    int r = fs < 0 ? fs : fs_set(fs, "mode", mode);

    if (r == 0)
        r = set_number(fs, "size", size_bytes);
    if (r == 0)
        r = set_number(fs, "nr_inodes", n_inodes);
    return r < 0 ? r : fs_mount(fs, SAFE_ATTRIBUTES);
}

static int make_space(struct build *b)
{
    const struct rootfs *root = &b->create->root;
    int r;

    b->box = root->disk ? fcntl(b->disk, F_DUPFD_CLOEXEC, 0)
                        : make_memory("0755", root->size_bytes, root->n_inodes);
    if (b->box < 0)
        return root->disk ? -errno : b->box;
    r = mount_tree_attach(b->box, LEAN_BOX);
    if (r < 0)
        return r;
    (void)umask(0);
    if (mkdirat(b->box, "root", 0755) < 0 || mkdirat(b->box, "tmp", 01777) < 0 ||
        mkdirat(b->box, "shm", 01777) < 0)
        return -errno;
    b->view = make_in_space(b, "cgroup");
    return b->view < 0 ? b->view : 0;
}

/* What a directory shows is what its upper has: the root's owner and mode are those of the topmost layer's. */
static int copy_owner(const struct build *b, int from)
{
    struct stat st;

    if (fstat(from, &st) < 0 || fchownat(b->root, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0)
        return -errno;
    return fchmodat(b->root, ".", st.st_mode & 07777, 0) < 0 ? -errno : 0;
}

static int make_root(struct build *b)
{
    CLEANUP(lowers_done) struct lower_dirs dirs;
    int r = lowers_open(&b->e->lean, &b->create->root, &dirs);

    if (r < 0)
        return r;
    b->root = make_overlay(b, &dirs, "");
    if (b->root < 0)
        return b->root;
    r = mount_tree_attach_at(b->root, b->box, "root");
    return r < 0 || b->create->root.n_layers == 0 ? r : copy_owner(b, dirs.fds[0]);
}

/* A directory of the new root. An image is not ours: links in it are followed as a process inside would follow them, so that
 * they cannot lead out. */
static int open_in_root(const struct build *b, const char *path)
{
    struct open_how how = {
        .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, b->root, path, &how, sizeof(how));

    return fd < 0 ? -errno : fd;
}

/* The same, made where it is missing, with what is above it. */
static int open_target(const struct build *b, const char *path)
{
    CLEANUP_FD int parent = -1;
    char above[LAUNCH_MAX_TARGET]; /* mount_op_valid() proved that it fits */
    char *name;
    int fd = open_in_root(b, path);

    if (fd != -ENOENT)
        return fd;
    (void)snprintf(above, sizeof(above), "%s", path);
    name = strrchr(above, '/');
    *name++ = 0;
    parent = *above ? open_target(b, above) : open_in_root(b, "/");
    if (parent < 0)
        return parent;
    if (mkdirat(parent, name, 0755) < 0)
        return -errno;
    return open_dir(parent, name);
}

static int attach_in_root(const struct build *b, int tree, const char *path)
{
    CLEANUP_FD int target = tree < 0 ? -1 : open_target(b, path);

    if (tree < 0 || target < 0)
        return tree < 0 ? tree : target;
    return mount_tree_attach_at(tree, target, "");
}

/* Read-only, as it was taken, with what is mounted below it. */
static int show_host_dir(const struct build *b, const struct host_dir *dir)
{
    char path[32];

    (void)snprintf(path, sizeof(path), LEAN_HOST "/%s", dir->name);
    CLEANUP_FD int tree = mount_tree_clone_all(AT_FDCWD, path);
    return attach_in_root(b, tree, path + strlen(LEAN_HOST));
}

static int mount_host_dir(const struct build *b, const struct host_dir *dir)
{
    const struct lean_root *lean = &b->e->lean;
    CLEANUP(lowers_done) struct lower_dirs dirs = {0};
    CLEANUP_FD int overlay = -1;
    char path[32], suffix[32];
    int r = lowers_add_layers(&dirs, lean, &b->create->root, dir->name);

    /* A veil has it below itself. */
    if (r == 0 && lean->usr_skel && !dir->veiled && strcmp(dir->name, "usr") == 0)
        r = lowers_add(&dirs, AT_FDCWD, LEAN_USR_SKEL, 0);
    (void)snprintf(path, sizeof(path), LEAN_HOST "/%s", dir->name);
    if (r == 0)
        r = lowers_add(&dirs, AT_FDCWD, path, 0);
    if (r < 0)
        return r;
    (void)snprintf(suffix, sizeof(suffix), "-%s", dir->name);
    overlay = make_overlay(b, &dirs, suffix);
    (void)snprintf(path, sizeof(path), "/%s", dir->name);
    return attach_in_root(b, overlay, path);
}

static int mount_host_dirs(const struct build *b)
{
    for (uint32_t i = 0; i < b->e->lean.n_dirs; i++) {
        const struct host_dir *dir = &b->e->lean.dirs[i];
        int r = !dir->real ? 0 : dir->whole ? show_host_dir(b, dir) : mount_host_dir(b, dir);

        if (r < 0)
            return r;
    }
    return 0;
}

static int make_terminals(const struct id_map *map)
{
    CLEANUP_FD int fs = fs_open("devpts");
    int r = fs < 0 ? fs : fs_set(fs, "ptmxmode", "0666");

    if (r == 0)
        r = fs_set(fs, "mode", "0620");
    if (r == 0)
        r = fs_set(fs, "max", MAX_TERMINALS);
    /* gid 5 is `tty` in the skeleton and in every distribution; only a mapped group can be
     * given. */
    if (r == 0 && map->root)
        r = fs_set(fs, "gid", "5");
    return r < 0 ? r : fs_mount(fs, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

static int mount_dev(const struct build *b, const char *target)
{
    CLEANUP_FD int dev = mount_tree_clone_all(AT_FDCWD, LEAN_DEV);
    CLEANUP_FD int terminals = -1;
    int r = attach_in_root(b, dev, target);

    if (r < 0)
        return r;
    terminals = make_terminals(&b->e->map);
    return terminals < 0 ? terminals : mount_tree_attach_at(terminals, dev, "pts");
}

static int mount_space(const struct build *b, const struct mount_op *op)
{
    /* Memory that is shared by name is memory, wherever files are. */
    bool memory = b->create->root.disk && strcmp(op->source, "shm") == 0;
    CLEANUP_FD int dir = memory ? make_memory("1777", SHM_BYTES, b->create->root.n_inodes)
                                : mount_tree_clone_all(b->box, op->source);

    return attach_in_root(b, dir, op->target);
}

/* Defence in depth beside the filter: whoever got past it still cannot make a user namespace
 * here. */
static void forbid_user_namespaces(int proc)
{
    CLEANUP_FD int fd = openat(proc, "sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)write(fd, "0", 1);
}

/* What is put over one name of /proc, detached. */
static int make_mask(int proc, const char *name, enum mask_how how)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | PROC_ATTRIBUTES};
    CLEANUP_FD int tree = -1;

    switch (how) {
    case MASK_FILE:
        return mount_tree_clone_all(AT_FDCWD, LEAN_DEV "/null");
    case MASK_DIR:
        return mount_tree_clone_all(AT_FDCWD, LEAN_EMPTY);
    case MASK_CGROUPS:
        return mount_tree_clone_all(AT_FDCWD, LEAN_CGROUPS);
    case MASK_READ_ONLY:
        tree = mount_tree_clone_all(proc, name);
        if (tree < 0)
            return tree;
        if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
            return -errno;
        return TAKE_FD(tree);
    }
    return -EINVAL;
}

static int mount_proc(const struct build *b, const char *target)
{
    CLEANUP_FD int fs = fs_open("proc");
    CLEANUP_FD int proc = fs < 0 ? fs : fs_mount(fs, PROC_ATTRIBUTES);
    int r = attach_in_root(b, proc, target);

    if (r < 0)
        return r;
    forbid_user_namespaces(proc);
    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        CLEANUP_FD int mask = -1;

        if (!(b->e->lean.masks & (1u << i)))
            continue;
        mask = make_mask(proc, masks[i].name, masks[i].how);
        r = mask < 0 ? mask : mount_tree_attach_at(mask, proc, masks[i].name);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The JVM believes limits only where a file system of the type is mounted, so there is one, the sandbox's own; what shows is what lies
 * over it, because the limits of our sandboxes are in the files of one version or the other. A kernel that has none of the
 * type goes without. */
static int mount_sys(const struct build *b, const char *target)
{
    CLEANUP_FD int sys = mount_tree_clone_all(AT_FDCWD, LEAN_SYS);
    CLEANUP_FD int files = mount_tree_clone_all(b->view, "");
    CLEANUP_FD int fs = fs_open("cgroup2");
    CLEANUP_FD int cgroup = fs < 0 ? fs : fs_mount(fs, MOUNT_ATTR_RDONLY | PROC_ATTRIBUTES);
    int r = files < 0 ? files : mount_tree_read_only(files);

    if (r == 0)
        r = attach_in_root(b, sys, target);
    if (r == 0 && cgroup >= 0)
        r = mount_tree_attach_at(cgroup, sys, "fs/cgroup");
    return r < 0 ? r : mount_tree_attach_at(files, sys, "fs/cgroup");
}

/* The bytes of a file of the skeleton, a few hundred. */
static int copy_content(const char *from, int to)
{
    CLEANUP_FD int fd = open(from, O_RDONLY | O_CLOEXEC);
    char text[4096]; /* skeleton.c has no larger one of these */
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

    return n < 0 || write(to, text, (size_t)n) != n ? -errno : 0;
}

static int write_file(const struct build *b, const struct mount_op *op)
{
    CLEANUP_FD int dir = -1;
    CLEANUP_FD int fd = -1;
    char above[LAUNCH_MAX_TARGET], from[64];
    char *name;

    (void)snprintf(from, sizeof(from), LEAN_SKEL "/etc/%s", op->source);
    (void)snprintf(above, sizeof(above), "%s", op->target);
    name = strrchr(above, '/');
    *name++ = 0;
    dir = open_target(b, *above ? above : "/");
    if (dir < 0)
        return dir;
    if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
        return -errno;
    fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : copy_content(from, fd);
}

static int make_volume_memory(const struct build *b, const struct mount_op *op)
{
    CLEANUP_FD int point = volume_dir(b->box, op->source);
    CLEANUP_FD int memory =
        point < 0 ? point
                  : make_memory("1777", op->size_bytes,
                                MAX(op->size_bytes / BYTES_PER_INODE, MIN_INODES));

    return memory < 0 ? memory : mount_tree_attach_at(memory, point, "");
}

static int mount_volume(const struct build *b, const struct mount_op *op)
{
    CLEANUP_FD int dir = volume_dir(b->box, op->source);
    CLEANUP_FD int tree = dir < 0 ? dir : mount_tree_clone_all(dir, "");
    int r = tree < 0 || !op->read_only ? 0 : mount_tree_read_only(tree);

    return r < 0 ? r : attach_in_root(b, tree, op->target);
}

/* The engine has attached them in the order of their rows. */
static int mount_dir(const struct build *b, const struct mount_op *op)
{
    CLEANUP_FD int tree = -1;
    uint32_t n = 0;
    char path[32];

    for (const struct mount_op *before = b->create->mounts; before < op; before++)
        n += before->kind == MOUNT_DIR;
    (void)snprintf(path, sizeof(path), LEAN_MACHINE "/%u", n);
    tree = mount_tree_clone_all(AT_FDCWD, path);
    return attach_in_root(b, tree, op->target);
}

static int make_point(const struct build *b, const char *target)
{
    CLEANUP_FD int dir = open_target(b, target);

    return dir < 0 ? dir : 0;
}

/* What makes each safe to grant to a daemon that is not believed. All: we are in namespaces of the sandbox's own, and a
 * target is below its root, so whatever is covered is its own. */
static int do_op(const struct build *b, const struct mount_op *op, const char **ret_stage)
{
    switch (op->kind) {
    case MOUNT_HOST: /* Directories that the engine took at its start, read-only and behind the veil; not named here. */
        *ret_stage = "mount overlay usr";
        return mount_host_dirs(b);
    case MOUNT_DEV: /* The engine's template of six harmless nodes, read-only; terminals are an instance of its own. */
        *ret_stage = "mount dev";
        return mount_dev(b, op->target);
    case MOUNT_SPACE: /* The sandbox may write there anyway; the names are launchproto's, not paths. */
        *ret_stage = op->source[0] == 't' ? "mount tmp" : "mount shm";
        return mount_space(b, op);
    case MOUNT_PROC: /* Of its own process namespace. The masks come with it: there is no row without. */
        *ret_stage = "mount proc";
        return mount_proc(b, op->target);
    case MOUNT_SYS: /* Read-only: the engine's template, its own cgroups, and an empty directory that init alone has a way to write. */
        *ret_stage = "mount sys";
        return mount_sys(b, op->target);
    case MOUNT_POINT: /* A directory in its own layer. */
        *ret_stage = "make mount points";
        return make_point(b, op->target);
    case MOUNT_FILE: /* In its own layer; the text is the same for every sandbox. */
        *ret_stage = "write files of /etc";
        return write_file(b, op);
    case MOUNT_MEMORY: /* Its own, counted against its limit of memory as whatever it writes. */
        *ret_stage = "make volume of memory";
        return make_volume_memory(b, op);
    case MOUNT_VOLUME: /* An empty directory of its space: nothing has run in it that could have put a link there. */
        *ret_stage = "mount volume";
        return mount_volume(b, op);
    case MOUNT_DIR: /* Read-only, and below what the operator listed: the engine looked (machinedirs.c). */
        *ret_stage = "mount host directories";
        return mount_dir(b, op);
    case MOUNT_KIND_MAX:
        break;
    }
    *ret_stage = "mount of an unknown kind";
    return -EINVAL;
}

/* The new root stacked on the old one at the same place, then the old one detached: no
 * directory needed for it. */
static int switch_root(const struct build *b)
{
    if (fchdir(b->root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static void build_done(struct build *b)
{
    cleanup_fd(&b->box);
    cleanup_fd(&b->root);
    cleanup_fd(&b->view);
}

int mounts_build(const struct child_args *args, int *ret_view, const char **ret_stage)
{
    const struct launch_create *create = args->create;
    CLEANUP(build_done)
    struct build b = {.e = args->engine,
                      .create = create,
                      .disk = args->disk_fd,
                      .box = -1,
                      .root = -1,
                      .view = -1};
    int r;

    *ret_stage = "mount propagation";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    *ret_stage = create->root.disk ? "mount disk" : "mount tmpfs";
    r = make_space(&b);
    if (r < 0)
        return r;
    *ret_stage = "mount layers";
    r = make_root(&b);
    if (r < 0)
        return r;
    for (uint32_t i = 0; i < create->n_mounts; i++) {
        r = do_op(&b, &create->mounts[i], ret_stage);
        if (r < 0)
            return r;
    }
    *ret_stage = "pivot_root";
    r = switch_root(&b);
    if (r == 0)
        *ret_view = TAKE_FD(b.view);
    return r;
}
