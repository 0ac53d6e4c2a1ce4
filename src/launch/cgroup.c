/*
 * The cgroup directories of a sandbox.
 *
 *   v2  <id>        made by launch; init is born here. No limits
 *       <id>/init   only where v2 has the controllers: init moves here, because a node with limited children holds no processes
 *       <id>/load   carries the limits. The sandbox's root owns it: init makes one child cgroup per exec in it
 *   v1  <id>        of pids, memory, cpu: the limits of hybrid and v1 hosts. Made with the first such limit: an unlimited
 *                   sandbox has no use for them, and a v1 memory cgroup costs 100 KiB and more, growing with the number of
 *                   sandboxes alive
 *       <id>/m<N>   of memory: made by init for an exec beside others, so that each one's kills are counted (init/load-limits.h)
 *
 * init is in none of the limits: it must answer, reap and start while the load is throttled, full or out of memory. Of v1
 * a child of init enters by writing "0" to `tasks`: a single thread that moves itself is the one v1 move that takes no
 * machine-wide lock (cgroup_threadgroup_rwsem), whose grace period is 10 ms and more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "launch/launch.h"

#define MAX_DEPTH \
    8 /* chosen: init makes one level; deeper ones would be a compromised init's */

int cgroup_write(int base, const char *id, const char *file, const char *value)
{
    char path[LAUNCH_MAX_ID + 64];

    if (base < 0)
        return -ENOTSUP;
    (void)snprintf(path, sizeof(path), "%s/%s", id, file);
    CLEANUP_FD int fd = openat(base, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

int cgroup_give(int dir, const struct id_map *map, const char *file)
{
    if (!map->root)
        return 0; /* one user inside and outside */
    return fchownat(dir, file, map->base, map->base, *file ? 0 : AT_EMPTY_PATH) < 0 ? -errno
                                                                                    : 0;
}

static int open_dir(int base, const char *name)
{
    int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* Not cgroup.subtree_control: enabling controllers would allow limits of its own, and empty our leaf. */
static int make_load(int dir, const struct id_map *map)
{
    CLEANUP_FD int fd = -1;
    int r;

    if (mkdirat(dir, CGROUP_LOAD, 0755) < 0)
        return -errno;
    fd = open_dir(dir, CGROUP_LOAD);
    if (fd < 0)
        return fd;
    r = cgroup_give(fd, map, "");
    if (r == 0)
        r = cgroup_give(fd, map, "cgroup.procs");
    if (r == 0)
        r = cgroup_give(fd, map, "cgroup.threads");
    /* A move needs write permission for the nearest node above both ends. */
    if (r == 0)
        r = cgroup_give(dir, map, "cgroup.procs");
    return r < 0 ? r : TAKE_FD(fd);
}

static int make_init(int dir)
{
    int fd;

    if (mkdirat(dir, CGROUP_INIT, 0755) < 0)
        return -errno;
    fd = openat(dir, CGROUP_INIT "/cgroup.procs", O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

bool cgroup_limits_need_init(const struct cgroups *g)
{
    return g->v2_memory || g->v2_cpu || g->v2_pids;
}

static int make_v2(const struct cgroups *g, const char *id, const struct id_map *map,
                   struct cgroup_fds *ret)
{
    CLEANUP_FD int birth = -1;
    CLEANUP_FD int enter = -1;
    int load;

    if (mkdirat(g->v2, id, 0755) < 0)
        return -errno;
    birth = open_dir(g->v2, id);
    if (birth < 0)
        return birth;
    if (cgroup_limits_need_init(g)) {
        enter = make_init(birth);
        if (enter < 0)
            return enter;
    }
    load = make_load(birth, map);
    if (load < 0)
        return load;
    *ret = (struct cgroup_fds){.birth = TAKE_FD(birth), .enter = TAKE_FD(enter), .load = load};
    return 0;
}

int cgroup_make(const struct cgroups *g, const char *id, const struct id_map *map,
                struct cgroup_fds *ret)
{
    int r = g->v2 < 0 ? 0 : make_v2(g, id, map, ret);

    if (r < 0 && r != -EEXIST)
        (void)cgroup_remove(g, id); /* nothing lives in them yet */
    return r;
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

/* Children first: a cgroup with children cannot be removed. */
static int remove_tree(int base, const char *name, int depth)
{
    CLEANUP_FD int fd = -1;
    CLEANUP(close_dir) DIR *dir = NULL;
    const struct dirent *entry;

    if (base < 0 || unlinkat(base, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY || depth == 0)
        return -errno;
    fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    dir = fd < 0 ? NULL : fdopendir(dup(fd));
    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)remove_tree(fd, entry->d_name,
                              depth - 1); /* what stays makes the last rmdir fail */
    }
    return unlinkat(base, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int cgroup_remove(const struct cgroups *g, const char *id)
{
    const int all[] = {g->v2, g->v1_memory, g->v1_cpu, g->v1_pids};
    int result = 0;

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        int r = remove_tree(all[i], id, MAX_DEPTH);

        if (r < 0)
            result = r;
    }
    return result;
}

int cgroup_kill(const struct cgroups *g, const char *id)
{
    return cgroup_write(g->v2, id, "cgroup.kill", "1");
}

/* cgroup.events of v2 raises POLLPRI at each change; one css_set holds all hierarchies, so empty there is empty in v1. */
void cgroup_wait_empty(const struct cgroups *g, const char *id, uint64_t deadline_ns)
{
    char path[LAUNCH_MAX_ID + 32], text[128];
    CLEANUP_FD int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/cgroup.events", id);
    fd = g->v2 < 0 ? -1 : openat(g->v2, path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0) {
        struct pollfd change = {.fd = fd, .events = POLLPRI};
        ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
        uint64_t now_ns = clock_now_ns();

        if (n <= 0 || now_ns >= deadline_ns)
            return;
        text[n] = 0;
        if (strstr(text, "populated 0"))
            return;
        (void)poll(&change, 1, (int)((deadline_ns - now_ns) / NS_PER_MS) + 1);
    }
}

int cgroup_freeze(const struct cgroups *g, const char *id, bool frozen)
{
    return cgroup_write(g->v2, id, "cgroup.freeze", frozen ? "1" : "0");
}
