/* See archive.h. */
#include "image/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "image/inflate.h"
#include "image/tar.h"
#include "image/tree.h"

void archive_done(struct archive *a)
{
    for (size_t i = 0; i < a->n_members; i++)
        free(a->members[i].name);
    free(a->members);
    if (a->is_owned)
        cleanup_fd(&a->fd);
    *a = (struct archive){.fd = -1};
}

static int spool(struct archive *a, struct source *from, int store, uint64_t max_bytes,
                 struct err *err)
{
    uint8_t bytes[65536];
    uint64_t n = 0;
    ssize_t got;
    CLEANUP_FD int fd = openat(store, "tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "make a file in the store");
    while ((got = from->read(from, bytes, sizeof(bytes), err)) > 0) {
        n += (uint64_t)got;
        if (n > max_bytes)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "the archive is larger than %llu bytes",
                           (unsigned long long)max_bytes);
        int r = fd_write_all(fd, bytes, (size_t)got);
        if (r < 0)
            return err_set_errno(err, r == -ENOSPC ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL, -r,
                                 "write to the store");
    }
    if (got < 0)
        return -1;
    a->fd = TAKE_FD(fd);
    a->is_owned = true;
    return 0;
}

/* Something that can be read at any place, and plain. */
static int make_seekable(struct archive *a, const struct stat *st, int store,
                         uint64_t max_bytes, struct err *err)
{
    struct file_source file;
    struct stream_source stream;
    bool seekable = S_ISREG(st->st_mode);
    file_source_init(&file, a->fd, 0, (uint64_t)st->st_size);
    stream_source_init(&stream, a->fd);
    CLEANUP_INFLATE struct inflate *z =
        inflate_new(seekable ? &file.source : &stream.source, err);
    if (!z)
        return -1;
    return seekable && !inflate_is_packed(z)
               ? 0
               : spool(a, inflate_source(z), store, max_bytes, err);
}

static int add_member(struct archive *a, const char *path, uint64_t offset, uint64_t size,
                      struct err *err)
{
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    if ((a->n_members & (a->n_members - 1)) == 0) { /* full at every power of two */
        struct archive_member *more =
            reallocarray(a->members, a->n_members ? a->n_members * 2 : 1, sizeof(*more));
        if (!more)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        a->members = more;
    }
    char *name = strdup(path);
    if (!name)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    a->members[a->n_members++] = (struct archive_member){name, offset, size};
    return 0;
}

static int index_members(struct archive *a, uint64_t size, struct err *err)
{
    struct file_source from;
    const struct tar_entry *e;
    int r;
    CLEANUP(tar_done) struct tar t;
    file_source_init(&from, a->fd, 0, size);
    tar_init(&t, &from.source);
    while ((r = tar_next(&t, &e, err)) > 0) {
        if (e->kind == TAR_FILE && a->n_members < ARCHIVE_MEMBERS_MAX &&
            add_member(a, e->path, from.offset, e->size, err) < 0)
            return -1;
    }
    return r;
}

int archive_open(struct archive *a, int fd, int store, uint64_t max_bytes, struct err *err)
{
    struct stat st;
    CLEANUP_ARCHIVE struct archive made = {.fd = fd};
    if (fstat(fd, &st) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "look at the input");
    made.is_directory = S_ISDIR(st.st_mode);
    if (!made.is_directory &&
        (make_seekable(&made, &st, store, max_bytes, err) < 0 || fstat(made.fd, &st) < 0 ||
         index_members(&made, (uint64_t)st.st_size, err) < 0))
        return -1;
    *a = made;
    made = (struct archive){.fd = -1};
    return 0;
}

int archive_member(const struct archive *a, const char *name, struct file_source *ret,
                   int *ret_fd, struct err *err)
{
    struct stat st;
    *ret_fd = -1;
    for (size_t i = a->n_members; i-- > 0;) { /* the last of a name counts, as for tar(1) */
        if (strcmp(a->members[i].name, name) == 0) {
            file_source_init(ret, a->fd, a->members[i].offset, a->members[i].size);
            return 0;
        }
    }
    if (a->is_directory) {
        CLEANUP_FD int fd = tree_open(a->fd, name, O_RDONLY);
        if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
            file_source_init(ret, fd, 0, (uint64_t)st.st_size);
            *ret_fd = TAKE_FD(fd);
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, "it has no file `%.200s`", name);
}

int archive_text(const struct archive *a, const char *name, size_t max, char **ret,
                 size_t *ret_n, struct err *err)
{
    struct file_source from;
    CLEANUP_FD int fd = -1;
    if (archive_member(a, name, &from, &fd, err) < 0)
        return -1;
    return source_read_text(&from.source, max, ret, ret_n, err) < 0
               ? err_wrap(err, "`%.200s`", name)
               : 0;
}
