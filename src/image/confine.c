/* See confine.h. */
#include "image/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/sysfilter.h"
#include "base/util.h"

#define MEMORY_BYTES_MAX \
    ((rlim_t)8 << 30) /* addresses: threads' stacks and heaps, four windows of zstd, TLS */
#define IDS "65536"

/* clang-format off */
static const struct sysfilter_row allowed[] = {
    {SYS_brk, "memory"},
    {SYS_clock_getres, "time"},
    {SYS_clock_gettime, "time, where the vDSO cannot tell"},
    {SYS_clock_nanosleep, "waiting before another try"},
    {SYS_close, "descriptors"},
    {SYS_connect, "registries"},
    {SYS_copy_file_range, "file contents"},
    {SYS_dup, "directories are read through a copy"},
    {SYS_epoll_create1, "waiting"},
    {SYS_epoll_ctl, "waiting"},
    {SYS_epoll_pwait, "waiting"},
    {SYS_eventfd2, "libcurl wakes itself with it"},
    {SYS_exit, "threads"},
    {SYS_exit_group, "the end"},
    {SYS_faccessat, "files of the store"},
    {SYS_faccessat2, "files of the store"},
    {SYS_fadvise64, "file contents"},
    {SYS_fallocate, "file contents"},
    {SYS_fchmod, "files of layers"},
    {SYS_fchmodat, "files of layers"},
    {SYS_fchown, "files of layers"},
    {SYS_fchownat, "files of layers"},
    {SYS_fcntl, "descriptors"},
    {SYS_fdatasync, "records"},
    {SYS_fgetxattr, "files of layers"},
    {SYS_flistxattr, "files of layers"},
    {SYS_flock, "locks of the store"},
    {SYS_fsetxattr, "files of layers"},
    {SYS_fstat, "files"},
    {SYS_fstatfs, "files"},
    {SYS_fsync, "records"},
    {SYS_ftruncate, "what came of a layer is begun anew"},
    {SYS_futex, "threads"},
    {SYS_get_robust_list, "threads"},
    {SYS_getcwd, "libc: paths"},
    {SYS_getdents64, "directories"},
    {SYS_getegid, "who we are"},
    {SYS_geteuid, "who we are"},
    {SYS_getgid, "who we are"},
    {SYS_getpeername, "connections"},
    {SYS_getpid, "libc: abort"},
    {SYS_getrandom, "names, TLS"},
    {SYS_getsockname, "connections"},
    {SYS_getsockopt, "connections"},
    {SYS_gettid, "libc: abort"},
    {SYS_gettimeofday, "time"},
    {SYS_getuid, "who we are"},
    {SYS_linkat, "hard links of layers"},
    {SYS_lseek, "files"},
    {SYS_madvise, "memory"},
    {SYS_membarrier, "libc: threads"},
    {SYS_mkdirat, "directories of layers"},
    {SYS_mknodat, "whiteouts and pipes of layers: devices need a capability that is gone"},
    {SYS_mmap, "memory"},
    {SYS_mprotect, "memory: stacks of threads, malloc"},
    {SYS_mremap, "memory"},
    {SYS_munmap, "memory"},
    {SYS_nanosleep, "time"},
    {SYS_newfstatat, "files"},
    {SYS_openat, "files"},
    {SYS_openat2, "files of layers"},
    {SYS_pipe2, "libcurl wakes itself with it"},
    {SYS_ppoll, "waiting"},
    {SYS_pread64, "file contents"},
    {SYS_pwrite64, "file contents"},
    {SYS_read, "everything"},
    {SYS_readlinkat, "links of layers"},
    {SYS_readv, "everything"},
    {SYS_recvfrom, "connections"},
    {SYS_recvmmsg, "libc: names"},
    {SYS_recvmsg, "libc: names"},
    {SYS_renameat, "records"},
    {SYS_renameat2, "layers get their names"},
    {SYS_restart_syscall, "the kernel, after a stop"},
    {SYS_rseq, "libc: threads"},
    {SYS_rt_sigaction, "signals"},
    {SYS_rt_sigprocmask, "signals"},
    {SYS_rt_sigreturn, "signals"},
    {SYS_sched_getaffinity, "how many threads"},
    {SYS_sched_yield, "threads"},
    {SYS_sendmmsg, "libc: names"},
    {SYS_sendmsg, "libc: names"},
    {SYS_sendto, "connections"},
    {SYS_set_robust_list, "threads"},
    {SYS_set_tid_address, "threads"},
    {SYS_setsockopt, "connections"},
    {SYS_shutdown, "connections"},
    {SYS_sigaltstack, "threads"},
    {SYS_statx, "files"},
    {SYS_symlinkat, "links of layers"},
    {SYS_syncfs, "a layer is on disk before it has a name"},
    {SYS_sysinfo, "libc: how much memory sorting may take"},
    {SYS_tgkill, "abort"},
    {SYS_uname, "libc: names"},
    {SYS_unlinkat, "files of the store"},
    {SYS_utimensat, "files of layers"},
    {SYS_write, "everything"},
    {SYS_writev, "everything"},
#if defined(__x86_64__) /* the same under the names that only this one has */
    {SYS_access, "files"},
    {SYS_chmod, "files of layers"},
    {SYS_epoll_wait, "waiting"},
    {SYS_lstat, "files"},
    {SYS_open, "libc: files"},
    {SYS_pipe, "libcurl wakes itself with it"},
    {SYS_poll, "waiting"},
    {SYS_readlink, "libc: paths"},
    {SYS_stat, "files"},
    {SYS_time, "time"},
#endif
};

