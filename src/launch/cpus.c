/*
 * Which of the machine's CPUs a sandbox with a limit of CPU time runs on: as many as the limit fills, rounded up, so that programs
 * that count them start as many threads as can run; those that the fewest sandboxes have. It is not the limit, which the
 * cgroup holds: a process may choose other CPUs.
 */
#include "launch/cpus.h"

void cpus_init(struct cpus *c)
{
    *c = (struct cpus){0};
    if (sched_getaffinity(0, sizeof(c->allowed), &c->allowed) < 0) /* more than 1,024 */
        CPU_ZERO(&c->allowed);
    c->n_allowed = (uint32_t)CPU_COUNT(&c->allowed);
}

static int least_used(const struct cpus *c, const cpu_set_t *but)
{
    int best = -1;

    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &c->allowed) && !CPU_ISSET(i, but) &&
            (best < 0 || c->n_users[i] < c->n_users[best]))
            best = i;
    }
    return best;
}

void cpus_take(struct cpus *c, uint32_t cpu_millis, cpu_set_t *ret)
{
    uint32_t n = cpu_millis / 1000 + (cpu_millis % 1000 != 0);

    CPU_ZERO(ret);
    for (uint32_t i = 0; n < c->n_allowed && i < n; i++) {
        int cpu = least_used(c, ret);

        CPU_SET(cpu, ret);
        c->n_users[cpu]++;
    }
}

void cpus_take_again(struct cpus *c, const cpu_set_t *set)
{
    for (int i = 0; i < CPU_SETSIZE; i++)
        c->n_users[i] += CPU_ISSET(i, set) != 0;
}

void cpus_give(struct cpus *c, cpu_set_t *set)
{
    for (int i = 0; i < CPU_SETSIZE; i++)
        c->n_users[i] -= CPU_ISSET(i, set) != 0;
    CPU_ZERO(set);
}
