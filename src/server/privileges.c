/*
 * Privilege drop of cwsandboxd. See privileges.h and docs/architecture.md "Processes".
 */
#include "server/privileges.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define CAP_LAST_TRIED 63 /* two 32-bit words of capability sets: no number can be larger */

static int count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    if (dir == NULL)
        return -errno;
    int n = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        n += entry->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

/* Needs CAP_SETPCAP, so an ordinary user keeps a bounding set; with no_new_privs it has no
 * effect any more. */
static int drop_bounding(struct err *err)
{
    for (int cap = 0; cap <= CAP_LAST_TRIED; cap++) {
        int held = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (held < 0)
            break; /* EINVAL: above the kernel's last capability */
        if (held > 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_set_errno(err, ERR_INTERNAL, errno,
                                 "drop capability %d from the bounding set", cap);
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
            return err_set(err, ERR_INTERNAL, "capability %d is still in the bounding set",
                           cap);
    }
    return 0;
}

static int read_caps(struct __user_cap_data_struct data[2], struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    if (syscall(SYS_capget, &header, data) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "read the capability sets");
    return 0;
}

static int drop_sets(struct err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}}, now[2];
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "clear the ambient capabilities");
    if (syscall(SYS_capset, &header, none) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "drop the capabilities");
    if (read_caps(now, err) < 0)
        return -1;
    if (memcmp(now, none, sizeof(none)) != 0)
        return err_set(err, ERR_INTERNAL, "capabilities are left after dropping them");
    return 0;
}

static int become(uid_t uid, gid_t gid, struct err *err)
{
    uid_t uids[3];
    gid_t gids[3];
    if (uid == geteuid())
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "become user %u:%u",
                             (unsigned)uid, (unsigned)gid);
    if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 ||
        getresgid(&gids[0], &gids[1], &gids[2]) < 0 || getgroups(0, NULL) != 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "read who we are");
    for (size_t i = 0; i < ARRAY_SIZE(uids); i++)
        if (uids[i] != uid || gids[i] != gid)
            return err_set(err, ERR_INTERNAL, "something of who we were is left");
    return 0;
}

int privileges_drop(uid_t uid, gid_t gid, struct err *err)
{
    int n_threads = count_threads();
    if (n_threads < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -n_threads,
                             "count our threads in /proc/self/task");
    if (n_threads != 1)
        return err_set(err, ERR_INTERNAL, "drop privileges with %d threads running", n_threads);
    struct __user_cap_data_struct held[2];
    if (read_caps(held, err) < 0)
        return -1;
    if ((held[0].effective & (1u << CAP_SETPCAP)) != 0 && drop_bounding(err) < 0)
        return -1;
    if (become(uid, gid, err) < 0 || drop_sets(err) < 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return err_set_errno(err, ERR_INTERNAL, errno, "set no_new_privs");
    return 0;
}

uint64_t privileges_raise_nofile(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0)
        return raised.rlim_cur;
    return limit.rlim_cur;
}
