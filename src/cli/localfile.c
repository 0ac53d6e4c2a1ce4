/* See localfile.h. */
#include "cli/localfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/util.h"

int localfile_open(const char *path, off_t *ret_size)
{
    struct stat st;
    /* NONBLOCK: a FIFO must be refused, not waited for. It changes nothing on a regular file.
     */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    int failed = fstat(fd, &st) < 0    ? errno
                 : S_ISREG(st.st_mode) ? 0
                 : S_ISDIR(st.st_mode) ? EISDIR
                                       : EINVAL;
    if (failed) {
        (void)close(fd);
        return -failed;
    }
    *ret_size = st.st_size;
    return fd;
}

/* Files may shrink or grow while they are read: read to the end, whatever the size was. */
void *localfile_read(const char *path, size_t *ret_size)
{
    off_t size;
    CLEANUP_FD int fd = localfile_open(path, &size);
    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    size_t cap = (size_t)size + 1, n = 0;
    uint8_t *data = must(malloc(cap));
    for (;;) {
        ssize_t got = read(fd, data + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int saved = errno;
            free(data);
            errno = saved;
            return NULL;
        }
        if (got == 0)
            break;
        n += (size_t)got;
        if (n == cap)
            data = must(realloc(data, cap *= 2));
    }
    *ret_size = n;
    return data;
}
