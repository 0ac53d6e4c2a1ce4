/*
 * What one cwsandbox-launch leaves to the program that takes its place in the same process: a memory file with descriptors'
 * numbers in front and records behind them. A record is an object of a *shape*, a table of its members; a member that is not
 * there is zero. The file is read by another build, so any change of a shape takes the next TABLE_VERSION, and no tag is used twice.
 */
#ifndef CWS_LAUNCH_TABLE_H
#define CWS_LAUNCH_TABLE_H

#include "base/buf.h"

#define TABLE_VERSION 3 /* what this build writes */
#define TABLE_OLDEST 1  /* the oldest that it reads */

enum table_kind {
    TABLE_ENGINE = 1,
    TABLE_CELL,
    TABLE_LAYER, /* of the cell before */
    TABLE_GRANT, /* likewise */
    TABLE_SUPERVISOR,
    TABLE_NAMED, /* an address that a name led the cell before to */
};

struct table_row {
    uint16_t tag, size;
    uint32_t offset;
    bool fd; /* an int: a descriptor, or -1 */
};

struct table_shape {
    enum table_kind kind;
    size_t n_rows;
    const struct table_row *rows;
};

#define TABLE_ROW(tag, type, member) \
    { \
        tag, sizeof(((type *)NULL)->member), offsetof(type, member), false \
    }
#define TABLE_FD(tag, type, member) \
    { \
        tag, sizeof(int), offsetof(type, member), true \
    }
#define TABLE_SHAPE(kind, rows) \
    { \
        kind, ARRAY_SIZE(rows), rows \
    }

struct table {
    struct buf fds;     /* int; all that are in the records */
    struct buf records; /* when read: what is still to be taken */
};

/** table_put() - adds a record. 0 or -ENOMEM. */
int table_put(struct table *t, const struct table_shape *shape, const void *object) WARN_UNUSED;
/** table_write() - the file, which survives an execve; -errno. */
int table_write(const struct table *t);
/** table_read() - @take_fd: the file. Its descriptors are close-on-exec from here on. -EBADMSG, -EPROTONOSUPPORT (its version), -EBADF. */
int table_read(struct table *ret, int take_fd);
/** table_next() - the kind of the next record, 0 at the end, -EBADMSG. */
int table_next(const struct table *t);
/** table_get() - that record, which is of @shape, into @ret_object; members that it does not have stay. 0 or -EBADMSG. */
int table_get(struct table *t, const struct table_shape *shape, void *ret_object) WARN_UNUSED;
/** table_leave_open() - whether its descriptors survive an execve. */
void table_leave_open(const struct table *t, bool open);
void table_done(struct table *t);

#endif
