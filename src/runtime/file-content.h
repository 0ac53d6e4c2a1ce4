/*
 * The bytes of a regular file behind a descriptor that came out of a sandbox. The descriptor is
 * not trusted to be what was asked for. Blocking; called on the loop for small files
 * (content_is_quick()) and on libuv's pool for the rest.
 */
#ifndef CWS_RUNTIME_FILE_CONTENT_H
#define CWS_RUNTIME_FILE_CONTENT_H

#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"

#define CONTENT_INLINE_MAX \
    65536 /* measured: 64 KiB to or from tmpfs takes 20 us, a trip to the pool and back 60 us \
           */

/** content_check() - fstat; anything but a regular file is an error that names what it is. */
int content_check(int fd, const char *path, struct stat *ret, struct err *err);
/** content_is_quick() - memory-backed file systems only: nothing else may keep the loop
 * waiting. */
bool content_is_quick(int fd, uint64_t size);
/** content_read() - at most @max bytes, else FILE_TOO_LARGE. */
int content_read(int fd, const char *path, uint64_t max, struct buf *ret, struct err *err);
/** content_write() - replaces the content; on a full disk the old content stays as it was. */
int content_write(int fd, const char *path, const struct buf *content, struct err *err);
/** content_too_large() - FILE_TOO_LARGE with its metadata; -1. */
int content_too_large(const char *path, uint64_t size, uint64_t max, struct err *err);
/** content_error() - the file error for @sys_errno, with metadata "filepath"; -1. */
int content_error(const char *path, int sys_errno, struct err *err);

#endif
