/* Capabilities of a sandbox: all of them over its own user namespace only. Sorted; a reason on
 * each line. */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "launch/launch.h"

/* clang-format off */
static const uint8_t kept[] = {
    CAP_CHOWN,            /* package managers, tar */
    CAP_DAC_OVERRIDE,     /* root inside reads and writes every file of the sandbox */
    CAP_FOWNER,           /* chmod, utimes on files of other inside users */
    CAP_FSETID,           /* keeps setgid bits as root is used to */
    CAP_KILL,             /* root inside signals other inside users */
    CAP_NET_BIND_SERVICE, /* kept for programs that check for it; the port sysctl is what grants it */
    CAP_SETFCAP,          /* package managers restore file capabilities; no_new_privs makes them void */
    CAP_SETGID,           /* su, servers dropping root */
    CAP_SETPCAP,          /* a program may give up more; init itself does */
    CAP_SETUID,           /* su, servers dropping root */
    CAP_SYS_CHROOT,       /* build tools, tests */
};
/* clang-format on */

static bool is_kept(int cap, bool one_user)
{
    if (one_user && cap == CAP_SETUID)
        return false;
    return memchr(kept, cap, sizeof(kept)) != NULL;
}

int caps_limit(bool one_user)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};

    for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
        if (!is_kept(cap, one_user) && prctl(PR_CAPBSET_DROP, cap) < 0)
            return -errno;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return -errno;
    /* execve cuts permitted to the bounding set; inheritable would add to it. */
    for (size_t i = 0; i < sizeof(kept); i++) {
        if (!is_kept(kept[i], one_user))
            continue;
        data[CAP_TO_INDEX(kept[i])].permitted |= CAP_TO_MASK(kept[i]);
        data[CAP_TO_INDEX(kept[i])].effective |= CAP_TO_MASK(kept[i]);
    }
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}
