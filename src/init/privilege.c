/*
 * What init itself may do, and what its children lose. init enters with launch's capability table, which its children
 * inherit unchanged; it only makes itself untraceable, and takes clone3 from them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/init.h"

void privilege_start(void)
{
    static const unsigned long
        by_default[8]; /* the kernel's struct sigaction, all zero: SIG_DFL */
    struct rlimit files;

    /* Dispositions set to "ignore" would survive execve into every process of the sandbox. Not signal(): it refuses 32
     * and 33, which glibc keeps for itself. */
    for (int signo = 1; signo < _NSIG; signo++)
        (void)syscall(SYS_rt_sigaction, signo, by_default, NULL,
                      _NSIG / 8); /* SIGKILL and SIGSTOP refuse */
    (void)prctl(PR_SET_NAME,
                "cwsandbox-init"); /* instead of the memfd's name; for ps(1) only */
    /* execve made us dumpable again; from here nobody in the sandbox may trace us or read
     * /proc/1. */
    CHECK(prctl(PR_SET_DUMPABLE, 0) == 0);
    CHECK(prctl(PR_GET_DUMPABLE) == 0);
    /* Slots take two descriptors each. Children get the original soft limit back: spawn.c. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE,
                        &files); /* with the lower limit we only run fewer execs */
    }
}

int privilege_child_filter(void)
{
    /*
     * init needs clone3 (CLONE_INTO_CGROUP); nobody else may have it, because seccomp cannot
     * look at the namespace flags behind its pointer. ENOSYS makes libc fall back to clone,
     * whose flags launch's filter checks. Wrong architectures are already refused by that first
     * filter.
     */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return -errno;
    return 0;
}
