/* The descriptors behind cws_op_fd() and cws_queue where there is no eventfd: a pipe. See op.h. */
#include <errno.h>

#include "base/util.h"
#include "client/op.h"

int notify_fd_open(int *ret_read, int *ret_write)
{
    int fds[2];
    if (pipe(fds) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        (void)fd_set_cloexec(fds[i], true);
        (void)fd_set_nonblock(fds[i], true);
    }
    *ret_read = fds[0];
    *ret_write = fds[1];
    return 0;
}

void notify_fd_raise(int write_end)
{
    (void)!write(write_end, "", 1); /* EAGAIN: the pipe is full, so it is readable */
}

void notify_fd_clear(int read_end)
{
    char drop[256];
    while (read(read_end, drop, sizeof(drop)) > 0)
        continue;
}

void notify_fd_close(int read_end, int write_end)
{
    if (read_end >= 0)
        (void)close(read_end);
    if (write_end >= 0)
        (void)close(write_end);
}
