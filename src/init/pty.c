/* A pseudo terminal of the sandbox's own devpts instance. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "init/init.h"

int pty_open(uint32_t width, uint32_t height, int *ret_master, int *ret_slave)
{
    struct winsize size = {.ws_row = (unsigned short)MIN(height, 0xffffu),
                           .ws_col = (unsigned short)MIN(width, 0xffffu)};
    CLEANUP_FD int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    CLEANUP_FD int slave = -1;
    int unlock = 0;

    if (master < 0)
        return -errno;
    if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
        return -errno;
    /* By descriptor, not by name: nothing can be put between master and slave. */
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return -errno;
    if (ioctl(master, TIOCSWINSZ, &size) < 0)
        return -errno;
    *ret_master = TAKE_FD(master);
    *ret_slave = TAKE_FD(slave);
    return 0;
}
