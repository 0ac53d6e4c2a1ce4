/* The bytes of a regular file; see file-content.h. */
#include "runtime/file-content.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

static int fault(struct err *err, enum err_code code, const char *reason, const char *path,
                 const char *why)
{
    (void)err_set_reason(err, code, reason, "%s: %s", path, why);
    err_add_metadata(err, "filepath", path);
    return -1;
}

int content_error(const char *path, int sys_errno, struct err *err)
{
    char detail[128]; /* strerror_r texts of glibc and musl are under 80 bytes */
    const char *why = strerror_r(sys_errno, detail, sizeof(detail));
    int r;
    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
        r = fault(err, ERR_NOT_FOUND, "CWSANDBOX_FILE_NOT_FOUND", path, why);
        break;
    case EISDIR:
        r = fault(err, ERR_FAILED_PRECONDITION, "CWSANDBOX_FILE_IS_DIRECTORY", path, why);
        break;
    case EACCES:
    case EPERM:
        r = fault(err, ERR_PERMISSION_DENIED, "CWSANDBOX_FILE_PERMISSION_DENIED", path, why);
        break;
    case ENXIO: /* open(2) of a FIFO nobody reads, or of a socket */
        r = fault(err, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED", path,
                  "is a FIFO or a socket, not a file");
        break;
    default:
        r = fault(err, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED", path, why);
        break;
    }
    if (err)
        err->sys_errno = sys_errno;
    return r;
}

int content_too_large(const char *path, uint64_t size, uint64_t max, struct err *err)
{
    char text[32]; /* 20 digits */
    (void)err_set_reason(err, ERR_RESOURCE_EXHAUSTED, "CWSANDBOX_FILE_TOO_LARGE",
                         "%s: %" PRIu64 " bytes are more than the %" PRIu64
                         " that one call may move",
                         path, size, max);
    err_add_metadata(err, "filepath", path);
    (void)snprintf(text, sizeof(text), "%" PRIu64, size);
    err_add_metadata(err, "size_bytes", text);
    (void)snprintf(text, sizeof(text), "%" PRIu64, max);
    err_add_metadata(err, "max_size_bytes", text);
    return -1;
}

int content_check(int fd, const char *path, struct stat *ret, struct err *err)
{
    if (fstat(fd, ret) < 0)
        return content_error(path, errno, err);
    const char *what = NULL;
    switch (ret->st_mode & S_IFMT) {
    case S_IFREG:
        return 0;
    case S_IFDIR:
        return content_error(path, EISDIR, err);
    case S_IFIFO:
        what = "is a FIFO, not a file";
        break;
    case S_IFCHR:
    case S_IFBLK:
        what = "is a device, not a file";
        break;
    case S_IFSOCK:
        what = "is a socket, not a file";
        break;
    default:
        what = "is not a file";
        break;
    }
    return fault(err, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED", path, what);
}

bool content_is_quick(int fd, uint64_t size)
{
    struct statfs fs;
    /* procfs would be wrong twice: a size of 0 says nothing, and a read may wait for the
     * process it is about. */
    return size <= CONTENT_INLINE_MAX && fstatfs(fd, &fs) == 0 &&
           (fs.f_type == TMPFS_MAGIC || fs.f_type == OVERLAYFS_SUPER_MAGIC);
}

int content_read(int fd, const char *path, uint64_t max, struct buf *ret, struct err *err)
{
    struct stat st;
    CLEANUP_BUF struct buf content = {0};
    if (content_check(fd, path, &st, err) < 0)
        return -1;
    if ((uint64_t)st.st_size > max)
        return content_too_large(path, (uint64_t)st.st_size, max, err);
    /* The size is a hint: the file may grow meanwhile, and files of procfs say 0. One byte more
     * shows the end. */
    size_t want = (size_t)st.st_size + 1;
    for (;;) {
        if (buf_reserve(&content, want) < 0)
            return content_error(path, ENOMEM, err);
        ssize_t n = pread(fd, buf_tail(&content), want, (off_t)buf_len(&content));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return content_error(path, errno, err);
        if (n == 0)
            break;
        buf_commit(&content, (size_t)n);
        if (buf_len(&content) > max)
            return content_too_large(path, buf_len(&content), max, err);
        want = (size_t)n < want ? want - (size_t)n : CONTENT_INLINE_MAX;
    }
    *ret = content;
    content = (struct buf){0};
    return 0;
}

static int write_all(int fd, const struct buf *content)
{
    for (size_t done = 0; done < buf_len(content);) {
        ssize_t n = pwrite(fd, buf_head(content) + done, buf_len(content) - done, (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

/* Space for the new content before the first byte of the old one is touched. KEEP_SIZE: a
 * failure leaves the size too. */
static int reserve_space(int fd, size_t size, off_t old_size)
{
    int r;
    if (size == 0)
        return 0;
    do
        r = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)size) < 0 ? -errno : 0;
    while (r == -EINTR);
    if (r == -EOPNOTSUPP || r == -ENOSYS)
        return 0; /* then a full disk shows in the middle of writing; no file system of ours is
                     like that */
    if (r < 0)
        (void)ftruncate(
            fd, old_size); /* gives back what was reserved past the end before it failed */
    return r;
}

int content_write(int fd, const char *path, const struct buf *content, struct err *err)
{
    struct stat st;
    struct statfs fs;
    if (content_check(fd, path, &st, err) < 0)
        return -1;
    /* /proc/1 is init: its files are no place to put bytes into, whatever link led here. */
    if (fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC))
        return content_error(path, EPERM, err);
    int r = reserve_space(fd, buf_len(content), st.st_size);
    if (r == 0)
        r = write_all(fd, content);
    if (r == 0 && (size_t)st.st_size > buf_len(content) &&
        ftruncate(fd, (off_t)buf_len(content)) < 0)
        r = -errno;
    return r < 0 ? content_error(path, -r, err) : 0;
}
