/* OPEN: a path of the sandbox becomes a descriptor of the daemon. Path resolution is the
 * sandbox's own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "init/init.h"

/* Makes the directories in front of the last component; what exists is left alone, errors show
 * in the open. */
static void make_parents(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        (void)mkdir(path, 0755);
        *slash = '/';
    }
}

void file_open(struct packet *p)
{
    struct init_packet answer = {.type = INIT_OPENED, .id = p->head.id};
    struct open_how how = {
        .flags = (uint32_t)p->head.value | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
        /* Magic links of /proc/1 would lead to init's own descriptors. */
        .resolve = RESOLVE_NO_MAGICLINKS,
    };
    CLEANUP_FD int fd = -1;

    if ((how.flags & O_CREAT) || (how.flags & O_TMPFILE) == O_TMPFILE)
        how.mode = p->head.aux & 07777;
    if (how.flags & O_PATH)
        how.flags &= ~(uint64_t)(O_NONBLOCK | O_NOCTTY); /* openat2 refuses the mixture */
    if (strlen(p->body) + 1 < p->head.body_size || p->body[0] == 0) {
        answer.value = -EINVAL; /* empty, or a NUL inside */
        (void)control_send(&answer, -1);
        return;
    }
    (void)chdir("/"); /* cannot fail; relative paths start here */
    if (p->head.flags & INIT_MAKE_PARENTS)
        make_parents(p->body);
    fd = (int)syscall(SYS_openat2, AT_FDCWD, p->body, &how, sizeof(how));
    answer.value = fd < 0 ? -errno : 0;
    if (control_send(&answer, fd) < 0) {
        answer.value = -ETOOMANYREFS;
        (void)control_send(&answer, -1);
    }
}
