#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/util.h"

#define PIPE_WAIT_MS 5000 /* chosen: longer than a shell needs to start what writes */

static int check_mode(int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s`", path);
    /* A pipe given on purpose (<(...)) is as good as a file. */
    if (S_ISREG(st.st_mode) && (st.st_mode & (S_IROTH | S_IWOTH)) != 0)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "%s: everyone may read or write it (mode %04o); chmod 600", path,
                       (unsigned)st.st_mode & 07777);
    return 0;
}

/* A pipe's writer may need a moment. */
static ssize_t read_some(int fd, uint8_t *data, size_t size)
{
    for (;;) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        ssize_t n = read(fd, data, size);
        if (n >= 0)
            return n;
        if (errno == EAGAIN && poll(&ready, 1, PIPE_WAIT_MS) == 0)
            return -ETIMEDOUT;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

/* Moves what @from has to @to. Bytes on the stack are wiped. */
static int copy(int from, int to, size_t max_bytes)
{
    uint8_t bytes[4096];
    size_t total = 0;
    ssize_t n;
    int r = 0;
    while (r == 0 && (n = read_some(from, bytes, sizeof(bytes))) != 0) {
        total += n > 0 ? (size_t)n : 0;
        r = n < 0 ? (int)n : total > max_bytes ? -EFBIG : fd_write_all(to, bytes, (size_t)n);
    }
    explicit_bzero(bytes, sizeof(bytes));
    return r;
}

int secret_copy(const char *path, size_t max_bytes, bool private_file, struct err *err)
{
    /* O_NONBLOCK keeps a FIFO from hanging the open. */
    CLEANUP_FD int from = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (from < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s`", path);
    if (private_file && check_mode(from, path, err) < 0)
        return -1;
    CLEANUP_FD int to = memfd_create("cwsandbox-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (to < 0 || fchmod(to, 0600) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "copy `%s`", path);
    int r = copy(from, to, max_bytes);
    if (r == -EFBIG)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: longer than %zu bytes", path, max_bytes);
    if (r == 0 &&
        fcntl(to, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        r = -errno;
    if (r < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -r, "read `%s`", path);
    return TAKE_FD(to);
}
