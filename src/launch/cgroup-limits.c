/* Limits and usage: the same numbers in the files of v1 (hybrid hosts) and of v2. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "launch/launch.h"

#define CPU_PERIOD_US 100000u  /* the kernel's default */
#define CPU_MIN_QUOTA_US 1000u /* the kernel's minimum (min_cfs_quota_period) */

static int write_u64(int base, const char *id, const char *file, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return cgroup_write(base, id, file, text);
}

#define MAX_PATH (LAUNCH_MAX_ID + 16) /* <id>/load */

static int make_v1(int base, const char *id)
{
    return mkdirat(base, id, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int limit_memory_v1(int base, const char *id, uint64_t bytes)
{
    int r = make_v1(base, id);

    if (r < 0)
        return r;
    /* memsw must never be below the memory limit on the way: open it first. Absent without swap
     * accounting. */
    (void)cgroup_write(base, id, "memory.memsw.limit_in_bytes", "-1");
    if (bytes == 0)
        return cgroup_write(base, id, "memory.limit_in_bytes", "-1");
    r = write_u64(base, id, "memory.limit_in_bytes", bytes);
    if (r == 0)
        (void)write_u64(base, id, "memory.memsw.limit_in_bytes", bytes);
    return r;
}

/* Makes the files of @controller appear in <id>/load, whose name goes to @ret_load. Only for a limit: a memory cgroup more is
 * not free. */
static int enable_v2(const struct cgroups *g, const char *id, const char *controller,
                     char ret_load[static MAX_PATH])
{
    (void)snprintf(ret_load, MAX_PATH, "%s/%s", id, CGROUP_LOAD);
    return *controller ? cgroup_write(g->v2, id, "cgroup.subtree_control", controller) : 0;
}

/* "No limit" where none ever was: the file is not there. */
static int unless_absent(int r, bool wanted)
{
    return !wanted && r == -ENOENT ? 0 : r;
}

static int limit_memory(const struct cgroups *g, const char *id, uint64_t bytes)
{
    char load[MAX_PATH];
    int r;

    if (g->v1_memory >= 0)
        return limit_memory_v1(g->v1_memory, id, bytes);
    if (!g->v2_memory)
        return -ENOTSUP;
    r = enable_v2(g, id, bytes ? "+memory" : "", load);
    if (r < 0)
        return r;
    (void)cgroup_write(g->v2, load, "memory.swap.max",
                       bytes ? "0" : "max"); /* absent without swap */
    if (bytes) /* so that each exec's kills are counted; nothing but slots is in there */
        (void)cgroup_write(g->v2, load, "cgroup.subtree_control", "+memory");
    return bytes ? write_u64(g->v2, load, "memory.max", bytes)
                 : unless_absent(cgroup_write(g->v2, load, "memory.max", "max"), false);
}

static int limit_cpu(const struct cgroups *g, const char *id, uint32_t cpu_millis)
{
    uint64_t quota_us =
        MAX((uint64_t)cpu_millis * (CPU_PERIOD_US / 1000), (uint64_t)CPU_MIN_QUOTA_US);
    char text[48], load[MAX_PATH];
    int r;

    if (g->v1_cpu >= 0) {
        r = make_v1(g->v1_cpu, id);
        if (r == 0)
            r = write_u64(g->v1_cpu, id, "cpu.cfs_period_us", CPU_PERIOD_US);
        if (r < 0)
            return r;
        return cpu_millis ? write_u64(g->v1_cpu, id, "cpu.cfs_quota_us", quota_us)
                          : cgroup_write(g->v1_cpu, id, "cpu.cfs_quota_us", "-1");
    }
    if (!g->v2_cpu)
        return -ENOTSUP;
    r = enable_v2(g, id, cpu_millis ? "+cpu" : "", load);
    if (r < 0)
        return r;
    (void)snprintf(text, sizeof(text), "%llu %u", (unsigned long long)quota_us, CPU_PERIOD_US);
    return unless_absent(cgroup_write(g->v2, load, "cpu.max", cpu_millis ? text : "max"),
                         cpu_millis != 0);
}

void cgroup_lift_cpu(const struct cgroups *g, const char *id, uint32_t cpu_millis, bool lifted)
{
    if (cpu_millis != 0)
        (void)limit_cpu(g, id,
                        lifted ? 0 : cpu_millis); /* of a host that cannot: there was none */
}

bool cgroup_counts_pids(const struct cgroups *g)
{
    return g->v1_pids >= 0 || g->v2_pids;
}

static int limit_pids(const struct cgroups *g, const char *id, uint32_t pids)
{
    char name[MAX_PATH];
    int base = g->v1_pids >= 0 ? g->v1_pids : g->v2, r;

    if (!cgroup_counts_pids(g))
        return 0;
    if (g->v1_pids >= 0) {
        (void)snprintf(name, sizeof(name), "%s", id);
        r = make_v1(base, id);
    } else {
        r = enable_v2(g, id, pids ? "+pids" : "", name);
    }
    if (r < 0)
        return r;
    return pids ? write_u64(base, name, "pids.max", pids)
                : unless_absent(cgroup_write(base, name, "pids.max", "max"), false);
}

/* "No limit" needs no cgroup; it is written only where an earlier limit has made one. */
static bool exists(int base, const char *id)
{
    return base < 0 || faccessat(base, id, F_OK, 0) == 0;
}

static int write_limits(const struct cgroups *g, const struct launch_limits *limits,
                        const char **ret_stage)
{
    const char *id = limits->id;
    bool memory = limits->memory_bytes != 0, cpu = limits->cpu_millis != 0,
         pids = limits->pids != 0;
    const struct {
        const char *name;
        bool wanted;
        int result;
    } steps[] = {
        {"memory", memory,
         memory || exists(g->v1_memory, id) ? limit_memory(g, id, limits->memory_bytes) : 0},
        {"cpu", cpu, cpu || exists(g->v1_cpu, id) ? limit_cpu(g, id, limits->cpu_millis) : 0},
        {"pids", pids, pids || exists(g->v1_pids, id) ? limit_pids(g, id, limits->pids) : 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        *ret_stage = steps[i].name;
        if (steps[i].result == -ENOTSUP && (!steps[i].wanted || limits->accept_unenforced))
            continue;
        if (steps[i].result < 0)
            return steps[i].result;
    }
    *ret_stage = "";
    return 0;
}

/* Nothing where the directory was never made. */
static int add_file(struct cgroup_entry *entry, int base, const char *id, const char *file,
                    int flags, uint32_t flag)
{
    char path[MAX_PATH + 16];
    int fd;

    if (base < 0)
        return 0;
    (void)snprintf(path, sizeof(path), "%s/%s", id, file);
    fd = openat(base, path, flags | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    entry->fds[entry->n_fds++] = fd;
    entry->flags |= flag;
    return 0;
}

/* To make directories in, and to be entered; the limit stays ours. */
static int give_memory(int dir, const struct id_map *map)
{
    int r = cgroup_give(dir, map, "");

    return r < 0 ? r : cgroup_give(dir, map, "tasks");
}

/* In the order of enum init_flags. A process that enters a full v1 pids cgroup is let in, so init counts as well. */
static int open_entry(const struct cgroups *g, const struct id_map *map, const char *id,
                      struct cgroup_entry *entry)
{
    int r = add_file(entry, g->v1_pids, id, "tasks", O_WRONLY, INIT_ENTER_PIDS);

    if (r == 0)
        r = add_file(entry, g->v1_pids, id, "pids.current", O_RDONLY, INIT_ENTER_PIDS);
    if (r == 0)
        r = add_file(entry, g->v1_memory, id, ".", O_RDONLY | O_DIRECTORY, INIT_ENTER_MEMORY);
    if (r == 0 && entry->flags & INIT_ENTER_MEMORY)
        r = give_memory(entry->fds[entry->n_fds - 1], map);
    return r < 0 ? r : add_file(entry, g->v1_cpu, id, "tasks", O_WRONLY, INIT_ENTER_CPU);
}

int cgroup_open_memory(const struct cgroups *g, const char *id)
{
    bool v1 = g->v1_memory >= 0;
    char path[MAX_PATH + 32];
    int base = v1 ? g->v1_memory : g->v2_memory ? g->v2 : -1, fd;

    if (base < 0)
        return -ENOENT;
    (void)snprintf(path, sizeof(path), "%s%s/memory.stat", id, v1 ? "" : "/" CGROUP_LOAD);
    fd = openat(base, path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int cgroup_limit(const struct cgroups *g, const struct id_map *map,
                 const struct launch_limits *limits, struct cgroup_entry *ret_entry,
                 const char **ret_stage)
{
    int r = write_limits(g, limits, ret_stage);

    *ret_entry = (struct cgroup_entry){.pids = limits->pids};
    if (r < 0)
        return r;
    if (limits->memory_bytes != 0 || limits->cpu_millis != 0)
        ret_entry->flags |= INIT_TIGHT;
    *ret_stage = "open cgroup";
    r = open_entry(g, map, limits->id, ret_entry);
    if (r == 0)
        *ret_stage = "";
    return r;
}

void cgroup_entry_done(struct cgroup_entry *entry)
{
    while (entry->n_fds > 0)
        cleanup_fd(&entry->fds[--entry->n_fds]);
}

static int read_text(int base, const char *id, const char *file, char *text, size_t size)
{
    char path[LAUNCH_MAX_ID + 64];
    ssize_t n;

    text[0] = 0;
    if (base < 0)
        return -ENOTSUP;
    (void)snprintf(path, sizeof(path), "%s/%s", id, file);
    CLEANUP_FD int fd = openat(base, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = read(fd, text, size - 1);
    if (n < 0)
        return -errno;
    text[n] = 0;
    return 0;
}

static uint64_t read_number(int base, const char *id, const char *file)
{
    char text[32];

    return read_text(base, id, file, text, sizeof(text)) < 0 ? 0 : strtoull(text, NULL, 10);
}

/* The number after "<key> " at the start of a line; 0 if absent. */
static uint64_t read_keyed(int base, const char *id, const char *file, const char *key)
{
    char text[1024];
    size_t n = strlen(key);

    if (read_text(base, id, file, text, sizeof(text)) < 0)
        return 0;
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, n) == 0 && line[n] == ' ')
            return strtoull(line + n, NULL, 10);
    }
    return 0;
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

/* v1 counts for each directory alone. */
static uint64_t count_oom_v1(int base, const char *id)
{
    uint64_t n = read_keyed(base, id, "memory.oom_control", "oom_kill");
    int fd = openat(base, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(close_dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (!dir)
        cleanup_fd(&fd);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_type == DT_DIR && entry->d_name[0] == 'm')
            n += read_keyed(dirfd(dir), entry->d_name, "memory.oom_control", "oom_kill");
    }
    return n;
}

void cgroup_usage(const struct cgroups *g, const char *id, struct launch_usage *ret_usage)
{
    struct launch_usage usage = {0};

    /* v2 counts time without any controller, also on hybrid hosts. */
    usage.cpu_ns = read_keyed(g->v2, id, "cpu.stat", "usage_usec") * 1000;
    if (g->v1_memory >= 0) {
        usage.memory_bytes = read_number(g->v1_memory, id, "memory.usage_in_bytes");
        usage.memory_peak_bytes = read_number(g->v1_memory, id, "memory.max_usage_in_bytes");
        usage.n_oom_kills = count_oom_v1(g->v1_memory, id);
    } else if (g->v2_memory) {
        usage.memory_bytes = read_number(g->v2, id, "memory.current");
        usage.memory_peak_bytes = read_number(g->v2, id, "memory.peak");
        usage.n_oom_kills = read_keyed(g->v2, id, "memory.events", "oom_kill");
    }
    *ret_usage = usage;
}
