/*
 * cws_reader: the consuming end of a stream of chunks. Part of an op (a process, a file or log
 * stream), whose lock and count it uses: the loop appends, any number of program threads take.
 *
 * Two kinds. *Kept*: an exec's stdout and stderr stay in the list for the final result; the
 * reader is a cursor; no bound, because the result needs it all anyway. *Passing*: the chunks
 * of a tty, file, log or an exec with discard_output leave when read; above READER_MAX_CHUNKS or READER_MAX_BYTES the
 * producer is paused (flow control), never dropped.
 *
 * End: an optional error is handed out once, after the chunks; then CWS_READ_END for ever and
 * for everybody.
 */
#ifndef CWS_CLIENT_READER_H
#define CWS_CLIENT_READER_H

#include "client/chunk.h"
#include "client/op.h"

#define READER_MAX_CHUNKS 4096u              /* contract/sdk.md 2.4 */
#define READER_MAX_BYTES (16u * 1024 * 1024) /* chosen: 4096 chunks may be 4 GiB */

struct reader_events {
    void (*on_room)(struct cws_reader *r);   /* [loop] it is below half of its bounds again */
    void (*on_closed)(struct cws_reader *r); /* [loop] the program closed it */
};

struct cws_reader {
    struct cws_op *owner;               /* [const] the op this is part of */
    const struct reader_events *events; /* [const] NULL: nothing to tell */
    bool kept;                          /* [const] */
    bool counted; /* [const] the program owns references to the reader, not to its op: see
                     cws_reader_unref() */
    _Atomic uint32_t users;     /* when `counted` */
    struct chunk *head, **tail; /* [lock] the list */
    struct chunk **cursor; /* [lock] where the next unread chunk is linked; passing: &head */
    size_t total_bytes;    /* [lock] kept: in the list */
    size_t n_unread, unread_bytes; /* [lock] passing */
    struct cws_error *error;       /* [lock] */
    bool error_given;              /* [lock] */
    bool ended;                    /* [lock] by the producer */
    bool closed;                   /* [lock] by the program */
    /* [lock] passing: a state, not the last answer. On from the chunk that reaches a bound until
     * both counts are below half, however many chunks come meanwhile; while it is on the
     * producer pauses. */
    bool full;
    bool room_posted;                  /* [lock] room_task is queued */
    _Atomic uint32_t seq;              /* changes with every event; sleepers sleep on it */
    uint32_t n_sleepers;               /* [lock] */
    struct list waiters;               /* [lock] */
    struct task room_task, close_task; /* owned by loop_post() */
};

void reader_init(struct cws_reader *r, struct cws_op *owner, const struct reader_events *events,
                 bool kept);
void reader_done(struct cws_reader *r);
/** reader_push() - [loop] append; takes @take. True: it is full, the producer should pause until
 * on_room(). What one message holds may still be pushed. */
bool reader_push(struct cws_reader *r, struct chunk *take);
/** reader_end() - [loop, or the op's settled()] no more chunks; takes @take_error. The first
 * call counts. */
void reader_end(struct cws_reader *r, struct cws_error *take_error);
bool reader_has_something_locked(const struct cws_reader *r);

#endif
