/*
 * One process: clone3, then the steps of `child_main`, then execve. Two ways:
 *
 * spawn_run()  CLONE_VM|CLONE_VFORK on a stack of its own. The child shares our memory while we are suspended, so it reports
 *              by writing into struct spawn, and must change nothing else of ours. The faster one by a fifth.
 * spawn_fork() a copy that reports over a pipe, which execve closes. For a child that may be throttled or short of memory
 *              before its execve: init must not stand still that long.
 *
 * No allocation, no stdio, no locks in the child.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/files-words.h"
#include "init/init.h"

#define SOFT_NOFILE \
    1024 /* select(2)'s FD_SETSIZE; programs that want more raise it to the hard limit */
#define DEFAULT_PATH "/bin:/usr/bin" /* execvp(3): used when PATH is not set */
#define OOM_SCORE "200"              /* above init's 0: docs/privileges.md */

struct clone3_args { /* linux/sched.h's struct clone_args, version 2 (Linux 5.7) */
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
        set_tid_size, cgroup;
};

/*
 * The child comes back from the system call on the new stack, where no return address lies: it
 * may only call on.
 * @fn does not return.
 */
static long clone3_call(const struct clone3_args *args, void (*fn)(void *), void *arg)
{
#if defined(__x86_64__)
    register long ret __asm__("rax") = SYS_clone3;
    register const void *a0 __asm__("rdi") = args;
    register size_t a1 __asm__("rsi") = sizeof(*args);
    register void *child_fn __asm__("r8") = (void *)fn;
    register void *child_arg __asm__("r9") = arg;

    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r9, %%rdi\n\t"
                     "call *%%r8\n\t"
                     "hlt\n\t"
                     "1:"
                     : "+r"(ret)
                     : "r"(a0), "r"(a1), "r"(child_fn), "r"(child_arg)
                     : "rcx", "r11", "memory", "cc");
    return ret;
#elif defined(__aarch64__)
    register long ret __asm__("x0") = (long)args;
    register size_t a1 __asm__("x1") = sizeof(*args);
    register long number __asm__("x8") = SYS_clone3;
    register void *child_fn __asm__("x10") = (void *)fn;
    register void *child_arg __asm__("x11") = arg;

    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, #0\n\t"
                     "mov x0, x11\n\t"
                     "blr x10\n\t"
                     "brk #1\n\t"
                     "1:"
                     : "+r"(ret)
                     : "r"(a1), "r"(number), "r"(child_fn), "r"(child_arg)
                     : "memory", "cc");
    return ret;
#else
#error "clone3_call: write the child's half for this architecture"
#endif
}

__attribute__((noreturn)) static void child_fail(struct spawn *s, const char *stage, int error)
{
    struct spawn_failure failure = {.status = -error};

    s->status = -error;
    s->stage = stage;
    if (s->report_fd >= 0) {
        (void)snprintf(failure.stage, sizeof(failure.stage), "%s", stage);
        (void)write(s->report_fd, &failure, sizeof(failure));
    }
    _exit(127);
}

static void child_stdio(struct spawn *s)
{
    if (setsid() < 0)
        child_fail(s, "setsid", errno);
    if (s->tty && ioctl(s->stdio[0], TIOCSCTTY, 0) < 0)
        child_fail(s, "tty", errno);
    /* A description of its own: flags and locks of one that is shared would reach from process to process. */
    if (s->stdio[0] < 0)
        s->stdio[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (s->stdio[0] < 0)
        child_fail(s, "/dev/null", errno);
    for (int i = 0; i < 3; i++) {
        /* The descriptors we were sent lie above CONTROL_FD, so dup2 never meets its own
         * source. */
        if (dup2(s->stdio[i], i) < 0)
            child_fail(s, "dup2", errno);
    }
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
        child_fail(s, "close_range", errno);
}

static void child_limits(struct spawn *s)
{
    struct rlimit files;
    int fd;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        /*
         * Descriptors in flight over Unix sockets are counted per user of the machine, and sending more fails when
         * the count is above the sender's limit (unix(7), ETOOMANYREFS). All sandboxes of a service are one user, an
         * ordinary user's service too: with half of init's limit, code in one can fill half of the count, and what
         * init and the service send still goes through.
         */
        files.rlim_max /= 2;
        files.rlim_cur = MIN((rlim_t)SOFT_NOFILE, files.rlim_max);
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    /* Raising needs no privilege. Missing /proc files cost the ranking only. */
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)write(fd, OOM_SCORE, sizeof(OOM_SCORE) - 1);
        (void)close(fd);
    }
    if (s->subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        child_fail(s, "subreaper", errno);
}

/* execve; a file without a format the kernel knows is a shell script (execvp's rule). Returns
 * errno. */
