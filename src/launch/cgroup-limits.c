/* Limits and usage: the same numbers in the files of v1 (hybrid hosts) and of v2. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "launch/launch.h"

#define CPU_PERIOD_US 100000u  /* the kernel's default */
#define CPU_MIN_QUOTA_US 1000u /* the kernel's minimum (min_cfs_quota_period) */

static int write_u64(int base, const char *id, const char *file, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return cgroup_write(base, id, file, text);
}

static int limit_memory_v1(int base, const char *id, pid_t init_pid, uint64_t bytes)
{
    int r = cgroup_join_v1(base, id, init_pid);

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

static int limit_memory(const struct cgroups *g, const char *id, pid_t init_pid, uint64_t bytes)
{
    if (g->v1_memory >= 0)
        return limit_memory_v1(g->v1_memory, id, init_pid, bytes);
    if (!g->v2_memory)
        return -ENOTSUP;
    (void)cgroup_write(g->v2, id, "memory.swap.max",
                       bytes ? "0" : "max"); /* absent without swap */
    return bytes ? write_u64(g->v2, id, "memory.max", bytes)
                 : cgroup_write(g->v2, id, "memory.max", "max");
}

static int limit_cpu(const struct cgroups *g, const char *id, pid_t init_pid,
                     uint32_t cpu_millis)
{
    uint64_t quota_us =
        MAX((uint64_t)cpu_millis * (CPU_PERIOD_US / 1000), (uint64_t)CPU_MIN_QUOTA_US);
    char text[48];

    if (g->v1_cpu >= 0) {
        int r = cgroup_join_v1(g->v1_cpu, id, init_pid);

        if (r == 0)
            r = write_u64(g->v1_cpu, id, "cpu.cfs_period_us", CPU_PERIOD_US);
        if (r < 0)
            return r;
        return cpu_millis ? write_u64(g->v1_cpu, id, "cpu.cfs_quota_us", quota_us)
                          : cgroup_write(g->v1_cpu, id, "cpu.cfs_quota_us", "-1");
    }
    if (!g->v2_cpu)
        return -ENOTSUP;
    (void)snprintf(text, sizeof(text), "%llu %u", (unsigned long long)quota_us, CPU_PERIOD_US);
    return cgroup_write(g->v2, id, "cpu.max", cpu_millis ? text : "max");
}

bool cgroup_counts_pids(const struct cgroups *g)
{
    return g->v1_pids >= 0 || g->v2_pids;
}

static int limit_pids(const struct cgroups *g, const char *id, uint32_t pids)
{
    int base = g->v1_pids >= 0 ? g->v1_pids : g->v2;

    if (!cgroup_counts_pids(g))
        return 0;
    if (pids == 0)
        return cgroup_write(base, id, "pids.max", "max");
    return write_u64(base, id, "pids.max", (uint64_t)pids + INIT_PIDS);
}

/* "No limit" needs no cgroup; it is written only where an earlier limit has made one. */
static bool exists(int base, const char *id)
{
    return base < 0 || faccessat(base, id, F_OK, 0) == 0;
}

int cgroup_limit(const struct cgroups *g, const struct launch_limits *limits, pid_t init_pid,
                 const char **ret_stage)
{
    const char *id = limits->id;
    bool memory = limits->memory_bytes != 0, cpu = limits->cpu_millis != 0;
    const struct {
        const char *name;
        bool wanted;
        int result;
    } steps[] = {
        {"memory", memory,
         memory || exists(g->v1_memory, id)
             ? limit_memory(g, id, init_pid, limits->memory_bytes)
             : 0},
        {"cpu", cpu,
         cpu || exists(g->v1_cpu, id) ? limit_cpu(g, id, init_pid, limits->cpu_millis) : 0},
        {"pids", limits->pids != 0, limit_pids(g, id, limits->pids)},
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

void cgroup_usage(const struct cgroups *g, const char *id, struct launch_usage *ret_usage)
{
    struct launch_usage usage = {0};

    /* v2 counts time without any controller, also on hybrid hosts. */
    usage.cpu_ns = read_keyed(g->v2, id, "cpu.stat", "usage_usec") * 1000;
    if (g->v1_memory >= 0) {
        usage.memory_bytes = read_number(g->v1_memory, id, "memory.usage_in_bytes");
        usage.memory_peak_bytes = read_number(g->v1_memory, id, "memory.max_usage_in_bytes");
        usage.n_oom_kills = read_keyed(g->v1_memory, id, "memory.oom_control", "oom_kill");
    } else if (g->v2_memory) {
        usage.memory_bytes = read_number(g->v2, id, "memory.current");
        usage.memory_peak_bytes = read_number(g->v2, id, "memory.peak");
        usage.n_oom_kills = read_keyed(g->v2, id, "memory.events", "oom_kill");
    }
    *ret_usage = usage;
}
