/* The descriptors behind cws_op_fd() and cws_queue: an eventfd. See op.h. */
#include <errno.h>
#include <sys/eventfd.h>

#include "client/op.h"

int notify_fd_open(int *ret_read, int *ret_write)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    *ret_read = *ret_write = fd;
    return 0;
}

void notify_fd_raise(int write_end)
{
    uint64_t one = 1;
    (void)!write(write_end, &one, sizeof(one)); /* EAGAIN: it is raised already */
}

void notify_fd_clear(int read_end)
{
    uint64_t count;
    (void)!read(read_end, &count, sizeof(count)); /* EAGAIN: it was not raised */
}

void notify_fd_close(int read_end, int write_end)
{
    (void)write_end;
    if (read_end >= 0)
        (void)close(read_end);
}
