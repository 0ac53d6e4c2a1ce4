/* See sysfilter.h. */
#include "base/sysfilter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define OUR_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this architecture: linux/audit.h"
#endif

#define MAX_PROGRAM 512 /* two instructions a row; add() checks */

struct program {
    struct sock_filter code[MAX_PROGRAM];
    unsigned short n;
};

/* clang-format off */
/* Nothing that a program of ours or a library of ours does behind its filter comes to one of these, whatever the version. */
static const struct sysfilter_row deadly[] = {
    {SYS_add_key, "keys of the kernel"},
    {SYS_bpf, "programs in the kernel"},
    {SYS_execve, "a program"},
    {SYS_execveat, "a program"},
    {SYS_init_module, "the kernel itself"},
    {SYS_finit_module, "the kernel itself"},
    {SYS_keyctl, "keys of the kernel"},
    {SYS_mount, "the file system"},
    {SYS_pidfd_getfd, "another process"},
    {SYS_process_vm_readv, "another process"},
    {SYS_process_vm_writev, "another process"},
    {SYS_ptrace, "another process"},
    {SYS_setns, "a namespace"},
    {SYS_unshare, "a namespace"},
    {SYS_userfaultfd, "a step to the kernel"},
};
/* clang-format on */

static void add(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
    CHECK(p->n < MAX_PROGRAM);
    p->code[p->n++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
}

static void load(struct program *p, size_t offset)
{
    add(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct program *p, uint32_t action)
{
    add(p, BPF_RET | BPF_K, action, 0, 0);
}

/* What is loaded equals @value: @action. */
static void when(struct program *p, uint32_t value, uint32_t action)
{
    add(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    answer(p, action);
}

static void when_any(struct program *p, const struct sysfilter_row *rows, size_t n,
                     uint32_t action)
{
    for (size_t i = 0; i < n; i++)
        when(p, (uint32_t)rows[i].nr, action);
}

/* The rows of one call, @n of them: its argument has one of the values, or EPERM. */
static void when_argument(struct program *p, const struct sysfilter_argument *rows, size_t n)
{
    CHECK(n < 100);
    add(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rows->nr, 0, (uint8_t)(2 + 2 * n));
    load(p, offsetof(struct seccomp_data, args) + rows->index * sizeof(uint64_t));
    for (size_t i = 0; i < n; i++)
        when(p, rows[i].value, SECCOMP_RET_ALLOW);
    answer(p, SECCOMP_RET_ERRNO | EPERM);
}

/* Threads, not processes. clone3 hides its flags behind a pointer: libc takes clone when there is no such call. */
static void when_clone(struct program *p)
{
    when(p, SYS_clone3, SECCOMP_RET_ERRNO | ENOSYS);
    add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
    load(p, offsetof(struct seccomp_data, args[0]));
    add(p, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1);
    answer(p, SECCOMP_RET_ALLOW);
    answer(p, SECCOMP_RET_KILL_PROCESS);
}

int sysfilter_install(const struct sysfilter *f, struct err *err)
{
    struct program p = {.n = 0};
    load(&p, offsetof(struct seccomp_data, arch));
    add(&p, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCH, 1, 0);
    answer(&p, SECCOMP_RET_KILL_PROCESS); /* 32-bit calls have other numbers */
    load(&p, offsetof(struct seccomp_data, nr));
    when_any(&p, f->allowed, f->n_allowed, SECCOMP_RET_ALLOW);
    when_any(&p, deadly, ARRAY_SIZE(deadly), SECCOMP_RET_KILL_PROCESS);
    when_any(&p, f->unneeded, f->n_unneeded, SECCOMP_RET_ERRNO | 0);
    when_clone(&p);
    for (size_t i = 0, n; i < f->n_arguments; i += n) {
        for (n = 1; i + n < f->n_arguments && f->arguments[i + n].nr == f->arguments[i].nr; n++)
            ;
        when_argument(&p, &f->arguments[i], n);
    }
    answer(&p, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog program = {.len = p.n, .filter = p.code};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        return err_set_errno(
            err, ERR_FAILED_PRECONDITION, errno,
            "filter our own system calls (the kernel needs CONFIG_SECCOMP_FILTER)");
    return 0;
}
