/*
 * The machine's own directories (/usr, and /bin, /lib... where they are no links) as sandboxes may see them: with their
 * owners, but only what every user of the machine may read.
 *
 * Shifting owners by an idmapped mount makes the sandbox's root the owner of root's files, and with them of those that
 * nobody else may read. So between that mount and the sandboxes' own overlays stands one more overlay, the *veil*: read-only,
 * and one for all sandboxes. Overlayfs asks twice, the owner and mode that it shows against whoever calls, and the file
 * below against whoever mounted. The veil is mounted as a user who owns nothing, is in no group and has no power over files:
 * whatever the sandbox's root may do to the copies in its own layer, the machine's file answers it as it answers a stranger.
 *
 *   /raw/usr    the idmapped clone; never reached by anything but the veil
 *   /host/usr   the veil, over `usr-skel` (or nothing) and /raw/usr
 *
 * A veil remembers names it has looked up, and programs of the machine are replaced while it stands. So it is renewed, at the
 * first create after VEIL_SECONDS; sandboxes that exist keep the one they were made with.
 *
 * An ordinary user needs no veil: there root's ids are not mapped, and the kernel lets nobody override. The same holds where
 * a file system cannot be idmapped, and that is the way out where the veil cannot be mounted (overlays can be stacked two
 * deep): files of the machine then show as nobody's.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/util.h"
#include "launch/launch.h"
#include "launch/mounttree.h"

/* Chosen: what is installed on the machine shows in new sandboxes after this time at the latest; a veil costs one more
 * superblock, 0.1 ms and, once used, its own entries of the names below /usr. */
#define VEIL_SECONDS 5u

/* clang-format off */
static const char *const host_names[] = {"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"};
/* clang-format on */

