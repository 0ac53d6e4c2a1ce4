/*
 * Between clone3 and execveat: the child makes itself into pid 1 of a sandbox. Single copy of a
 * small process, so everything of the engine can be read; nothing may be allocated. The order
 * matters: users first (files are made as the sandbox's root), mounts while every capability
 * over the own namespaces is held, then privilege goes down step by step, the filter last
 * because it forbids the steps before it.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "launch/launch.h"

#define CONTROL_FD 3 /* init/init.h */
#define CGROUP_FD 4
#define VIEW_FD 5
#define SAFE_FD 64 /* chosen: above every fixed number below */

void child_fail(int status_fd, const char *stage, int error)
{
    struct child_failure failure = {.error = error};

    for (size_t i = 0; i + 1 < sizeof(failure.stage) && stage[i]; i++)
        failure.stage[i] = stage[i];
    (void)write(status_fd, &failure,
                sizeof(failure)); /* launch also notices a death without a word */
    _exit(1);
}

/* setresuid through the system call: glibc's wrapper wants to tell other threads, of which
 * there are none. */
static int become_root(const struct id_map *map)
{
    if (map->root && syscall(SYS_setgroups, 0, NULL) < 0)
        return -errno;
    if (syscall(SYS_setresgid, 0, 0, 0) < 0 || syscall(SYS_setresuid, 0, 0, 0) < 0)
        return -errno;
    return geteuid() == 0 && getegid() == 0 ? 0 : -EPERM;
}

static int limit_resources(void)
{
    static const struct {
        int resource;
        rlim_t value;
    } limits[] = {
        {RLIMIT_MEMLOCK,
         65536}, /* locked pages escape reclaim; 64 KiB is the old kernel default */
        {RLIMIT_MSGQUEUE, 819200}, /* the kernel's default */
        {RLIMIT_NICE, 0}, /* what whoever started us may: not to be preferred to the machine */
        {RLIMIT_RTPRIO, 0}, /* as RLIMIT_NICE */
    };
    struct rlimit files;

    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        struct rlimit now;

        if (getrlimit((__rlimit_resource_t)limits[i].resource, &now) < 0)
            return -errno;
        now.rlim_max = now.rlim_cur = MIN(now.rlim_max, limits[i].value);
        if (setrlimit((__rlimit_resource_t)limits[i].resource, &now) < 0)
            return -errno;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) < 0)
        return -errno;
    files.rlim_cur = MIN((rlim_t)1024, files.rlim_max); /* hard limit: inherited */
    return setrlimit(RLIMIT_NOFILE, &files) < 0 ? -errno : 0;
}

/* Moves @fd out of the way of the fixed numbers. */
static int move_up(int fd)
{
    return fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, SAFE_FD);
}

/* 0..2: /dev/null of the sandbox; 3: control socket; 4: cgroup of the load; 5: what is seen at /sys/fs/cgroup; everything else closes in
 * execveat. */
static int arrange_fds(const struct child_args *args, int view_fd, int *ret_init_fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int control = move_up(args->control_fd), load = move_up(args->load_fd);
    int init = move_up(args->engine->init_fd), view = move_up(view_fd);

    if (null < 0 || control < 0 || init < 0 || view < 0)
        return -errno;
    for (int i = 0; i < 3; i++) {
        if (dup2(null, i) < 0)
            return -errno;
    }
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0 || dup2(control, CONTROL_FD) < 0 ||
        dup2(view, VIEW_FD) < 0)
        return -errno;
    (void)close(CGROUP_FD);
    if (load >= 0 && dup2(load, CGROUP_FD) < 0)
        return -errno;
    *ret_init_fd = init;
    return 0;
}

void child_main(const struct child_args *args)
{
    static char *const argv[] = {(char *)(uintptr_t) "cwsandbox-init", NULL};
    static char *const envp[] = {NULL};
    /* Out of the way first: arrange_fds() fills the low numbers. */
    int r, init_fd = -1, view_fd = -1, status_fd = move_up(args->status_fd);
    const char *stage = "mounts";
    char byte;

    if (read(args->release_fd, &byte, 1) != 1) /* #2 launch wrote the maps (#1) */
        _exit(1);
    r = become_root(&args->engine->map);
    if (r < 0)
        child_fail(status_fd, "setresuid", -r);
    /* EOF of the control socket is the rule; this covers a launch killed while the daemon lives
     * on. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setsid() < 0)
        child_fail(status_fd, "setsid", errno);
    /* Here and not in clone3, and before we move: <id>, where we were born, shall look like the root, with every exec slot
     * below it. */
    if (unshare(CLONE_NEWCGROUP) < 0)
        child_fail(status_fd, "unshare cgroup", errno);
    if (args->enter_fd >= 0 && write(args->enter_fd, "0", 1) != 1)
        child_fail(status_fd, "enter cgroup", errno);
    if (sethostname(args->create->id, strlen(args->create->id)) < 0)
        child_fail(status_fd, "sethostname", errno);
    r = mounts_build(args, &view_fd, &stage);
    if (r < 0)
        child_fail(status_fd, stage, -r);
    r = arrange_fds(args, view_fd, &init_fd);
    if (r < 0)
        child_fail(status_fd, "descriptors", -r);
    r = limit_resources();
    if (r < 0)
        child_fail(status_fd, "rlimits", -r);
    /* An ordinary user's sandbox has one user anyway. */
    r = caps_limit(args->engine->map.root && !cgroup_counts_pids(&args->engine->cgroups));
    if (r < 0)
        child_fail(status_fd, "capabilities", -r);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
        child_fail(status_fd, "no_new_privs", errno);
    r = seccomp_install(&args->engine->filter);
    if (r < 0)
        child_fail(status_fd, "seccomp", -r);
    (void)syscall(SYS_execveat, init_fd, "", argv, envp, AT_EMPTY_PATH);
    child_fail(status_fd, "execveat", errno); /* #3 on success the status pipe closes instead */
}
