/*
 * The system call filter: compiled once from the tables, as a binary tree (libseccomp's
 * optimize level 2), and installed raw by each child. Inherited by everything in the sandbox.
 * Three answers: allow; EPERM for what is known and refused; ENOSYS for what we do not know, so
 * that programs take their fallback for older kernels.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "launch/launch.h"
#include "launch/seccomp-table.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

/* clang-format off */
static const uint32_t namespace_flags[] = {
    CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUTS,
    /* not CLONE_NEWTIME: its bit is part of clone's exit signal */
};

static const uint32_t personalities[] = {
    PER_LINUX,
    PER_LINUX32,         /* setarch for 32-bit builds */
    ADDR_NO_RANDOMIZE,   /* debuggers */
    UNAME26,             /* old installers */
    0xffffffff,          /* asks for the present one */
};

/* vsock, packet, alg, xdp and the like reach outside the network namespace or into rarely used kernel code. */
static const uint32_t families[] = {AF_INET, AF_INET6, AF_UNIX}; /* AF_NETLINK: netlink_protocols */

/* The rest of the thirty-two speak to drivers, audit, SELinux, crypto and the firewall, or tell of the machine's devices
 * (NETLINK_KOBJECT_UEVENT reaches every network namespace that the machine's user namespace owns). */
static const uint32_t netlink_protocols[] = {
    NETLINK_ROUTE,     /* getifaddrs(3), getaddrinfo(3), ip */
    NETLINK_SOCK_DIAG, /* ss */
    NETLINK_GENERIC,   /* ethtool; asks for a family by name. Those that change anything want CAP_NET_ADMIN */
};

/* Weights like that of everybody else. A process at idle priority that holds a lock of a file which the whole machine maps
 * (the C library) keeps the machine waiting while others of its sandbox take the processor. */
static const uint32_t policies[] = {SCHED_OTHER, SCHED_BATCH};
/* clang-format on */

#define FAMILIES 64u /* the power of two above AF_MAX */
#define NETLINK_PROTOCOLS ((uint32_t)MAX_LINKS)
#define POLICY_MAX 7 /* SCHED_EXT: Linux 6.12 */
/* Chosen: 2/5 of the usual weight. Lower ones are as bad as SCHED_IDLE (docs/privileges.md, "Priorities"). */
#define NICE_MAX 4u

static bool is_in(uint32_t value, const uint32_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == value)
            return true;
    }
    return false;
}

static int add_rows(scmp_filter_ctx ctx, uint32_t action, const struct syscall_row *rows,
                    size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int number = seccomp_syscall_resolve_name(rows[i].name);
        int r;

        if (number < 0) /* not of this architecture, or newer than libseccomp: ENOSYS */
            continue;
        r = seccomp_rule_add(ctx, action, number, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_clone(scmp_filter_ctx ctx)
{
    uint32_t mask = 0;
    int r;

    for (size_t i = 0; i < ARRAY_SIZE(namespace_flags); i++) {
        mask |= namespace_flags[i];
        r = seccomp_rule_add(
            ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, namespace_flags[i], namespace_flags[i]));
        if (r < 0)
            return r;
    }
    return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, mask, 0));
}

/* As the kernel reads it: an int, whatever stands in the upper half of the register. */
#define INT_MASK 0xffffffffu

static int add_netlink(scmp_filter_ctx ctx, int number)
{
    const struct scmp_arg_cmp netlink = SCMP_A0(SCMP_CMP_MASKED_EQ, INT_MASK, AF_NETLINK);
    int r = 0;

    for (uint32_t protocol = 0; r == 0 && protocol < NETLINK_PROTOCOLS; protocol++) {
        bool allowed = is_in(protocol, netlink_protocols, ARRAY_SIZE(netlink_protocols));

        r = seccomp_rule_add(ctx, allowed ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPROTONOSUPPORT),
                             number, 2, netlink,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, INT_MASK, protocol));
    }
    /* 32 and more: one of the higher bits is set. */
    for (uint32_t bit = NETLINK_PROTOCOLS; r == 0 && bit; bit <<= 1)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPROTONOSUPPORT), number, 2, netlink,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, bit, bit));
    return r;
}

/* @number: socket, or socketpair, which loads and enters a family just the same. */
static int add_socket(scmp_filter_ctx ctx, int number)
{
    int r = add_netlink(ctx, number);

    for (uint32_t family = 0; r == 0 && family < FAMILIES; family++) {
        bool allowed = is_in(family, families, ARRAY_SIZE(families));

        if (family == AF_NETLINK)
            continue;
        r = seccomp_rule_add(ctx, allowed ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EAFNOSUPPORT),
                             number, 1, SCMP_A0(SCMP_CMP_MASKED_EQ, INT_MASK, family));
    }
    for (uint32_t bit = FAMILIES; r == 0 && bit; bit <<= 1)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), number, 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, bit, bit));
    return r;
}

static int add_policies(scmp_filter_ctx ctx)
{
    int r = 0;

    for (uint32_t policy = 0; r == 0 && policy <= POLICY_MAX; policy++) {
        bool allowed = is_in(policy, policies, ARRAY_SIZE(policies));
        uint32_t action = allowed ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);

        r = seccomp_rule_add(
            ctx, action, SCMP_SYS(sched_setscheduler), 1,
            SCMP_A1(SCMP_CMP_MASKED_EQ, INT_MASK & ~SCHED_RESET_ON_FORK, policy));
    }
    return r;
}

