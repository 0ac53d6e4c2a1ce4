/*
 * What programs inside take for the size of their machine, in files: limits of memory and CPU as those of cgroup version 2. launch
 * has mounted VIEW_FD read-only at /sys/fs/cgroup; we have the way to write there, and are told the limits (LIMITS).
 * It is empty before the first that counts. Few files: they are made while a sandbox's first process waits.
 *
 * Programs look for the cgroup that /proc/self/cgroup names, "/load/e3": each of these is the root again, by a link.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "init/init.h"

#define PERIOD_US 100000u /* as launch sets it */

/* What is the same in every sandbox stands beside the mount, in launch's /sys. Those of version 1 are for libuv (Node.js), which
 * reads them where /proc/self/cgroup has a line of that version's memory controller. */
static const char *const links[][2] = {
    {"../cgroup.controllers", "cgroup.controllers"},
    {".", "memory"},
    {"memory.max", "memory.limit_in_bytes"},
    {"../memory.soft_limit_in_bytes", "memory.soft_limit_in_bytes"},
};

/* A file that cannot be written (a full disk) is one that is not there: no limit depends on it. */
static void put(const char *name, const char *text)
{
    CLEANUP_FD int fd =
        openat(VIEW_FD, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0444);

    if (fd >= 0)
        (void)write(fd, text, strlen(text));
}

static void put_limit(const char *name, uint64_t limit)
{
    char text[24] = "max\n";

    if (limit > 0)
        (void)snprintf(text, sizeof(text), "%llu\n", (unsigned long long)limit);
    put(name, text);
}

static void put_cpu_max(uint32_t cpu_millis)
{
    char text[48];

    if (cpu_millis > 0)
        (void)snprintf(text, sizeof(text), "%llu %u\n",
                       (unsigned long long)cpu_millis * (PERIOD_US / 1000), PERIOD_US);
    else
        (void)snprintf(text, sizeof(text), "max %u\n", PERIOD_US);
    put("cpu.max", text);
}

/* "0,2,3": see cpuset(7), List format. */
static void put_cpus(const cpu_set_t *cpus)
{
    char text[CPU_SETSIZE * 5];
    size_t at = 0;

    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, cpus))
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d", at ? "," : "", i);
    }
    if (at == 0) { /* all: /proc/stat has them */
        (void)unlinkat(VIEW_FD, "cpuset.cpus.effective", 0);
        return;
    }
    text[at++] = '\n';
    text[at] = 0;
    put("cpuset.cpus.effective", text);
}

void view_add_slot(uint32_t index)
{
    char path[48];

    (void)snprintf(path, sizeof(path), "load/e%u", index);
    (void)symlinkat("..", VIEW_FD, path); /* there is no directory for it yet, or it is there */
}

static void begin(uint32_t n_slots)
{
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        (void)symlinkat(links[i][0], VIEW_FD, links[i][1]);
    for (uint32_t i = 0; i < n_slots; i++)
        view_add_slot(i);
}

void view_write(const struct limits *l, uint32_t n_slots)
{
    struct stat st;
    bool begun = fstatat(VIEW_FD, "load", &st, 0) == 0;

    if (!begun && l->memory_bytes == 0 && l->cpu_millis == 0)
        return;
    if (!begun && mkdirat(VIEW_FD, "load", 0555) == 0)
        begin(n_slots);
    put_cpu_max(l->cpu_millis);
    put_limit("memory.max", l->memory_bytes);
    put_limit("pids.max", l->pids);
    put_cpus(&l->cpus);
}
