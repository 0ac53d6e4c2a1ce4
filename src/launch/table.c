/*
 *   file   := char magic[8], u32 version, u32 n_fds, i32 fd..., record...
 *   record := u32 kind, u32 size, {u16 tag, u16 size, bytes}...
 *
 * Native byte order: the reader is the same process.
 */
#include "launch/table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/util.h"

#define MAGIC "cwstable"
#define MAX_BYTES (256u << 20) /* chosen: a sandbox has 0.5 KiB */

struct head {
    char magic[8];
    uint32_t version, n_fds;
};

struct record {
    uint32_t kind, size;
};

struct member {
    uint16_t tag, size;
};

/* ---- writing ---- */

int table_put(struct table *t, const struct table_shape *shape, const void *object)
{
    struct record record = {shape->kind, 0};
    int r = 0;

    for (size_t i = 0; i < shape->n_rows; i++)
        record.size += (uint32_t)(sizeof(struct member) + shape->rows[i].size);
    r = buf_put(&t->records, &record, sizeof(record));
    for (size_t i = 0; i < shape->n_rows && r == 0; i++) {
        const struct table_row *row = &shape->rows[i];
        const uint8_t *at = (const uint8_t *)object + row->offset;
        const struct member member = {row->tag, row->size};

        r = buf_put(&t->records, &member, sizeof(member));
        if (r == 0)
            r = buf_put(&t->records, at, row->size);
        if (r == 0 && row->fd && *(const int *)(const void *)at >= 0)
            r = buf_put(&t->fds, at, sizeof(int));
    }
    return r;
}

int table_write(const struct table *t)
{
    struct head head = {MAGIC, TABLE_VERSION, (uint32_t)(buf_len(&t->fds) / sizeof(int))};
    CLEANUP_FD int fd = memfd_create("table", 0);
    int r = fd < 0 ? -errno : fd_write_all(fd, &head, sizeof(head));

    if (r == 0)
        r = fd_write_all(fd, buf_head(&t->fds), buf_len(&t->fds));
    if (r == 0)
        r = fd_write_all(fd, buf_head(&t->records), buf_len(&t->records));
    return r < 0 ? r : TAKE_FD(fd);
}

/* ---- reading ---- */

static int read_whole(int fd, struct buf *ret)
{
    off_t size = lseek(fd, 0, SEEK_END);

    if (size < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return -errno;
    if (size > (off_t)MAX_BYTES || buf_reserve(ret, (size_t)size) < 0)
        return -ENOMEM;
    ssize_t n = fd_read_all(fd, buf_tail(ret), (size_t)size);
    if (n != size)
        return n < 0 ? (int)n : -EIO;
    buf_commit(ret, (size_t)n);
    return 0;
}

static int take(struct buf *from, void *ret, size_t n)
{
    if (buf_len(from) < n)
        return -EBADMSG;
    memcpy(ret, buf_head(from), n);
    buf_consume(from, n);
    return 0;
}

static int fd_at(const struct table *t, size_t i)
{
    int fd;

    memcpy(&fd, buf_head(&t->fds) + i * sizeof(int), sizeof(int));
    return fd;
}

static int check_fds(const struct table *t)
{
    for (size_t i = 0; i < buf_len(&t->fds) / sizeof(int); i++) {
        if (fd_set_cloexec(fd_at(t, i), true) < 0)
            return -EBADF;
    }
    return 0;
}

int table_read(struct table *ret, int take_fd)
{
    CLEANUP_FD int fd = take_fd;
    struct head head;
    int r = read_whole(fd, &ret->records);

    if (r == 0)
        r = take(&ret->records, &head, sizeof(head));
    if (r < 0)
        return r;
    if (memcmp(head.magic, MAGIC, sizeof(head.magic)) != 0)
        return -EBADMSG;
    if (head.version < TABLE_OLDEST || head.version > TABLE_VERSION)
        return -EPROTONOSUPPORT;
    size_t n = (size_t)head.n_fds * sizeof(int);
    if (buf_len(&ret->records) < n)
        return -EBADMSG;
    r = buf_put(&ret->fds, buf_head(&ret->records), n);
    buf_consume(&ret->records, n);
    return r < 0 ? r : check_fds(ret);
}

int table_next(const struct table *t)
{
    struct record record;

    if (buf_len(&t->records) == 0)
        return 0;
    if (buf_len(&t->records) < sizeof(record))
        return -EBADMSG;
    memcpy(&record, buf_head(&t->records), sizeof(record));
    return record.kind > 0 && record.kind <= INT16_MAX ? (int)record.kind : -EBADMSG;
}

static const struct table_row *row_of(const struct table_shape *shape, uint16_t tag)
{
    for (size_t i = 0; i < shape->n_rows; i++) {
        if (shape->rows[i].tag == tag)
            return &shape->rows[i];
    }
    return NULL;
}

int table_get(struct table *t, const struct table_shape *shape, void *ret_object)
{
    struct record record;
    int r = take(&t->records, &record, sizeof(record));

    if (r < 0 || record.kind != (uint32_t)shape->kind || record.size > buf_len(&t->records))
        return -EBADMSG;
    while (record.size > 0) {
        const struct table_row *row;
        struct member member;

        if (record.size < sizeof(member) || take(&t->records, &member, sizeof(member)) < 0)
            return -EBADMSG;
        record.size -= (uint32_t)sizeof(member);
        row = row_of(shape, member.tag);
        if (!row || row->size != member.size || member.size > record.size)
            return -EBADMSG;
        r = take(&t->records, (uint8_t *)ret_object + row->offset, member.size);
        if (r < 0)
            return r;
        record.size -= member.size;
    }
    return 0;
}

void table_leave_open(const struct table *t, bool open)
{
    for (size_t i = 0; i < buf_len(&t->fds) / sizeof(int); i++)
        (void)fd_set_cloexec(fd_at(t, i), !open);
}

void table_done(struct table *t)
{
    buf_done(&t->fds);
    buf_done(&t->records);
}
