/*
 * Three answers: calls of the table are made; what only an intruder asks for ends the process, which is noticed and logged
 * by the supervisor; everything else is EPERM. Not every missing call ends it, because what libc and OpenSSL ask for
 * changes with their versions, and they bear being refused: a service that dies of a library's update would be worse.
 *
 * No call here opens a way out: none makes a socket or connects one (those we serve on were handed to us, accept4 makes
 * the rest), none starts a program, none looks into another process, none makes a namespace or a mount. open and its kin
 * are allowed: what a user id of its own may open is not much, and the data directory is made of files.
 */
#include "server/confine.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/sysfilter.h"

/* clang-format off */
static const struct sysfilter_row allowed[] = {
    {SYS_accept4, "callers"},
    {SYS_brk, "memory"},
    {SYS_clock_getres, "time"},
    {SYS_clock_gettime, "time, where the vDSO cannot tell"},
    {SYS_clock_nanosleep, "time"},
    {SYS_close, "descriptors"},
    {SYS_close_range, "descriptors"},
    {SYS_copy_file_range, "file contents"},
    {SYS_dup, "descriptors"},
    {SYS_dup3, "descriptors"},
    {SYS_epoll_create1, "waiting"},
    {SYS_epoll_ctl, "waiting"},
    {SYS_epoll_pwait, "waiting"},
    {SYS_epoll_pwait2, "waiting"},
    {SYS_eventfd2, "libuv wakes its loop with it"},
    {SYS_exit, "threads of libuv's pool"},
    {SYS_exit_group, "the end"},
    {SYS_faccessat, "files of the data directory"},
    {SYS_faccessat2, "files of the data directory"},
    {SYS_fadvise64, "file contents"},
    {SYS_fallocate, "logs are cut from the front"},
    {SYS_fchmod, "files of the data directory"},
    {SYS_fcntl, "descriptors; locks of a database"},
    {SYS_fdatasync, "records"},
    {SYS_flock, "locks"},
    {SYS_fstat, "files"},
    {SYS_fstatfs, "files"},
    {SYS_fsync, "records"},
    {SYS_ftruncate, "file contents"},
    {SYS_futex, "threads"},
    {SYS_get_robust_list, "threads"},
    {SYS_getcwd, "libc: paths"},
    {SYS_getdents64, "the directory of logs"},
    {SYS_getegid, "who we are"},
    {SYS_geteuid, "who we are"},
    {SYS_getgid, "who we are"},
    {SYS_getpeername, "callers"},
    {SYS_getpid, "libc: abort"},
    {SYS_getppid, "who we are"},
    {SYS_getrandom, "ids, TLS"},
    {SYS_getrusage, "usage of our own"},
    {SYS_getsockname, "callers"},
    {SYS_getsockopt, "callers: who they are"},
    {SYS_gettid, "libc: abort"},
    {SYS_gettimeofday, "time"},
    {SYS_getuid, "who we are"},
    {SYS_inotify_add_watch, "logs"},
    {SYS_inotify_init1, "logs"},
    {SYS_inotify_rm_watch, "logs"},
    {SYS_lseek, "files"},
    {SYS_madvise, "memory"},
    {SYS_membarrier, "libc: threads"},
    {SYS_memfd_create, "large requests to init travel in one"},
    {SYS_mincore, "libc"},
    {SYS_mkdirat, "files of the data directory"},
    {SYS_mmap, "memory"},
    {SYS_mprotect, "memory: stacks of threads, malloc"},
    {SYS_mremap, "memory"},
    {SYS_msync, "records"},
    {SYS_munmap, "memory"},
    {SYS_nanosleep, "time"},
    {SYS_newfstatat, "files"},
    {SYS_openat, "files of the data directory"},
    {SYS_openat2, "files of the data directory"},
    {SYS_pipe2, "pipes of processes inside"},
    {SYS_ppoll, "waiting"},
    {SYS_pread64, "file contents"},
    {SYS_preadv, "file contents"},
    {SYS_pwrite64, "file contents"},
    {SYS_pwritev, "file contents"},
    {SYS_read, "everything"},
    {SYS_readahead, "file contents"},
    {SYS_readlinkat, "libc: paths"},
    {SYS_readv, "everything"},
    {SYS_recvfrom, "callers"},
    {SYS_recvmsg, "launch, init: descriptors come with messages"},
    {SYS_renameat, "records"},
    {SYS_renameat2, "records"},
    {SYS_restart_syscall, "the kernel, after a stop"},
    {SYS_rseq, "libc: threads"},
    {SYS_rt_sigaction, "signals"},
    {SYS_rt_sigpending, "signals"},
    {SYS_rt_sigprocmask, "signals"},
    {SYS_rt_sigreturn, "signals"},
    {SYS_rt_sigtimedwait, "signals"},
    {SYS_sched_getaffinity, "libuv: how many threads"},
    {SYS_sched_yield, "threads"},
    {SYS_sendfile, "file contents"},
    {SYS_sendmsg, "callers; launch and init: descriptors go with messages"},
    {SYS_sendto, "callers"},
    {SYS_set_robust_list, "threads"},
    {SYS_set_tid_address, "threads"},
    {SYS_setsockopt, "callers: keep-alive, no delay"},
    {SYS_shutdown, "callers"},
    {SYS_sigaltstack, "threads"},
    {SYS_splice, "output of processes into logs"},
    {SYS_statfs, "room of the data directory"},
    {SYS_statx, "files"},
    {SYS_sync_file_range, "records"},
    {SYS_sysinfo, "memory of the machine, for discovery"},
    {SYS_tee, "output of processes"},
    {SYS_tgkill, "abort; of this user there is only this process"},
    {SYS_timerfd_create, "time"},
    {SYS_timerfd_settime, "time"},
    {SYS_umask, "files of the data directory"},
    {SYS_uname, "discovery"},
    {SYS_unlinkat, "files of the data directory"},
    {SYS_utimensat, "files of the data directory"},
    {SYS_write, "everything"},
    {SYS_writev, "everything"},
#if defined(__x86_64__) /* the same under the names that only this one has */
    {SYS_access, "files of the data directory"},
    {SYS_dup2, "descriptors"},
    {SYS_epoll_wait, "waiting"},
    {SYS_getrlimit, "descriptors"},
    {SYS_lstat, "files"},
    {SYS_mkdir, "files of the data directory"},
    {SYS_open, "files of the data directory"},
    {SYS_pipe, "libuv: waking for signals"},
    {SYS_poll, "waiting"},
    {SYS_readlink, "libc: paths"},
    {SYS_rename, "records"},
    {SYS_rmdir, "files of the data directory"},
    {SYS_stat, "files"},
    {SYS_time, "time"},
    {SYS_unlink, "files of the data directory"},
#endif
};

