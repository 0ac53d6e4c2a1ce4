/*
 * The limits of the load, as launch told of them last, and the kernel's count of who was killed at one of them.
 */
#ifndef CWS_INIT_LOAD_LIMITS_H
#define CWS_INIT_LOAD_LIMITS_H

#include <sched.h>
#include <sys/types.h>

#include "init/control.h"

struct limits {
    int fds[INIT_LIMITS_FDS]; /* -1: nothing to enter */
    uint64_t
        n_oom_told; /* of the kills that were counted so many have been told as an exec's end */
    uint64_t memory_bytes; /* 0: no limit; so with the others */
    uint32_t cpu_millis;
    uint32_t pids;
    cpu_set_t cpus; /* empty: all */
    bool tight;
};

void limits_init(struct limits *l);
/** limits_take() - a LIMITS; -EPROTO when its descriptors are not those that it speaks of. */
int limits_take(struct limits *l, struct packet *p);
/** limits_enter() - [child] under the limits from here on: as little as possible comes after it. -EAGAIN: too many processes. */
int limits_enter(const struct limits *l);
/** limits_count_oom() - how many processes of the load were killed for want of memory; -ENOENT: nobody counts. */
int limits_count_oom(const struct limits *l, uint64_t *ret);
/** limits_oom_flags() - of the EXITED of an exec that ended with @wait_status; @n_before: limits_count_oom() at its start. */
uint32_t limits_oom_flags(struct limits *l, uint64_t n_before, int wait_status);
/** limits_fork() - fork(2) into the v2 slot @cgroup_fd (-1: none), which is under the limits already; the child calls
 * limits_enter(), too. -errno. */
pid_t limits_fork(int cgroup_fd);

#endif
