/*
 * The cgroups of sandboxes: one directory per sandbox in every hierarchy used. cgroup-find.c: which hierarchies there are;
 * cgroup.c: making, removing, killing; cgroup-limits.c: limits and usage as numbers. Functions return >= 0, or -errno.
 */
#ifndef CWS_LAUNCH_CGROUP_H
#define CWS_LAUNCH_CGROUP_H

#include <sys/types.h>

#include "base/macros.h"
#include "privproto/launchproto.h"

#define INIT_PIDS 1u /* init is not the user's process, but counts */

struct id_map;

struct cgroups {
    /* Directories <mount>/cwsandbox/<service>; -1: not used. */
    int v2, v1_memory, v1_cpu, v1_pids;
    bool v2_memory, v2_cpu, v2_pids; /* controllers enabled there for our children */
};

#define CGROUPS_NONE ((struct cgroups){.v2 = -1, .v1_memory = -1, .v1_cpu = -1, .v1_pids = -1})

int cgroups_find(struct cgroups *g, bool root, const char *service,
                 struct launch_features *features);
/** cgroups_done() - closes, and removes the directories of @service, which hold nothing any more. */
void cgroups_done(struct cgroups *g, const char *service);
/** cgroup_make() - the directories of @id. *ret_v2_fd: O_DIRECTORY descriptor or -1. Leaves
 * nothing on failure. */
int cgroup_make(const struct cgroups *g, const char *id, const struct id_map *map,
                int *ret_v2_fd);
/**
 * cgroup_open_pids() - the `tasks` file of the v1 pids directory; *ret_fd -1 where there is none
 * The child writes "0" to it: a single thread that moves itself is the one v1 move that takes no machine-wide lock
 * (cgroup_threadgroup_rwsem), whose grace period of 10 ms and more was the p99 of creation.
 */
int cgroup_open_pids(const struct cgroups *g, const char *id, int *ret_fd);
/** cgroup_join_v1() - make @id below @base and move init there, unless that was done before. */
int cgroup_join_v1(int base, const char *id, pid_t init_pid);
/** cgroup_remove() - 0, or -EBUSY while a member is not gone yet. */
int cgroup_remove(const struct cgroups *g, const char *id);
int cgroup_kill(const struct cgroups *g, const char *id);
/** cgroup_wait_empty() - until no process lives in @id or below, or @deadline_ns; without v2 (nothing tells) at once. */
void cgroup_wait_empty(const struct cgroups *g, const char *id, uint64_t deadline_ns);
int cgroup_freeze(const struct cgroups *g, const char *id, bool frozen);
/** cgroup_write() - @value to @file of directory @id below @base (-1: -ENOTSUP). */
int cgroup_write(int base, const char *id, const char *file, const char *value);
/** cgroup_counts_pids() - false: nproc_limit() has to do it, and cgroup_limit() leaves it alone. */
bool cgroup_counts_pids(const struct cgroups *g);
/** cgroup_limit() - the sandbox has no process but init yet: only @init_pid is moved where a limit needs it. */
int cgroup_limit(const struct cgroups *g, const struct launch_limits *limits, pid_t init_pid,
                 const char **ret_stage);
void cgroup_usage(const struct cgroups *g, const char *id, struct launch_usage *ret_usage);

#endif
