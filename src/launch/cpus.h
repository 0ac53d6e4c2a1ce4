/*
 * Shares the machine's CPUs out among sandboxes that have a limit of CPU time.
 */
#ifndef CWS_LAUNCH_CPUS_H
#define CWS_LAUNCH_CPUS_H

#include <sched.h>

#include "base/macros.h"

struct cpus {
    cpu_set_t allowed; /* ours, at our start */
    uint32_t n_allowed;
    uint32_t n_users[CPU_SETSIZE];
};

void cpus_init(struct cpus *c);
/** cpus_take() - for a limit of @cpu_millis; empty where it is none, or as many as there are. To be given back. */
void cpus_take(struct cpus *c, uint32_t cpu_millis, cpu_set_t *ret);
/** cpus_take_again() - @set has them already. */
void cpus_take_again(struct cpus *c, const cpu_set_t *set);
/** cpus_give() - @set is empty then. */
void cpus_give(struct cpus *c, cpu_set_t *set);

#endif