int host_dirs_take(struct lean_root *lean, int userns_fd)
{
    for (size_t i = 0; i < ARRAY_SIZE(host_names); i++) {
        struct host_dir *dir = &lean->dirs[lean->n_dirs];
        char path[16];
        struct stat st;
        int r;

        (void)snprintf(path, sizeof(path), "/%s", host_names[i]);
        if (lstat(path, &st) < 0)
            continue;
        *dir = (struct host_dir){
            .name = host_names[i], .real = S_ISDIR(st.st_mode), .tree = -1, .plain = -1};
        lean->n_dirs++;
        if (S_ISLNK(st.st_mode)) {
            ssize_t n = readlink(path, dir->link, sizeof(dir->link) - 1);

            dir->link[n > 0 ? n : 0] = 0;
        }
        if (!dir->real)
            continue;
        dir->tree = r = mount_tree_clone(path, &dir->whole);
        if (r >= 0)
            r = mount_tree_restrict(dir->tree, userns_fd, &dir->veiled);
        if (r < 0)
            return r;
        if (!dir->veiled)
            continue;
        /* A mount once idmapped stays so: the other way out is kept until the veil stands. */
        dir->plain = r = mount_tree_clone(path, NULL);
        bool ignored;
        if (r >= 0)
            r = mount_tree_restrict(dir->plain, -1, &ignored);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What a stranger who may mount has. setfsuid(2) alone takes CAP_DAC_OVERRIDE and its kin only from a process that does not
 * keep its capabilities (userns_keep_caps()). */
static const struct __user_cap_data_struct *
caps_of_mounter(const struct __user_cap_data_struct now[2],
                struct __user_cap_data_struct caps[2])
{
    for (uint32_t i = 0; i < 2; i++) {
        caps[i] = now[i];
        caps[i].effective = i == CAP_TO_INDEX(CAP_SYS_ADMIN) ? CAP_TO_MASK(CAP_SYS_ADMIN) : 0;
    }
    return caps;
}

/* The overlay itself, by whoever we are now: that is whom it will ask for. */
static int mount_veil(const char *lowers)
{
    static const char *const off[] = {"index", "metacopy", "nfs_export", "xino"};
    CLEANUP_FD int fs = fs_open("overlay");
    int r;

    if (fs < 0)
        return fs;
    r = fs_set(fs, "lowerdir", lowers);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(off); i++)
        r = fs_set(fs, off[i], "off");
    if (r < 0)
        return r;
    return fs_mount(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

/* A new veil of @dir, detached. */
static int make_veil(const struct lean_root *lean, const struct host_dir *dir,
                     const struct id_map *map)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct now[2], caps[2];
    uid_t stranger = map->base + map->count; /* no file of an idmapped mount can be theirs */
    char lowers[64];
    int r;

    (void)snprintf(lowers, sizeof(lowers), "%s:" LEAN_RAW "/%s",
                   lean->usr_skel && strcmp(dir->name, "usr") == 0 ? LEAN_USR_SKEL : LEAN_EMPTY,
                   dir->name);
    if (syscall(SYS_capget, &head, now) < 0)
        return -errno;
    (void)setfsgid(stranger);
    (void)setfsuid(stranger);
    CHECK(setfsuid((uid_t)-1) == (int)stranger && setfsgid((gid_t)-1) == (int)stranger);
    CHECK(getgroups(0, NULL) == 0);
    r = syscall(SYS_capset, &head, caps_of_mounter(now, caps)) < 0 ? -errno : 0;
    if (r == 0)
        r = mount_veil(lowers);
    CHECK(syscall(SYS_capset, &head, now) == 0);
    (void)setfsuid(0);
    (void)setfsgid(0);
    CHECK(setfsuid((uid_t)-1) == 0);
    return r;
}

static int show_one(struct lean_root *lean, struct host_dir *dir, const struct id_map *map)
{
    CLEANUP_FD int veil = -1;
    char raw[32], path[32];
    int r;

    (void)snprintf(path, sizeof(path), LEAN_HOST "/%s", dir->name);
    if (dir->veiled) {
        (void)snprintf(raw, sizeof(raw), LEAN_RAW "/%s", dir->name);
        r = mount_tree_attach(dir->tree, raw);
        if (r < 0)
            return r;
        veil = make_veil(lean, dir, map);
        if (veil >= 0)
            return mount_tree_attach(veil, path);
        dir->veiled = false;
        if (umount2(raw, MNT_DETACH) < 0)
            return -errno;
        return mount_tree_attach(dir->plain, path);
    }
    return mount_tree_attach(dir->tree, path);
}

int host_dirs_show(struct lean_root *lean, const struct id_map *map)
{
    lean->idmap = map->root;
    for (uint32_t i = 0; i < lean->n_dirs; i++) {
        struct host_dir *dir = &lean->dirs[i];
        int r = dir->real ? show_one(lean, dir, map) : 0;

        cleanup_fd(&dir->tree);
        cleanup_fd(&dir->plain);
        if (r < 0)
            return r;
        if (dir->real && !dir->veiled)
            lean->idmap = false;
    }
    lean->veiled_ns = clock_now_ns();
    return 0;
}

static void refresh_libs(struct lean_root *lean, const struct id_map *map)
{
    for (uint32_t i = 0; i < lean->n_dirs; i++) {
        const struct host_dir *dir = &lean->dirs[i];

        if (dir->real &&
            strcmp(dir->name, "usr") == 0) /* on failure the copies there are hold */
            (void)own_libs_refresh(&lean->libs,
                                   dir->veiled ? LEAN_RAW "/usr" : LEAN_HOST "/usr", map);
    }
}

int host_dirs_refresh(struct lean_root *lean, const struct id_map *map)
{
    uint64_t now_ns = clock_now_ns();

    if (now_ns - lean->veiled_ns < VEIL_SECONDS * NS_PER_SEC)
        return 0;
    lean->veiled_ns = now_ns;
    refresh_libs(lean, map);
    for (uint32_t i = 0; i < lean->n_dirs; i++) {
        const struct host_dir *dir = &lean->dirs[i];
        CLEANUP_FD int veil = -1;
        char path[32];
        int r;

        if (!dir->veiled)
            continue;
        veil = make_veil(lean, dir, map);
        if (veil < 0)
            break; /* the old one holds as well */
        (void)snprintf(path, sizeof(path), LEAN_HOST "/%s", dir->name);
        if (umount2(path, MNT_DETACH) < 0)
            return -errno;
        r = mount_tree_attach(veil, path);
        if (r < 0)
            return r;
    }
    return 0;
}
