/*
 * The cgroup directories of a sandbox: <hierarchy>/cwsandbox/<service>/<id>. The v2 one belongs to the sandbox's root, so
 * that init can make a child cgroup per exec; the files that limit stay launch's. Of v1, pids is made with the sandbox;
 * memory and cpu only when a limit is asked for: an unlimited sandbox has no use for them, and a v1 memory cgroup costs
 * 100 KiB and more, growing with the number of sandboxes alive (shared/limits.md C, "Scaling finding").
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

static int give_to_sandbox(int dir, const struct id_map *map)
{
    /* Not cgroup.subtree_control: enabling controllers would allow limits of its own, and empty
     * our leaf. */
    static const char *const files[] = {"cgroup.procs", "cgroup.threads"};

    if (!map->root)
        return 0; /* one user inside and outside */
    if (fchown(dir, map->base, map->base) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (fchownat(dir, files[i], map->base, map->base, 0) < 0)
            return -errno;
    }
    return 0;
}

static int make_v2(const struct cgroups *g, const char *id, const struct id_map *map,
                   int *ret_fd)
{
    CLEANUP_FD int fd = -1;
    int r;

    *ret_fd = -1;
    if (g->v2 < 0)
        return 0;
    if (mkdirat(g->v2, id, 0755) < 0)
        return -errno;
    fd = openat(g->v2, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = give_to_sandbox(fd, map);
    if (r == 0)
        *ret_fd = TAKE_FD(fd);
    return r;
}

int cgroup_make(const struct cgroups *g, const char *id, const struct id_map *map,
                int *ret_v2_fd)
{
    int r = make_v2(g, id, map, ret_v2_fd);

    if (r == 0 && g->v1_pids >= 0 && mkdirat(g->v1_pids, id, 0755) < 0)
        r = -errno;
    if (r < 0) {
        cleanup_fd(ret_v2_fd);
        (void)cgroup_remove(g, id); /* nothing lives in them yet */
    }
    return r;
}

static int attach(int base, const char *id, pid_t pid)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%d", pid);
    return cgroup_write(base, id, "cgroup.procs", text);
}

int cgroup_open_pids(const struct cgroups *g, const char *id, int *ret_fd)
{
    char path[LAUNCH_MAX_ID + 16];

    *ret_fd = -1;
    if (g->v1_pids < 0)
        return 0;
    (void)snprintf(path, sizeof(path), "%s/tasks", id);
    *ret_fd = openat(g->v1_pids, path, O_WRONLY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

int cgroup_join_v1(int base, const char *id, pid_t init_pid)
{
    int r;

    if (mkdirat(base, id, 0755) < 0)
        return errno == EEXIST ? 0 : -errno; /* it is in there since the first limit */
    r = attach(base, id, init_pid);
    if (r < 0)
        (void)unlinkat(base, id, AT_REMOVEDIR); /* or the next call would take it for joined */
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
