/*
 * The limits of the load, as launch told of them last, and the kernel's counts of who was killed for want of memory: of each
 * slot where memory is limited, else of the machine.
 */
#ifndef CWS_INIT_LOAD_LIMITS_H
#define CWS_INIT_LOAD_LIMITS_H

#include <sched.h>
#include <sys/types.h>

#include "init/control.h"

/* The memory cgroup of a slot. */
struct memory_slot {
    int tasks_fd; /* of v1, to enter; -1: of v2, in which it is born, or there is none */
    int count_fd; /* "oom_kill N"; -1: not opened yet, or nobody counts */
};

/* What was counted when an exec began. */
struct oom_count {
    uint64_t n;
    bool own; /* of its slot alone; else of the machine */
};

struct limits {
    int fds[INIT_LIMITS_FDS]; /* -1: nothing to enter */
    int machine_fd;           /* /proc/vmstat; -1: not to be had */
    uint64_t
        n_machine; /* killed on the machine, as it was read last: at the start, and when somebody was killed. Reading costs 40 us */
    uint64_t memory_bytes; /* 0: no limit; so with the others */
    uint32_t cpu_millis;
    uint32_t pids;
    cpu_set_t cpus; /* empty: all */
    bool tight;
};

void limits_init(struct limits *l);
/** limits_take() - a LIMITS; -EPROTO when its descriptors are not those that it speaks of. */
int limits_take(struct limits *l, struct packet *p);
/** limits_enter() - [child] under the limits from here on, in @m (NULL: no slots here): as little as possible comes after it.
 * -EAGAIN: too many processes. */
int limits_enter(const struct limits *l, const struct memory_slot *m);
void memory_slot_init(struct memory_slot *m);
/** memory_slot_open() - what there is for slot @index, the v2 directory @dir_fd, under the limits of now; what is open stays. -errno. */
int memory_slot_open(struct memory_slot *m, const struct limits *l, uint32_t index, int dir_fd);
void memory_slot_close(struct memory_slot *m);
/** limits_count_oom() - of an exec that is about to begin in @m (NULL: no slots here). */
struct oom_count limits_count_oom(const struct limits *l, const struct memory_slot *m);
/** limits_oom_flags() - of the EXITED of an exec that ended in @m with @wait_status; @before: limits_count_oom() at its start. */
uint32_t limits_oom_flags(struct limits *l, const struct memory_slot *m,
                          const struct oom_count *before, int wait_status);
/** limits_fork() - fork(2) into the v2 slot @cgroup_fd (-1: none), which is under the limits already; the child calls
 * limits_enter(), too. -errno. */
pid_t limits_fork(int cgroup_fd);

#endif
