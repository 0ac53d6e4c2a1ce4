/*
 * Which cgroup hierarchies this machine gives us, and our directory in each. v2 is used
 * wherever it exists, for killing and (when it has the controllers) for limits; v1 hierarchies
 * of memory, cpu, pids are used where the controller is bound to them. An ordinary user gets
 * the v2 cgroup it runs in, if that was delegated to it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/util.h"
#include "launch/launch.h"

#define TOP "cwsandbox"
#define SUPERVISOR \
    TOP "-supervisor" /* where processes go that stand in the way of enabling controllers */
#define MAX_TRIES 16  /* chosen: as many services would have to end in the same moment */
#define MAX_MOUNTINFO (1u << 20)
#define LEFTOVERS_NS \
    (5 * \
     NS_PER_SEC) /* chosen: for all of them; a killed process ends within ms, one in a dead disk does not */
#define LOCK_RETRY_MS 2 /* chosen: between looks at a lock whose holder is about to end */

/* Mount points as found in /proc/self/mountinfo; heap. */
struct hierarchies {
    char *v2, *memory, *cpu, *pids;
};

static void hierarchies_done(struct hierarchies *h)
{
    free(h->v2);
    free(h->memory);
    free(h->cpu);
    free(h->pids);
}

static bool has_option(const char *options, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = options; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, n) == 0 && strchr(",\n", at[n]))
            return true;
    }
    return false;
}

static void remember(char **slot, const char *mount_point)
{
    if (!*slot)
        *slot = strdup(mount_point); /* out of memory: as if it were not mounted */
}

/* proc(5): "id parent major:minor root mount-point options ... - type source super-options" */
static void parse_mount(char *line, struct hierarchies *h)
{
    char mount_point[512], type[32], options[512];
    const char *tail = strstr(line, " - ");

    if (!tail || sscanf(line, "%*s %*s %*s %*s %511s", mount_point) != 1 ||
        sscanf(tail, " - %31s %*s %511s", type, options) != 2)
        return;
    if (strcmp(type, "cgroup2") == 0)
        remember(&h->v2, mount_point);
    if (strcmp(type, "cgroup") != 0)
        return;
    if (has_option(options, "memory"))
        remember(&h->memory, mount_point);
    if (has_option(options, "cpu"))
        remember(&h->cpu, mount_point);
    if (has_option(options, "pids"))
        remember(&h->pids, mount_point);
}

static int find_mounts(struct hierarchies *h)
{
    CLEANUP_FREE char *text = NULL;
    char *save = NULL;
    size_t n;
    int r = file_read("/proc/self/mountinfo", MAX_MOUNTINFO, &text, &n);

    if (r < 0)
        return r;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        parse_mount(line, h);
    return 0;
}

