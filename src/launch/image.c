/* The program every sandbox runs as pid 1: copied once into a sealed memfd, so that nothing
 * inside can change it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "launch/launch.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

static int make_memfd(void)
{
    int fd = (int)syscall(SYS_memfd_create, "cwsandbox-init",
                          MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);

    if (fd < 0 && errno == EINVAL) /* before Linux 6.3 memfds are always executable */
        fd = (int)syscall(SYS_memfd_create, "cwsandbox-init", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return fd < 0 ? -errno : fd;
}

int init_image_open(const char *path)
{
    CLEANUP_FD int from = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP_FD int to = -1;
    struct stat st;

    if (from < 0 || fstat(from, &st) < 0)
        return -errno;
    to = make_memfd();
    if (to < 0)
        return to;
    for (off_t done = 0; done < st.st_size;) {
        ssize_t n = sendfile(to, from, NULL, (size_t)(st.st_size - done));

        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        done += n;
    }
    /* Its owner is not mapped in a sandbox: "other" must be able to read (else: not dumpable)
     * and execute. */
    if (fchmod(to, 0555) < 0)
        return -errno;
    if (fcntl(to, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    /* An execve of a descriptor open for writing is ETXTBSY. */
    char self[32];
    int read_only;

    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", to);
    read_only = open(self, O_RDONLY | O_CLOEXEC);
    return read_only < 0 ? -errno : read_only;
}