static const struct sysfilter_argument arguments[] = {
    {SYS_socket, 0, AF_INET, "registries"},
    {SYS_socket, 0, AF_INET6, "registries"},
    {SYS_socketpair, 0, AF_UNIX, "libcurl wakes itself with it"},
    {SYS_ioctl, 1, FIONBIO, "libcurl: connections"},
    {SYS_ioctl, 1, TCGETS, "libc: is it a terminal?"},
    {SYS_ioctl, 1, TIOCGWINSZ, "how wide the line of progress may be"},
    {SYS_prlimit64, 0, 0, "limits of our own"},
};

/* What looking up names and checking certificates reads; what is not there is not needed. */
static const char *const readable[] = {
    "/etc/gai.conf", "/etc/host.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/ssl", "/etc/pki",
    "/etc/ca-certificates", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/run/systemd/resolve",
    "/usr/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom", "/dev/null",
};
/* clang-format on */

static const struct sysfilter filter = {
    .allowed = allowed,
    .n_allowed = ARRAY_SIZE(allowed),
    .arguments = arguments,
    .n_arguments = ARRAY_SIZE(arguments),
};

static int write_proc(pid_t pid, const char *name, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    CLEANUP_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

/* Nested in somebody's container there may be fewer ids than an image has. */
static bool has_all_ids(const char *map)
{
    CLEANUP_FREE char *text = NULL;
    size_t n;
    unsigned long long inside, outside, count;
    return file_read(map, 4096, &text, &n) == 0 &&
           sscanf(text, "%llu %llu %llu", &inside, &outside, &count) == 3 && inside == 0 &&
           count >= 65536;
}

/* Only who stays outside may write maps of more than one id: a child does, and waits for the namespace to be there. */
static int map_range(void)
{
    int ends[2], status = 0;
    char go = 0;
    pid_t self = getpid();
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    pid_t child = fork();
    if (child == 0) {
        bool fine = read(ends[0], &go, 1) == 1 &&
                    write_proc(self, "uid_map", "0 0 " IDS) == 0 &&
                    write_proc(self, "gid_map", "0 0 " IDS) == 0;
        _exit(fine ? 0 : 1);
    }
    int r = child < 0 || unshare(CLONE_NEWUSER) < 0 || write(ends[1], &go, 1) != 1 ? -errno : 0;
    (void)close(ends[0]);
    (void)close(ends[1]); /* without a byte the child goes */
    if (child > 0)
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
    return r < 0 ? r : WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int map_one(uid_t uid, gid_t gid)
{
    char uids[48], gids[48];
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    (void)snprintf(uids, sizeof(uids), "0 %u 1", (unsigned)uid);
    (void)snprintf(gids, sizeof(gids), "0 %u 1", (unsigned)gid);
    int r = write_proc(getpid(), "uid_map", uids);
    if (r == 0)
        r = write_proc(getpid(), "setgroups", "deny");
    return r == 0 ? write_proc(getpid(), "gid_map", gids) : r;
}

/* A namespace makes every capability one over files of these ids alone. Where there is none for us, we go on without. */
static int enter_users(bool root, struct err *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int r = root ? map_range() : map_one(uid, gid);
    if (r == 0 ||
        (geteuid() == uid && getegid() == gid)) /* unmapped, we would be somebody else */
        return 0;
    return err_set_errno(err, ERR_FAILED_PRECONDITION, -r, "map ids into a user namespace");
}

static int keep_capabilities(bool root, struct err *err)
{
    uint32_t wanted = 1u << CAP_DAC_OVERRIDE |
                      1u << CAP_FOWNER; /* a directory that its owner may not enter */
    if (root)
        wanted |= 1u << CAP_CHOWN | 1u << CAP_FSETID | 1u << CAP_SETFCAP;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "read our capabilities");
    for (
        int cap = 0; cap < 64;
        cap++) /* EPERM without CAP_SETPCAP: then there is nothing to gain by an execve either */
        if (cap >= 32 || !(wanted & 1u << cap))
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    for (int word = 0; word < 2; word++) {
        data[word].permitted &= word == 0 ? wanted : 0;
        data[word].effective = data[word].permitted;
        data[word].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "give up capabilities");
    return 0;
}

static int landlock_rule(int ruleset, int fd, uint64_t rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
               ? -errno
               : 0;
}

/* Paths. Version 2 can rename between directories, which the store does; 3 knows truncation. */
static int fence_files(const struct confine_paths *paths, struct err *err)
{
    const uint64_t to_read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    long version =
        syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 2)
        return 0;
    struct landlock_ruleset_attr attr = {
        .handled_access_fs = (version < 3 ? UINT64_C(1) << 14 : UINT64_C(1) << 15) - 1};
    CLEANUP_FD int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
    int r = ruleset < 0
                ? -errno
                : landlock_rule(ruleset, paths->store,
                                attr.handled_access_fs & ~UINT64_C(1)); /* but execute */
    if (r == 0 && paths->input >= 0)
        r = landlock_rule(ruleset, paths->input, to_read);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(readable); i++) {
        CLEANUP_FD int fd = open(readable[i], O_PATH | O_CLOEXEC);
        if (fd < 0)
            continue;
        r = landlock_rule(ruleset, fd, to_read);
        if (r == -EINVAL) /* a right of directories, and this is a file */
            r = landlock_rule(ruleset, fd, LANDLOCK_ACCESS_FS_READ_FILE);
    }
    if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
        r = -errno;
    return r < 0 ? err_set_errno(err, ERR_INTERNAL, -r, "fence off files by Landlock") : 0;
}

int confine(const struct confine_paths *paths, bool *ret_keep_owners, struct err *err)
{
    bool root = geteuid() == 0 && has_all_ids("/proc/self/uid_map") &&
                has_all_ids("/proc/self/gid_map");
    struct rlimit memory = {MEMORY_BYTES_MAX, MEMORY_BYTES_MAX}, none = {0, 0};
    (void)setrlimit(RLIMIT_AS, &memory); /* a lower one that we cannot raise is as good */
    (void)setrlimit(RLIMIT_CORE, &none);
    if (enter_users(root, err) < 0)
        return -1;
    if (keep_capabilities(root, err) < 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "give up new privileges");
    if (fence_files(paths, err) < 0 || sysfilter_install(&filter, err) < 0)
        return -1;
    errno = 0;
    if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || errno != EPERM)
        return err_set(err, ERR_INTERNAL, "the filter of system calls is not in force");
    *ret_keep_owners = root;
    return 0;
}