/* A mount of v2 for ourselves alone, where the machine has none (pure v1). */
static int mount_v2(void)
{
    CLEANUP_FD int fs = (int)syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
    int fd;

    if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    fd = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static int open_dir_at(int base, const char *path)
{
    int fd = openat(base, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

/* The length of the cgroup path at @own: one line, without the leaf that an earlier launch moved
 * this session into. Below it the next launch would nest, and nest again. */
static size_t own_length(const char *own)
{
    const char *leaf = "/" SUPERVISOR;
    size_t n = strcspn(own, "\n"), n_leaf = strlen(leaf);

    return n >= n_leaf && strncmp(own + n - n_leaf, leaf, n_leaf) == 0 ? n - n_leaf : n;
}

/* The directory of our own cgroup: what an ordinary user may have been given. */
static int open_own_v2(const char *mount_point)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FREE char *path = NULL;
    const char *own;
    size_t n;
    int r = file_read("/proc/self/cgroup", MAX_MOUNTINFO, &text, &n);

    if (r < 0)
        return r;
    own = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!own)
        return -ENOENT;
    own = strchr(own, '/');
    path = own ? str_dup_printf("%s%.*s", mount_point, (int)own_length(own), own) : NULL;
    if (!path)
        return -ENOMEM;
    return open_dir_at(AT_FDCWD, path);
}

/* Moves every process of @base into a leaf: v2 enables controllers only in cgroups without
 * processes. */
static void clear_processes(int base)
{
    CLEANUP_FD int procs = openat(base, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    char text[16384], *save = NULL;
    ssize_t n;

    if (procs < 0 || (mkdirat(base, SUPERVISOR, 0755) < 0 && errno != EEXIST))
        return;
    n = read(procs, text, sizeof(text) - 1);
    if (n <= 0)
        return;
    text[n] = 0;
    for (char *pid = strtok_r(text, "\n", &save); pid; pid = strtok_r(NULL, "\n", &save))
        (void)cgroup_write(base, SUPERVISOR, "cgroup.procs",
                           pid); /* gone meanwhile, or not ours */
}

static int write_control(int dir, const char *value)
{
    return cgroup_write(dir, ".", "cgroup.subtree_control", value);
}

/* "+memory" in base, base/cwsandbox and base/cwsandbox/<service>. */
static bool enable_controller(int base, int top, int service, const char *value, bool may_move)
{
    int r = write_control(base, value);

    if (r == -EBUSY && may_move) {
        clear_processes(base);
        r = write_control(base, value);
    }
    return r == 0 && write_control(top, value) == 0 && write_control(service, value) == 0;
}

static int try_open_service(int base, const char *service, int *ret_top)
{
    CLEANUP_FD int top = -1;
    int fd;

    if (mkdirat(base, TOP, 0755) < 0 && errno != EEXIST)
        return -errno;
    top = open_dir_at(base, TOP);
    if (top < 0)
        return top;
    if (mkdirat(top, service, 0755) < 0 && errno != EEXIST)
        return -errno;
    fd = open_dir_at(top, service);
    if (fd >= 0 && ret_top)
        *ret_top = TAKE_FD(top);
    return fd;
}

/* base/cwsandbox/<service>, made if needed; -errno leaves what was there. A service that ends
 * removes the upper directory when it is empty, maybe between two steps of ours: then again. */
static int open_service(int base, const char *service, int *ret_top)
{
    int r = -ENOENT;

    for (int i = 0; r == -ENOENT && i < MAX_TRIES; i++)
        r = try_open_service(base, service, ret_top);
    return r;
}

/* -1: not mounted, or not ours to use. */
static int open_v1(const char *mount_point, const char *service)
{
    CLEANUP_FD int base = mount_point ? open_dir_at(AT_FDCWD, mount_point) : -1;
    int fd = base < 0 ? -1 : open_service(base, service, NULL);

    return fd < 0 ? -1 : fd;
}

static int open_v2(struct cgroups *g, const struct hierarchies *h, bool root,
                   const char *service)
{
    CLEANUP_FD int base = -1, top = -1;

    if (h->v2 && root)
        base = open_dir_at(AT_FDCWD, h->v2);
    else if (h->v2)
        base = open_own_v2(h->v2);
    else
        base = root ? mount_v2() : -ENOENT;
    if (base < 0)
        return base;
    g->v2 = open_service(base, service, &top);
    if (g->v2 < 0)
        return g->v2;
    /* cgroup.kill came with Linux 5.14; without it v2 is of no use to us. */
    if (faccessat(g->v2, "cgroup.kill", W_OK, 0) < 0) {
        cleanup_fd(&g->v2);
        return -ENOTSUP;
    }
    g->v2_memory = !h->memory && enable_controller(base, top, g->v2, "+memory", true);
    g->v2_cpu = !h->cpu && enable_controller(base, top, g->v2, "+cpu", true);
    g->v2_pids = !h->pids && enable_controller(base, top, g->v2, "+pids", true);
    return 0;
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

/* What a launch that was killed left in @base; its processes die with it, but not at once. Only after the lock: nobody
 * else uses this service name. */
static void remove_leftovers(const struct cgroups *g, int base, uint64_t deadline_ns)
{
    CLEANUP(close_dir) DIR *dir = base < 0 ? NULL : fdopendir(dup(base));
    const struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        (void)cgroup_kill(g, entry->d_name);
        cgroup_wait_empty(g, entry->d_name, deadline_ns);
        (void)cgroup_remove(g, entry->d_name); /* a busy one stays for the next start */
    }
}

static void add_problem(struct launch_features *f, const char *text)
{
    size_t n = strlen(f->problems);

    (void)snprintf(f->problems + n, sizeof(f->problems) - n, "%s\n", text);
}

void cgroups_describe(const struct cgroups *g, bool root, struct launch_features *f)
{
    f->cgroup_kill = g->v2 >= 0;
    f->limit_memory = g->v1_memory >= 0 || g->v2_memory;
    f->limit_cpu = g->v1_cpu >= 0 || g->v2_cpu;
    f->limit_pids = true; /* by a cgroup, else by nproc.c */
    f->cgroup_v2_only = g->v2_memory && g->v2_cpu && g->v2_pids;
    if (root && !cgroup_counts_pids(g))
        add_problem(f,
                    "setuid: no writable cgroup hierarchy of pids: processes are counted per "
                    "user, so no sandbox may have a second one: mount cgroup2 with pids");
    if (!f->limit_memory || !f->limit_cpu)
        add_problem(f, root ? "limits: no writable cgroup hierarchy of memory and cpu: mount "
                              "cgroup2 with them"
                            : "limits: this user has no delegated cgroup with memory and cpu: "
                              "start through "
                              "`systemd-run --user --scope -p Delegate=yes` on a cgroup v2 "
                              "machine, or as root");
    if (!f->cgroup_kill)
        add_problem(f, root ? "cgroup_kill: no writable cgroup2: mount it; until then "
                              "descendants are killed one by one"
                            : "cgroup_kill: this user has no delegated cgroup: descendants are "
                              "killed one by one");
}

static void close_all(struct cgroups *g)
{
    cleanup_fd(&g->v2);
    cleanup_fd(&g->v1_memory);
    cleanup_fd(&g->v1_cpu);
    cleanup_fd(&g->v1_pids);
}

static void open_all(struct cgroups *g, const struct hierarchies *h, bool root,
                     const char *service)
{
    *g = CGROUPS_NONE;
    (void)open_v2(g, h, root, service); /* without it: cgroups_describe() says so */
    if (root) {
        g->v1_memory = open_v1(h->memory, service);
        g->v1_cpu = open_v1(h->cpu, service);
        g->v1_pids = open_v1(h->pids, service);
    }
}

/* False: its owner removed it. */
static bool is_alive(int cgroup)
{
    CLEANUP_FD int fd = openat(cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

/*
 * One launch at a time has a service name and its directories. When the daemon of an earlier one was killed, that launch
 * ends too, but it ends its sandboxes first, and removes the directories while it has the lock: they are opened afresh
 * then. -EAGAIN: it lives on.
 */
static int open_locked(struct cgroups *g, const struct hierarchies *h, bool root,
                       const char *service, uint64_t deadline_ns)
{
    for (;;) {
        open_all(g, h, root, service);
        if (g->v2 < 0)
            return 0;
        int r = flock(g->v2, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
        if (r == 0 && is_alive(g->v2))
            return 0;
        close_all(g);
        if (clock_now_ns() >= deadline_ns)
            return r < 0 ? r : -EAGAIN;
        if (r < 0)
            (void)poll(NULL, 0, LOCK_RETRY_MS);
    }
}

int cgroups_find(struct cgroups *g, bool root, const char *service,
                 struct launch_features *features)
{
    CLEANUP(hierarchies_done) struct hierarchies h = {0};
    uint64_t deadline_ns = clock_now_ns() + LEFTOVERS_NS;
    int r = find_mounts(&h);

    *g = CGROUPS_NONE;
    if (r == 0)
        r = open_locked(g, &h, root, service, deadline_ns);
    if (r < 0)
        return r;
    remove_leftovers(g, g->v2, deadline_ns);
    remove_leftovers(g, g->v1_memory, deadline_ns);
    remove_leftovers(g, g->v1_cpu, deadline_ns);
    remove_leftovers(g, g->v1_pids, deadline_ns);
    cgroups_describe(g, root, features);
    return 0;
}

void cgroups_done(struct cgroups *g, const char *service)
{
    int *all[] = {&g->v1_memory, &g->v1_cpu, &g->v1_pids, &g->v2};

    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        CLEANUP_FD int top =
            *all[i] < 0 ? -1 : openat(*all[i], "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP_FD int base =
            top < 0 ? -1 : openat(top, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (top >= 0)
            (void)unlinkat(top, service, AT_REMOVEDIR);
        cleanup_fd(
            all[i]); /* v2's, the last, has the lock: we remove nothing after it is free */
        if (base >= 0)
            (void)unlinkat(base, TOP, AT_REMOVEDIR); /* other services may be in it */
    }
}
