/*
 * The process limit where no cgroup counts processes (an ordinary user without a delegated
 * cgroup): RLIMIT_NPROC. Since Linux 5.14 the kernel counts it per user and user namespace, so
 * in a sandbox, which has a user namespace of its own, it counts that sandbox and nothing else.
 * Processes inside can neither raise it (that takes CAP_SYS_RESOURCE over the machine) nor
 * leave the count: user namespaces are refused, and caps.c takes CAP_SETUID from them.
 */
#include <errno.h>
#include <sys/resource.h>

#include "launch/launch.h"

#define INIT_PIDS 1u /* init is not the user's process, but counts */

int nproc_limit(pid_t pid, uint32_t pids)
{
    struct rlimit limit;

    if (pids == 0)
        return 0;
    if (prlimit(pid, RLIMIT_NPROC, NULL, &limit) < 0)
        return -errno;
    /* Only ever down: an ordinary user's launch cannot lift a hard limit, its own neither. */
    limit.rlim_max = MIN(limit.rlim_max, (rlim_t)pids + INIT_PIDS);
    limit.rlim_cur = limit.rlim_max;
    return prlimit(pid, RLIMIT_NPROC, &limit, NULL) < 0 ? -errno : 0;
}
