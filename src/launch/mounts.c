/*
 * [child] The mounts of one sandbox. Few superblocks on purpose (the kernel keeps a list
 * for each memory cgroup in each superblock, so their product is what grows): one tmpfs, one overlay per real host directory plus
 * the root's, proc, devpts.
 *
 *   /box          tmpfs: upper work root, upper-usr work-usr ..., tmp, shm
 *   /box/root     overlay; on it: usr (overlay), dev (template, read-only), dev/pts, dev/shm,
 * tmp, proc
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "launch/launch.h"

/* Chosen: more than a build or a test suite opens at once. The kernel has 3072 for all sandboxes and containers together
 * (kernel.pty.max - kernel.pty.reserve), so one must not take them all. */
#define DEVPTS "newinstance,ptmxmode=0666,mode=0620,max=256"
#define SAFE_FLAGS (MS_NOSUID | MS_NODEV)

enum mask_how {
    MASK_FILE,      /* /dev/null over it */
    MASK_DIR,       /* an empty directory over it */
    MASK_READ_ONLY, /* itself, read-only */
};

/* Sorted. What a fresh /proc still says about, or does to, the whole machine. */
/* clang-format off */
static const struct {
    const char *name;
    enum mask_how how;
} masks[] = {
    {"acpi", MASK_DIR},            /* machine state */
    {"bus", MASK_READ_ONLY},       /* PCI configuration */
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

static int mount_bind(const char *from, const char *to)
{
    return mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno : 0;
}

/* Directories of the sandbox's tmpfs; @suffix "" for the root overlay. */
static int make_overlay_dirs(const char *suffix)
{
    char path[64];

    (void)snprintf(path, sizeof(path), LEAN_BOX "/upper%s", suffix);
    if (mkdir(path, 0755) < 0)
        return -errno;
    (void)snprintf(path, sizeof(path), LEAN_BOX "/work%s", suffix);
    return mkdir(path, 0755) < 0 ? -errno : 0;
}

/* One overlay: upper and work of @suffix over @lowers ("lowerdir=..."), mounted at @target. */
static int mount_overlay(const char *lowers, const char *suffix, const char *target)
{
    char text[4096]; /* the kernel copies at most one page */
    int n, r = make_overlay_dirs(suffix);

    if (r < 0)
        return r;
    /* userxattr: trusted.* is not ours to write in a user namespace. */
    n = snprintf(text, sizeof(text),
                 "%s,upperdir=" LEAN_BOX "/upper%s,workdir=" LEAN_BOX "/work%s,userxattr",
                 lowers, suffix, suffix);
    if (n < 0 || (size_t)n >= sizeof(text))
        return -E2BIG;
    return mount("overlay", target, "overlay", SAFE_FLAGS, text) < 0 ? -errno : 0;
}

static int mount_box(const struct launch_create *create)
{
    char text[96];

    (void)snprintf(text, sizeof(text), "mode=0755,size=%llu,nr_inodes=%llu",
                   (unsigned long long)create->root.size_bytes,
                   (unsigned long long)create->root.n_inodes);
    if (mount("tmpfs", LEAN_BOX, "tmpfs", SAFE_FLAGS, text) < 0)
        return -errno;
    (void)umask(0);
    if (mkdir(LEAN_BOX "/root", 0755) < 0 || mkdir(LEAN_BOX "/tmp", 01777) < 0 ||
        mkdir(LEAN_BOX "/shm", 01777) < 0)
        return -errno;
    return 0;
}

/* Image `host`: the machine's /usr (and whatever of /bin, /lib... is not a symlink) under an
 * overlay each. */
static int mount_host_dirs(const struct lean_root *lean)
{
    for (uint32_t i = 0; i < lean->n_dirs; i++) {
        char lowers[96], target[64], suffix[32];
        const char *name = lean->dirs[i].name;
        /* A veil has it below itself. */
        bool usr_skel = lean->usr_skel && !lean->dirs[i].veiled && strcmp(name, "usr") == 0;
        int r;

        if (!lean->dirs[i].real)
            continue;
        (void)snprintf(lowers, sizeof(lowers), "lowerdir=%s" LEAN_HOST "/%s",
                       usr_skel ? LEAN_USR_SKEL ":" : "", name);
        (void)snprintf(target, sizeof(target), LEAN_BOX "/root/%s", name);
        (void)snprintf(suffix, sizeof(suffix), "-%s", name);
        r = mount_overlay(lowers, suffix, target);
        if (r < 0)
            return r;
    }
    return 0;
}

/* An image need not have the directories we mount on. */
static int make_mount_points(void)
{
    static const char *const dirs[] = {"/dev", "/proc", "/sys", "/tmp"};

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        char path[64];

        (void)snprintf(path, sizeof(path), LEAN_BOX "/root%s", dirs[i]);
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
            return -errno;
    }
    return 0;
}