static int exec_one(struct spawn *s, char *path)
{
    char *argv0;
    int error;

    (void)execve(path, s->argv, s->envp);
    error = errno;
    if (error != ENOEXEC)
        return error;
    argv0 = s->argv[0];
    s->argv[-1] = (char *)(uintptr_t) "/bin/sh";
    s->argv[0] = path;
    (void)execve("/bin/sh", s->argv - 1, s->envp);
    s->argv[0] = argv0;
    return errno;
}

static const char *path_of(char **envp)
{
    for (; *envp; envp++) {
        if (strncmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    }
    return DEFAULT_PATH;
}

/* As execvp: a candidate that may not be executed is remembered, the search goes on. Returns
 * errno. */
static int exec_search(struct spawn *s)
{
    const char *name = s->argv[0], *dir = path_of(s->envp);
    size_t name_size = strlen(name) + 1;
    char path[PATH_MAX];
    int result = ENOENT;

    if (name[0] == 0)
        return ENOENT;
    if (strchr(name, '/'))
        return exec_one(s, s->argv[0]);
    for (;;) {
        size_t n = strcspn(dir, ":");
        int error = ENAMETOOLONG;

        if (n + 1 + name_size <= sizeof(path)) {
            memcpy(path, dir, n);
            if (n > 0)
                path[n] = '/';
            memcpy(path + n + (n > 0), name, name_size);
            error = exec_one(s, path);
        }
        if (error == EACCES)
            result = EACCES;
        else if (error != ENOENT && error != ENOTDIR && error != ENAMETOOLONG)
            return error;
        if (dir[n] == 0)
            return result;
        dir += n + 1;
    }
}

/* What is read to see what the sandbox has written. Only for root: it is a way around what directories allow. */
static int open_space(const struct spawn *s)
{
    bool wanted =
        s->files && !s->user[0] && s->argv[1] && strcmp(s->argv[1], FILES_CHANGES) == 0;
    int fd = wanted ? openat(VIEW_FD, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    return wanted && fd < 0 ? -errno : fd;
}

/* Nothing that init holds may be there when somebody else's processes could look, or without an execve that closes it: only
 * the pipe to report over, and s->space_fd. */
static int child_close(struct spawn *s)
{
    int space = open_space(s), report;

    if (space < 0 && space != -1)
        return space;
    report = fcntl(s->report_fd, F_DUPFD_CLOEXEC, 4);
    if (report < 0)
        return -errno;
    s->space_fd = space < 0 ? -1 : fcntl(space, F_DUPFD_CLOEXEC, report + 1);
    if (space >= 0 && s->space_fd < 0)
        return -errno;
    if (close_range((unsigned)MAX(report, s->space_fd) + 1, ~0u, 0) < 0)
        return -errno;
    for (int fd = 3; fd < MAX(report, s->space_fd); fd++) {
        if (fd != report)
            (void)close(fd);
    }
    s->report_fd = report;
    return 0;
}

static void child_main(void *arg)
{
    struct spawn *s = arg;
    sigset_t none;
    int error;

    child_stdio(s);
    child_limits(s);
    if (chdir(s->cwd[0] ? s->cwd : "/") < 0)
        child_fail(s, "chdir", errno);
    (void)umask(022);
    error = privilege_child_filter();
    if (error < 0)
        child_fail(s, "seccomp", -error);
    error = limits_enter(s->limits, s->memory);
    if (error < 0)
        child_fail(s, "limits", -error);
    error = s->user[0] || s->files ? child_close(s) : 0;
    if (error == 0 && s->user[0])
        error = user_become(s);
    if (error < 0)
        child_fail(s, s->stage, -error);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (s->files) {
        (void)close(s->report_fd); /* as an execve that worked */
        files_main(s);
    }
    child_fail(s, "execve", exec_search(s));
}

pid_t spawn_run(struct spawn *s, char *stack, size_t stack_size)
{
    struct clone3_args args = {
        .flags = CLONE_VM | CLONE_VFORK,
        .exit_signal = SIGCHLD,
        .stack = (uintptr_t)stack,
        .stack_size = stack_size,
    };
    long pid;

    if (s->cgroup_fd >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)s->cgroup_fd;
    }
    s->status = 0;
    s->stage = "";
    pid = clone3_call(&args, child_main, s);
    if (pid < 0) {
        s->status = (int)pid;
        s->stage = "clone3";
        return (pid_t)pid;
    }
    if (s->status < 0) {
        (void)waitpid((pid_t)pid, NULL, 0); /* it has _exited: returns at once */
        return s->status;
    }
    return (pid_t)pid;
}

pid_t spawn_fork(struct spawn *s, int *ret_status_fd)
{
    int report[2];
    pid_t pid;

    s->stage = "pipe";
    if (pipe2(report, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    s->report_fd = report[1];
    s->stage = "clone3";
    pid = limits_fork(s->cgroup_fd);
    if (pid == 0) {
        meminfo_leave(s->meminfo);
        child_main(s);
    }
    (void)close(report[1]);
    s->report_fd = -1;
    if (pid < 0)
        (void)close(report[0]);
    else
        *ret_status_fd = report[0];
    return pid;
}
