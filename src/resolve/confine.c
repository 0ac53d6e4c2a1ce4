/* See confine.h. */
#include "resolve/confine.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/sysfilter.h"

#define MEMORY_BYTES_MAX \
    ((rlim_t)4 << 30) /* addresses: the table, and 2,048 questions of 70 KiB at most */

/* clang-format off */
static const struct sysfilter_row allowed[] = {
    {SYS_accept4, "questions by TCP"},
    {SYS_brk, "memory"},
    {SYS_clock_gettime, "time, where the vDSO cannot tell"},
    {SYS_close, "descriptors"},
    {SYS_connect, "servers"},
    {SYS_epoll_ctl, "waiting"},
    {SYS_epoll_pwait, "waiting"},
    {SYS_exit_group, "the end"},
    {SYS_futex, "libc"},
    {SYS_getpid, "libc: abort"},
    {SYS_getrandom, "numbers of questions"},
    {SYS_gettid, "libc: abort"},
    {SYS_madvise, "memory"},
    {SYS_mmap, "memory"},
    {SYS_mprotect, "memory: malloc"},
    {SYS_mremap, "memory"},
    {SYS_munmap, "memory"},
    {SYS_newfstatat, "whether the servers are still those"},
    {SYS_recvfrom, "questions and answers"},
    {SYS_restart_syscall, "the kernel, after a stop"},
    {SYS_rt_sigprocmask, "libc: abort"},
    {SYS_rt_sigreturn, "signals"},
    {SYS_sendto, "questions and answers"},
    {SYS_tgkill, "abort"},
    {SYS_write, "log"},
#if defined(__x86_64__) /* the same under the names that only this one has */
    {SYS_epoll_wait, "waiting"},
    {SYS_stat, "whether the servers are still those"},
#endif
};

static const struct sysfilter_argument arguments[] = {
    {SYS_socket, 0, AF_INET, "servers"},
    {SYS_socket, 0, AF_INET6, "servers"},
};
/* clang-format on */

static const struct sysfilter filter = {
    .allowed = allowed,
    .n_allowed = ARRAY_SIZE(allowed),
    .arguments = arguments,
    .n_arguments = ARRAY_SIZE(arguments),
};

int confine(struct err *err)
{
    const struct rlimit memory = {MEMORY_BYTES_MAX, MEMORY_BYTES_MAX};

    if (setrlimit(RLIMIT_AS, &memory) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "confine the resolver");
    return sysfilter_install(&filter, err);
}
