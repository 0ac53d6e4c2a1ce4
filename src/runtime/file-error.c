/* Errors of file requests; see file-error.h. */
#include "runtime/file-error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

static int fault(struct err *err, enum err_code code, const char *reason, const char *path,
                 const char *why)
{
    (void)err_set_reason(err, code, reason, "%s: %s", path, why);
    err_add_metadata(err, "filepath", path);
    return -1;
}

int file_error(const char *path, int sys_errno, struct err *err)
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

int file_too_large(const char *path, uint64_t size, uint64_t max, struct err *err)
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

int file_not_regular(const char *path, uint32_t mode, struct err *err)
{
    const char *what = "is not a file";
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return file_error(path, EISDIR, err);
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
        break;
    }
    return fault(err, ERR_INTERNAL, "CWSANDBOX_FILE_IO_FAILED", path, what);
}