/* Being nice is answered with success; beyond NICE_MAX it does nothing. Below 0 the kernel refuses. */
static int add_priority(scmp_filter_ctx ctx)
{
    const uint32_t negative = 1u << 31;
    int number = SCMP_SYS(setpriority);
    int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, number, 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, negative, negative));

    for (uint32_t nice = 0; r == 0 && nice < 8; nice++)
        r = seccomp_rule_add(ctx, nice <= NICE_MAX ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(0), number,
                             1, SCMP_A2(SCMP_CMP_MASKED_EQ, INT_MASK, nice));
    /* 8 and more: one of the higher bits is set. */
    for (uint32_t bit = 1u << 3; r == 0 && bit < negative; bit <<= 1)
        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(0), number, 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, negative | bit, bit));
    return r;
}

/* RWF_NOWAIT reads only what is in memory: as mincore. */
static int add_preadv2(scmp_filter_ctx ctx)
{
    int r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EOPNOTSUPP), SCMP_SYS(preadv2), 1,
                             SCMP_A5(SCMP_CMP_MASKED_EQ, RWF_NOWAIT, RWF_NOWAIT));

    if (r < 0)
        return r;
    return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(preadv2), 1,
                            SCMP_A5(SCMP_CMP_MASKED_EQ, RWF_NOWAIT, 0));
}

/* Huge pages are what somebody has set aside on the machine; no cgroup of ours counts them. */
static int add_huge_pages(scmp_filter_ctx ctx)
{
    static const struct {
        int number;
        unsigned argument;
        uint64_t flag;
    } rows[] = {
        {SCMP_SYS(memfd_create), 1, MFD_HUGETLB},
        {SCMP_SYS(mmap), 3, MAP_HUGETLB},
        {SCMP_SYS(shmget), 2, SHM_HUGETLB},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++) {
        unsigned at = rows[i].argument;
        uint64_t flag = rows[i].flag;

        r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), rows[i].number, 1,
                             SCMP_CMP(at, SCMP_CMP_MASKED_EQ, flag, flag));
        if (r == 0)
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, rows[i].number, 1,
                                 SCMP_CMP(at, SCMP_CMP_MASKED_EQ, flag, 0));
    }
    return r;
}

/* RLIMIT_CORE stays what engine.c made it. Programs that turn dumps off are told that it is done, which it is. */
static int add_rlimits(scmp_filter_ctx ctx)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < RLIM_NLIMITS; i++) {
        uint32_t action = i == RLIMIT_CORE ? SCMP_ACT_ERRNO(0) : SCMP_ACT_ALLOW;

        r = seccomp_rule_add(ctx, action, SCMP_SYS(setrlimit), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, INT_MASK, i));
        if (r == 0)
            r = seccomp_rule_add(ctx, action, SCMP_SYS(prlimit64), 2,
                                 SCMP_A1(SCMP_CMP_MASKED_EQ, INT_MASK, i),
                                 SCMP_A2(SCMP_CMP_NE, 0));
        if (r == 0) /* only reads */
            r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                                 SCMP_A1(SCMP_CMP_MASKED_EQ, INT_MASK, i),
                                 SCMP_A2(SCMP_CMP_EQ, 0));
    }
    return r;
}

static int add_personality(scmp_filter_ctx ctx)
{
    for (size_t i = 0; i < ARRAY_SIZE(personalities); i++) {
        int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                                 SCMP_A0_32(SCMP_CMP_EQ, personalities[i]));

        if (r < 0)
            return r;
    }
    return 0;
}

static int add_all(scmp_filter_ctx ctx)
{
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);

    if (r == 0) /* another architecture's system calls do not exist here */
        r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (r == 0)
        r = add_rows(ctx, SCMP_ACT_ALLOW, syscalls_allowed, n_syscalls_allowed);
    if (r == 0)
        r = add_rows(ctx, SCMP_ACT_ERRNO(EPERM), syscalls_refused, n_syscalls_refused);
    if (r == 0)
        r = add_rows(ctx, SCMP_ACT_ERRNO(0), syscalls_void, n_syscalls_void);
    if (r == 0)
        r = add_clone(ctx);
    if (r == 0)
        r = add_socket(ctx, SCMP_SYS(socket));
    if (r == 0)
        r = add_socket(ctx, SCMP_SYS(socketpair));
    if (r == 0)
        r = add_huge_pages(ctx);
    if (r == 0)
        r = add_rlimits(ctx);
    if (r == 0)
        r = add_personality(ctx);
    if (r == 0)
        r = add_policies(ctx);
    if (r == 0)
        r = add_priority(ctx);
    if (r == 0)
        r = add_preadv2(ctx);
    return r;
}

/* libseccomp 2.5 exports to a descriptor only. */
static int export_program(scmp_filter_ctx ctx, struct sock_fprog *ret_program)
{
    CLEANUP_FD int fd = memfd_create("seccomp", MFD_CLOEXEC);
    CLEANUP_FREE struct sock_filter *code = NULL;
    struct stat st;
    int r;

    if (fd < 0)
        return -errno;
    r = seccomp_export_bpf(ctx, fd);
    if (r < 0)
        return r;
    if (fstat(fd, &st) < 0)
        return -errno;
    code = malloc((size_t)st.st_size);
    if (!code)
        return -ENOMEM;
    if (pread(fd, code, (size_t)st.st_size, 0) != st.st_size)
        return -EIO;
    ret_program->len = (unsigned short)((size_t)st.st_size / sizeof(*code));
    ret_program->filter = TAKE_PTR(code);
    return 0;
}

int seccomp_compile(struct sock_fprog *ret_program)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r;

    if (!ctx)
        return -ENOMEM;
    r = add_all(ctx);
    if (r == 0)
        r = export_program(ctx, ret_program);
    seccomp_release(ctx);
    return r;
}

int seccomp_install(const struct sock_fprog *program)
{
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program) < 0 ? -errno : 0;
}