static int mount_dev(const struct id_map *map)
{
    /* gid 5 is `tty` in the skeleton and in every distribution; only a mapped group can be
     * given. */
    const char *options = map->root ? DEVPTS ",gid=5" : DEVPTS;
    int r = mount_bind(LEAN_DEV, LEAN_BOX "/root/dev");

    if (r < 0)
        return r;
    if (mount("devpts", LEAN_BOX "/root/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, options) < 0)
        return -errno;
    return mount_bind(LEAN_BOX "/shm", LEAN_BOX "/root/dev/shm");
}

/* Defence in depth beside the filter: whoever got past it still cannot make a user namespace
 * here. */
static void forbid_user_namespaces(void)
{
    CLEANUP_FD int fd =
        open(LEAN_BOX "/root/proc/sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)write(fd, "0", 1);
}

static int mask_one(const char *name, enum mask_how how)
{
    char path[64];

    (void)snprintf(path, sizeof(path), LEAN_BOX "/root/proc/%s", name);
    switch (how) {
    case MASK_FILE:
        return mount_bind(LEAN_DEV "/null", path);
    case MASK_DIR:
        return mount_bind(LEAN_EMPTY, path);
    case MASK_READ_ONLY:
        if (mount(path, path, NULL, MS_BIND, NULL) < 0)
            return -errno;
        return mount(NULL, path, NULL,
                     MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                     NULL) < 0
                   ? -errno
                   : 0;
    }
    return -EINVAL;
}

static int mount_proc(const struct lean_root *lean)
{
    if (mount("proc", LEAN_BOX "/root/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) <
        0)
        return -errno;
    forbid_user_namespaces();
    for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
        int r;

        if (!(lean->masks & (1u << i)))
            continue;
        r = mask_one(masks[i].name, masks[i].how);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The new root stacked on the old one at the same place, then the old one detached: no
 * directory needed for it. */
static int switch_root(void)
{
    if (chdir(LEAN_BOX "/root") < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

int mounts_build(const struct engine *e, const struct launch_create *create,
                 const char **ret_stage)
{
    char lowers[4096];
    int r;

    *ret_stage = "mount propagation";
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    *ret_stage = "mount tmpfs";
    r = mount_box(create);
    if (r < 0)
        return r;
    *ret_stage = "image layers";
    r = lowers_options(&e->lean, create, lowers, sizeof(lowers));
    if (r < 0)
        return r;
    *ret_stage = "mount overlay";
    r = mount_overlay(lowers, "", LEAN_BOX "/root");
    if (r < 0)
        return r;
    *ret_stage = "mount overlay usr";
    r = create->root.host ? mount_host_dirs(&e->lean) : make_mount_points();
    if (r < 0)
        return r;
    *ret_stage = "mount dev";
    r = mount_dev(&e->map);
    if (r < 0)
        return r;
    *ret_stage = "mount tmp";
    r = mount_bind(LEAN_BOX "/tmp", LEAN_BOX "/root/tmp");
    if (r < 0)
        return r;
    *ret_stage = "mount proc";
    r = mount_proc(&e->lean);
    if (r < 0)
        return r;
    *ret_stage = "pivot_root";
    return switch_root();
}
