/*
 * What programs inside take for the size of their machine, in files: limits of memory and CPU as those of cgroup version 2, and
 * the CPUs there are. launch has mounted VIEW_FD read-only at /sys; we have the way to write there, and are told the
 * limits (LIMITS). Nothing is there before the first that counts.
 *
 * Programs look for the cgroup that /proc/self/cgroup names, "/load/e3": each of these is the root again, by a link.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "init/init.h"

#define CGROUP "fs/cgroup/"
#define CPUS "devices/system/cpu/"
#define PERIOD_US 100000u /* as launch sets it */

/* Of version 1, which libuv (Node.js) reads where /proc/self/cgroup has a line of its memory controller. */
#define OLD_MEMORY CGROUP "memory/memory.limit_in_bytes"
#define OLD_SOFT CGROUP "memory/memory.soft_limit_in_bytes"
#define OLD_NONE UINT64_C(0x7ffffffffffff000)

/* A file that cannot be written (a full disk) is one that is not there: no limit depends on it. */
static void put(const char *path, const char *text)
{
    CLEANUP_FD int fd =
        openat(VIEW_FD, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0444);

    if (fd >= 0)
        (void)write(fd, text, strlen(text));
}

static void put_number(const char *path, uint64_t n)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%llu\n", (unsigned long long)n);
    put(path, text);
}

static void put_limit(const char *path, uint64_t limit)
{
    if (limit > 0)
        put_number(path, limit);
    else
        put(path, "max\n");
}

static void put_cpu_max(uint32_t cpu_millis)
{
    char text[48];
    unsigned long long quota_us = (unsigned long long)cpu_millis * (PERIOD_US / 1000);

    if (cpu_millis > 0)
        (void)snprintf(text, sizeof(text), "%llu %u\n", quota_us, PERIOD_US);
    else
        (void)snprintf(text, sizeof(text), "max %u\n", PERIOD_US);
    put(CGROUP "cpu.max", text);
}

/* "0,2-3": see cpuset(7), List format. */
static void put_cpus(const cpu_set_t *cpus)
{
    char text[CPU_SETSIZE * 5];
    size_t at = 0;

    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, cpus))
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d", at ? "," : "", i);
    }
    if (at == 0) { /* all: /proc/stat has them */
        (void)unlinkat(VIEW_FD, CPUS "online", 0);
        return;
    }
    (void)symlinkat("online", VIEW_FD, CPUS "possible"); /* or it is there */
    (void)symlinkat("online", VIEW_FD, CPUS "present");
    text[at++] = '\n';
    text[at] = 0;
    put(CPUS "online", text);
}

static void make_dirs(void)
{
    static const char *const dirs[] = {"fs/cgroup/load", "fs/cgroup/memory", "devices",
                                       "devices/system", "devices/system/cpu"};

    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        (void)mkdirat(VIEW_FD, dirs[i], 0555);
}

void view_add_slot(uint32_t index)
{
    char path[48];

    (void)snprintf(path, sizeof(path), CGROUP "load/e%u", index);
    (void)symlinkat("..", VIEW_FD, path); /* there is no directory for it yet, or it is there */
}

void view_write(const struct limits *l, uint32_t n_slots)
{
    struct stat st;
    bool written = fstatat(VIEW_FD, CGROUP "load", &st, 0) == 0;

    if (!written && l->memory_bytes == 0 && l->cpu_millis == 0)
        return;
    make_dirs();
    put(CGROUP "cgroup.controllers", "cpu memory pids\n");
    put_cpu_max(l->cpu_millis);
    put_limit(CGROUP "memory.max", l->memory_bytes);
    put_number(OLD_MEMORY, l->memory_bytes > 0 ? l->memory_bytes : OLD_NONE);
    put_number(OLD_SOFT, OLD_NONE);
    put_limit(CGROUP "pids.max", l->pids);
    put_cpus(&l->cpus);
    for (uint32_t i = 0; i < n_slots; i++)
        view_add_slot(i);
}
