/*
 * The cgroups of sandboxes: one directory per sandbox in every hierarchy used. cgroup-find.c: which hierarchies there are;
 * cgroup.c: making, removing, killing; cgroup-limits.c: limits and usage as numbers. Functions return >= 0, or -errno.
 */
#ifndef CWS_LAUNCH_CGROUP_H
#define CWS_LAUNCH_CGROUP_H

#include <sys/types.h>

#include "base/macros.h"
#include "privproto/initproto.h"
#include "privproto/launchproto.h"

#define CGROUP_LOAD "load" /* below <id>: everything but init, and the limits */
#define CGROUP_INIT "init" /* below <id>, where v2 has controllers: init alone */

struct id_map;

struct cgroups {
    /* Directories <mount>/cwsandbox/<service>; -1: not used. */
    int v2, v1_memory, v1_cpu, v1_pids;
    bool v2_memory, v2_cpu, v2_pids; /* controllers enabled there for our children */
};

#define CGROUPS_NONE ((struct cgroups){.v2 = -1, .v1_memory = -1, .v1_cpu = -1, .v1_pids = -1})

int cgroups_find(struct cgroups *g, bool root, const char *service,
                 struct launch_features *features);
/** cgroups_describe() - what @g can do. */
void cgroups_describe(const struct cgroups *g, bool root, struct launch_features *features);
/** cgroups_done() - closes, and removes the directories of @service, which hold nothing any more. */
void cgroups_done(struct cgroups *g, const char *service);
/* Descriptors of a new sandbox's v2 directories. -1: not used on this host. */
struct cgroup_fds {
    int birth; /* <id>: what init is cloned into, and sees as the root */
    int enter; /* cgroup.procs of <id>/init, which it then moves to; -1: it stays */
    int load;  /* <id>/load, for init: the parent of its exec slots */
};

/**
 * cgroup_make() - the v2 directories of @id; those of v1 come with the first limit
 * @ret: untouched on failure, which leaves nothing.
 */
int cgroup_make(const struct cgroups *g, const char *id, const struct id_map *map,
                struct cgroup_fds *ret);
/** cgroup_limits_need_init() - limits can be set only when init has left <id> (v2: no processes in inner nodes). */
bool cgroup_limits_need_init(const struct cgroups *g);
/** cgroup_remove() - 0, or -EBUSY while a member is not gone yet. */
int cgroup_remove(const struct cgroups *g, const char *id);
int cgroup_kill(const struct cgroups *g, const char *id);
/** cgroup_wait_empty() - until no process lives in @id or below, or @deadline_ns; without v2 (nothing tells) at once. */
void cgroup_wait_empty(const struct cgroups *g, const char *id, uint64_t deadline_ns);
int cgroup_freeze(const struct cgroups *g, const char *id, bool frozen);
/** cgroup_write() - @value to @file of directory @id below @base (-1: -ENOTSUP). */
int cgroup_write(int base, const char *id, const char *file, const char *value);
/** cgroup_give() - @file in @dir ("": @dir itself) to the sandbox's root. */
int cgroup_give(int dir, const struct id_map *map, const char *file);
/** cgroup_counts_pids() - false: nproc_limit() has to do it, and cgroup_limit() leaves it alone. */
bool cgroup_counts_pids(const struct cgroups *g);
/* How a child of init comes under the limits: what INIT_LIMITS tells init (privproto/initproto.h). */
struct cgroup_entry {
    int fds[INIT_LIMITS_FDS];
    size_t n_fds;
    uint32_t flags; /* enum init_flags */
    uint32_t pids;
};

/**
 * cgroup_limit() - write @limits; init is outside of them, its children enter as @ret_entry says
 * @ret_entry: also on failure to be given to cgroup_entry_done().
 */
int cgroup_limit(const struct cgroups *g, const struct id_map *map,
                 const struct launch_limits *limits, struct cgroup_entry *ret_entry,
                 const char **ret_stage);
/** cgroup_lift_cpu() - without the limit of CPU time, or with @cpu_millis (0: never had one) again. */
void cgroup_lift_cpu(const struct cgroups *g, const char *id, uint32_t cpu_millis, bool lifted);
/** cgroup_open_memory() - memory.stat of what @id uses; -ENOENT: nobody counts. */
int cgroup_open_memory(const struct cgroups *g, const char *id);
void cgroup_entry_done(struct cgroup_entry *entry);
void cgroup_usage(const struct cgroups *g, const char *id, struct launch_usage *ret_usage);

#endif