/* Of ioctl(2) nothing that types into a terminal (TIOCSTI); of prlimit64(2) our own limits: what another process may have is
 * not ours to say, and no capability is left to say it. */
static const struct sysfilter_argument arguments[] = {
    {SYS_ioctl, 1, FIOCLEX, "libuv: descriptors"},
    {SYS_ioctl, 1, FIONBIO, "libuv: descriptors"},
    {SYS_ioctl, 1, FIONREAD, "how much a pipe holds"},
    {SYS_ioctl, 1, TCGETS, "libc: is it a terminal?"},
    {SYS_ioctl, 1, TIOCGWINSZ, "terminals of sandboxes"},
    {SYS_ioctl, 1, TIOCSWINSZ, "terminals of sandboxes"},
    {SYS_prlimit64, 0, 0, "limits of our own"},
};

/* Done, says the answer: what listens does so since before we lived, and keeps the credentials of who made it. */
static const struct sysfilter_row unneeded[] = {
    {SYS_listen, "listeners that were handed to us"},
};
/* clang-format on */

static const struct sysfilter filter = {
    .allowed = allowed,
    .n_allowed = ARRAY_SIZE(allowed),
    .unneeded = unneeded,
    .n_unneeded = ARRAY_SIZE(unneeded),
    .arguments = arguments,
    .n_arguments = ARRAY_SIZE(arguments),
};

int confine(struct err *err)
{
    if (sysfilter_install(&filter, err) < 0)
        return -1;
    errno = 0;
    if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ||
        errno != EPERM) /* a call that the table does not have */
        return err_set(err, ERR_INTERNAL, "the filter of system calls is not in force");
    return 0;
}
