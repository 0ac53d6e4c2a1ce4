/* Boots and moments; see boot.h. */
#include "runtime/boot.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

int64_t boot_now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_BOOTTIME, &ts); /* cannot fail: Linux 2.6.39 */
    return (int64_t)ts.tv_sec * (int64_t)NS_PER_SEC + ts.tv_nsec;
}

void boot_id_read(char ret_id[static BOOT_ID_BYTES])
{
    memset(ret_id, 0, BOOT_ID_BYTES);
    CLEANUP_FD int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, ret_id, BOOT_ID_BYTES - 1) != BOOT_ID_BYTES - 1)
        ret_id[0] = '\0';
}

int64_t boot_moment_here(const struct boot_moment *m, const char *boot_id, int64_t now_ns,
                         uint64_t now_wall_ns)
{
    if (boot_id[0] != '\0' && strcmp(m->boot_id, boot_id) == 0)
        return MIN(m->boot_ns, now_ns);
    uint64_t age = now_wall_ns > m->wall_ns ? now_wall_ns - m->wall_ns : 0;
    return MIN(now_ns - (int64_t)MIN(age, (uint64_t)INT64_MAX / 2), (int64_t)0);
}
