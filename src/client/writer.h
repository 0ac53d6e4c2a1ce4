/*
 * cws_writer: the producing end of a process's stdin. Part of a process or file op, whose lock
 * and count it uses.
 *
 * A write is copied once, into frames that go out as they are, and is itself an op: done as
 * soon as it is among the first WRITER_QUEUE_SIZE items, so a full queue shows as a pending
 * handle. The loop takes frames from the front whenever the connection has room. EOF is an item
 * like others.
 */
#ifndef CWS_CLIENT_WRITER_H
#define CWS_CLIENT_WRITER_H

#include "base/buf.h"
#include "client/op.h"

#define WRITER_QUEUE_SIZE 16u     /* as the published client */
#define WRITER_FRAME_BYTES 65536u /* as the published client */

struct cws_writer {
    struct cws_op *owner; /* [const] */
    size_t frame_bytes;   /* [const] */
    void (*on_data)(
        struct cws_writer *w); /* [const] [loop] called when there may be something to take */
    struct list items;         /* [lock] struct write_op.item */
    size_t n_items;            /* [lock] */
    bool closed;               /* [lock] EOF is queued */
    bool failed;               /* [lock] */
    bool posted;               /* [lock] on_data is on its way */
    struct cws_error *failure; /* [lock] why; cause of what later writes get */
    struct task data_task;     /* owned by loop_post() */
};

void writer_init(struct cws_writer *w, struct cws_op *owner, size_t frame_bytes,
                 void (*on_data)(struct cws_writer *w));
void writer_done(struct cws_writer *w);

enum writer_next {
    WRITER_EMPTY,
    WRITER_FRAME,
    WRITER_EOF,
    WRITER_SKIPPED /* inside writer.c only */
};
/** writer_take() - [loop] the next frame (moved into @ret), or EOF, or nothing now. */
enum writer_next writer_take(struct cws_writer *w, struct buf *ret);
/** writer_fail() - [loop] nobody takes any more: pending writes fail with @take, later ones at
 * once. */
void writer_fail(struct cws_writer *w, struct cws_error *take);

#endif
