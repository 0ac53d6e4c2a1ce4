/*
 * Runs inside a sandbox and tries what must not work there. One line per attempt: "name errno-name", or "name OPEN" when it
 * worked. The expectations are in test_escape.py; nothing here does damage where it works.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *name, long result)
{
    printf("%s %s\n", name, result < 0 ? strerrorname_np(errno) : "OPEN");
    fflush(stdout);
}

/* In a child, so that an attempt that works changes nobody else. */
#define TRY_IN_CHILD(name, expression) \
    do { \
        pid_t pid_ = fork(); \
        if (pid_ == 0) { \
            say(name, (long)(expression)); \
            _exit(0); \
        } \
        (void)waitpid(pid_, NULL, 0); \
    } while (0)

static int open_and_close(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd;
}

static int write_word(const char *path, const char *word)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, word, strlen(word));
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return n < 0 ? -1 : 0;
}

static void kernel_entries(void)
{
    struct io_uring_params params = {0};
    struct timeval now = {0};

    say("io_uring_setup", syscall(SYS_io_uring_setup, 1, &params));
    unsigned long context = 0;

    /* Counted for the whole machine, whoever asks: fs.aio-max-nr, vm.nr_hugepages. */
    say("io_setup", syscall(SYS_io_setup, 8, &context));
    void *huge =
        mmap(NULL, 1 << 21, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    say("mmap_huge", huge == MAP_FAILED ? -1 : 0);
    say("memfd_huge", syscall(SYS_memfd_create, "x", MFD_HUGETLB));
    say("shm_huge", shmget(IPC_PRIVATE, 1 << 21, SHM_HUGETLB | IPC_CREAT | 0600));
    say("userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC));
    say("bpf", syscall(SYS_bpf, 0, NULL, 0));
    say("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    say("add_key", syscall(SYS_add_key, "user", "x", "y", 1, -5));
    say("keyctl",
        syscall(SYS_keyctl, 0, -3, 1, 0, 0)); /* KEYCTL_GET_KEYRING_ID of the session */
    say("request_key", syscall(SYS_request_key, "user", "x", NULL, 0));
    say("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
    say("syslog", syscall(SYS_syslog, 3, NULL, 0));
    say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    say("init_module", syscall(SYS_init_module, "", 0, ""));
    say("swapoff", syscall(SYS_swapoff, "/x"));
    say("reboot", syscall(SYS_reboot, 0, 0, 0, NULL)); /* wrong magic: harmless */
    say("settimeofday", settimeofday(&now, NULL) < 0 ? -1 : 0);
    say("acct", syscall(SYS_acct, NULL));
    say("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL));
    say("fanotify_init", syscall(SYS_fanotify_init, 0, 0));
    say("iopl", syscall(SYS_iopl, 3));
}

static void namespaces(void)
{
    struct {
        uint64_t flags, rest[10];
    } clone3 = {.flags = CLONE_NEWUSER};

    TRY_IN_CHILD("unshare_user", unshare(CLONE_NEWUSER));
    TRY_IN_CHILD("unshare_mnt", unshare(CLONE_NEWNS));
    TRY_IN_CHILD("unshare_net", unshare(CLONE_NEWNET));
    TRY_IN_CHILD("clone_user", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    TRY_IN_CHILD("clone3_user", syscall(SYS_clone3, &clone3, sizeof(clone3)));
    TRY_IN_CHILD("setns", setns(open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC), 0));
    TRY_IN_CHILD("setns_init", setns(open("/proc/1/ns/mnt", O_RDONLY | O_CLOEXEC), 0));
    say("mount_tmpfs", mount("x", "/mnt", "tmpfs", 0, NULL));
    say("mount_proc", mount("x", "/mnt", "proc", 0, NULL));
    say("remount_root", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    say("umount_proc_sys", umount2("/proc/sys", MNT_DETACH));
    say("umount_dev", umount2("/dev", MNT_DETACH));
    say("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    say("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
    say("pivot_root", syscall(SYS_pivot_root, "/", "/mnt"));
    say("sethostname", sethostname("x", 1));
    say("move_mount", syscall(SYS_move_mount, AT_FDCWD, "/tmp", AT_FDCWD, "/mnt", 0));
}

static void devices(void)
{
    say("mknod_sda", mknod("/tmp/disk", S_IFBLK | 0666, makedev(8, 0)));
    say("mknod_mem", mknod("/tmp/mem", S_IFCHR | 0666, makedev(1, 1)));
    say("mknod_null", mknod("/tmp/null", S_IFCHR | 0666, makedev(1, 3)));
    say("mknod_fuse", mknod("/tmp/fuse", S_IFCHR | 0666, makedev(10, 229)));
    /* Character device 0:0 is overlayfs's whiteout, the one that needs no CAP_MKNOD. */
    (void)!mknod("/tmp/whiteout", S_IFCHR | 0666, makedev(0, 0));
    say("open_whiteout", open_and_close("/tmp/whiteout", O_RDONLY));
    say("open_kmsg", open_and_close("/dev/kmsg", O_RDONLY));
    say("open_mem", open_and_close("/dev/mem", O_RDONLY));
    say("open_fuse", open_and_close("/dev/fuse", O_RDWR));
    say("write_kcore", write_word("/proc/kcore", "x"));
    say("create_in_dev", open_and_close("/dev/new", O_CREAT | O_WRONLY));
    say("chmod_dev_null", chmod("/dev/null", 0600));
    say("unlink_dev_null", unlink("/dev/null"));
    say("utime_dev_null", utimensat(AT_FDCWD, "/dev/null", NULL, 0));
    say("utime_given_null", futimens(open("/dev/null", O_RDONLY), NULL));
}

static void proc_writes(void)
{
    say("sysctl_core_pattern", write_word("/proc/sys/kernel/core_pattern", "|/x"));
    say("sysctl_modprobe", write_word("/proc/sys/kernel/modprobe", "/x"));
    say("sysctl_hostname", write_word("/proc/sys/kernel/hostname", "x"));
    say("sysctl_userns", write_word("/proc/sys/user/max_user_namespaces", "100"));
    say("sysctl_ip_forward", write_word("/proc/sys/net/ipv4/ip_forward", "1"));
    say("sysctl_pid_max", write_word("/proc/sys/kernel/pid_max", "400"));
    say("sysrq", open_and_close("/proc/sysrq-trigger", O_WRONLY) < 0
                     ? -1
                     : write_word("/proc/sysrq-trigger", "h"));
    say("uid_map", write_word("/proc/self/uid_map", "0 0 1"));
    say("setgroups", write_word("/proc/self/setgroups", "allow"));
    say("lower_oom_score", write_word("/proc/self/oom_score_adj", "-999"));
    say("binfmt_misc", write_word("/proc/sys/fs/binfmt_misc/register", ":x:M::xx::/x:"));
}

static void against_init(void)
{
    char byte;
    struct iovec here = {.iov_base = &byte, .iov_len = 1},
                 there = {.iov_base = (void *)4096, .iov_len = 1};
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);

    say("init_root", open_and_close("/proc/1/root", O_RDONLY));
    say("init_cwd", open_and_close("/proc/1/cwd", O_RDONLY));
    say("init_exe", open_and_close("/proc/1/exe", O_RDONLY));
    say("init_exe_write", open_and_close("/proc/1/exe", O_WRONLY));
    say("init_mem", open_and_close("/proc/1/mem", O_RDWR));
    say("init_maps", open_and_close("/proc/1/maps", O_RDONLY));
    say("init_environ", open_and_close("/proc/1/environ", O_RDONLY));
    say("init_fd_0", open_and_close("/proc/1/fd/0", O_RDONLY));
    say("init_fd_3", open_and_close("/proc/1/fd/3", O_RDWR));
    say("init_fd_4", open_and_close("/proc/1/fd/4", O_RDONLY));
    say("init_ptrace", ptrace(PTRACE_SEIZE, 1, 0, 0));
    say("init_attach", ptrace(PTRACE_ATTACH, 1, 0, 0));
    say("init_vm_readv", process_vm_readv(1, &here, 1, &there, 1, 0));
    say("init_pidfd_getfd", syscall(SYS_pidfd_getfd, pidfd, 3, 0));
    say("init_migrate", syscall(SYS_migrate_pages, 1, 1, NULL, NULL));
    for (int signo = 1; signo < 65; signo++)
        (void)kill(1, signo);
    printf("init_after_64_signals %s\n", kill(1, 0) == 0 ? "alive" : "dead");
}

static void sockets(void)
{
    say("socket_packet", socket(AF_PACKET, SOCK_RAW, 0));
    say("socket_raw", socket(AF_INET, SOCK_RAW, 1));
    say("socket_vsock", socket(40, SOCK_STREAM, 0));
    say("socket_alg", socket(38, SOCK_SEQPACKET, 0));
    say("socket_vsock_high", syscall(SYS_socket, 40 | 1ul << 32, SOCK_STREAM, 0));
    say("socket_alg_high", syscall(SYS_socket, 38 | 1ul << 32, SOCK_SEQPACKET, 0));
    say("socketpair_vsock", socketpair(40, SOCK_STREAM, 0, (int[2]){0}));
}

/* Every protocol of AF_NETLINK, also with something in the upper half of the registers. */
static void netlink(void)
{
    for (unsigned long protocol = 0; protocol < 40; protocol++) {
        bool given = protocol == 0 /* ROUTE */ || protocol == 4 /* SOCK_DIAG */ ||
                     protocol == 16 /* GENERIC */;
        int plain = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, (int)protocol), error = errno;
        long high =
            syscall(SYS_socket, AF_NETLINK | 1ul << 32, SOCK_DGRAM, protocol | 1ul << 32);
        char name[32];

        if (given) {
            errno =
                plain >= 0 && high >= 0 ? ENOTSUP : EBADMSG; /* refused would be wrong, too */
        } else if (plain >= 0 || high >= 0) {
            errno = 0;
        } else {
            errno = error;
        }
        (void)snprintf(name, sizeof(name), given ? "given_%lu" : "netlink_%lu", protocol);
        say(name, errno ? -1 : 0);
    }
}

/* What would make somebody else wait, and what would show which files the machine has in memory. */
static void others(void)
{
    struct sched_param zero = {0}, one = {.sched_priority = 1};
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } idle = {.size = 48, .policy = SCHED_IDLE}, nice_19 = {.size = 48, .nice = 19};
    unsigned char resident[1];
    struct iovec byte = {.iov_base = resident, .iov_len = 1};
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC),
        libc = open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, libc, 0);
    int pipes[2];

    say("sched_idle", sched_setscheduler(0, SCHED_IDLE, &zero));
    say("sched_idle_reset", sched_setscheduler(0, SCHED_IDLE | SCHED_RESET_ON_FORK, &zero));
    say("sched_idle_high", syscall(SYS_sched_setscheduler, 0, SCHED_IDLE | 1ul << 32, &zero));
    say("sched_fifo", sched_setscheduler(0, SCHED_FIFO, &one));
    say("sched_setattr_idle", syscall(SYS_sched_setattr, 0, &idle, 0));
    say("sched_setattr_nice", syscall(SYS_sched_setattr, 0, &nice_19, 0));
    errno = EAGAIN;
    say("policy", sched_getscheduler(0) == SCHED_OTHER ? -1 : 0);
    /* Success without effect: what is in force counts. */
    (void)!setpriority(PRIO_PROCESS, 0, 19);
    (void)!setpriority(PRIO_PROCESS, 0, 5);
    (void)!syscall(SYS_setpriority, PRIO_PROCESS, 0, 1000);
    (void)!syscall(SYS_setpriority, PRIO_PROCESS, 0, 19 | 1ul << 32);
    errno = EAGAIN;
    say("nice", getpriority(PRIO_PROCESS, 0) == 0 ? -1 : 0);
    (void)!syscall(SYS_ioprio_set, 1, 0, 3 << 13); /* idle class */
    long ioprio = syscall(SYS_ioprio_get, 1, 0) >> 13;
    errno = EAGAIN;
    say("ioprio", ioprio != 3 ? -1 : 0);
    say("mincore", mincore(page, 4096, resident));
    say("cachestat", syscall(451, libc, (uint64_t[2]){0, 4096}, (uint64_t[5]){0}, 0));
    say("preadv2_nowait", syscall(SYS_preadv2, libc, &byte, 1, 0, 0, RWF_NOWAIT));
    say("kcmp", syscall(SYS_kcmp, getpid(), getpid(), 0, self, self));
    say("process_madvise", syscall(SYS_process_madvise, syscall(SYS_pidfd_open, getpid(), 0),
                                   &byte, 1, MADV_COLD, 0));
    say("ustat", syscall(SYS_ustat, makedev(8, 0), resident));
    say("vmsplice", pipe(pipes) < 0 ? 0 : vmsplice(pipes[1], &byte, 1, 0));
}

static void filters(void)
{
    struct {
        long number;
    } x32 = {SYS_getpid | 0x40000000};

    /* 1 is what keeps the machine's core_pattern program away, 0 does not: it must stay. */
    struct rlimit none = {0, 0}, core = {0, 0};
    (void)!setrlimit(RLIMIT_CORE, &none);
    (void)!prlimit(0, RLIMIT_CORE, &none, NULL);
    (void)!syscall(SYS_setrlimit, RLIMIT_CORE | 1ul << 32, &none); /* the kernel reads an int */
    (void)!syscall(SYS_prlimit64, 0, RLIMIT_CORE | 1ul << 32, &none, NULL);
    (void)!getrlimit(RLIMIT_CORE, &core);
    errno = EPERM;
    say("core_limit", core.rlim_cur == 1 && core.rlim_max == 1 ? -1 : 0);
    say("personality", syscall(SYS_personality, 0x0400000)); /* READ_IMPLIES_EXEC */
    say("x32", syscall(x32.number));
    say("regain_caps", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21 /* SYS_ADMIN */, 0, 0));
    say("no_new_privs", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("no_seccomp", prctl(PR_SET_SECCOMP, 0));
    say("chroot_escape", ({
            (void)!mkdir("/tmp/jail", 0755);
            int root = open("/", O_RDONLY | O_DIRECTORY), r = chroot("/tmp/jail");
            if (r == 0 && fchdir(root) == 0) {
                for (int i = 0; i < 64; i++)
                    (void)!chdir("..");
                (void)!chroot(".");
            }
            /* Back at our own root is fine; the launcher's root has /box. */
            access("/box", F_OK) == 0 || access("/skel", F_OK) == 0 ? 0 : (errno = ENOENT, -1);
        }));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } groups[] = {
        {"kernel", kernel_entries}, {"namespaces", namespaces}, {"devices", devices},
        {"proc", proc_writes},      {"init", against_init},     {"sockets", sockets},
        {"filters", filters},       {"netlink", netlink},       {"others", others},
    };

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (argc == 2 && strcmp(argv[1], groups[i].name) == 0)
            groups[i].run();
    return 0;
}
