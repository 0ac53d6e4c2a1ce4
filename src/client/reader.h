/*
 * cws_reader: the consuming end of a stream of chunks. Part of an op (a process, a file or log
 * stream), whose lock and count it uses: the loop appends, any number of program threads take.
 *
 * Two lists. *Kept*: an exec's stdout and stderr stay for the final result, up to keep_max bytes;
 * the program's place in it is a cursor. *Passing*: what lies beyond that, and all of a tty, file,
 * log or an exec with discard_output, leaves when read; above READER_MAX_CHUNKS or
 * READER_MAX_BYTES the producer is paused (flow control), never dropped. Beyond keep_max there is a
 * passing part only for a program that has asked for the stream; otherwise the rest is dropped as
 * it comes, and who asks later is told by an error in its place.
 *
 * End: an optional error is handed out once, after the chunks; then CWS_READ_END for ever and
 * for everybody.
 */
#ifndef CWS_CLIENT_READER_H
#define CWS_CLIENT_READER_H

#include "client/chunk.h"
#include "client/op.h"

#define READER_MAX_CHUNKS 4096u              /* as the published client */
#define READER_MAX_BYTES (16u * 1024 * 1024) /* chosen: 4096 chunks may be 4 GiB */

struct reader_events {
    void (*on_room)(struct cws_reader *r);   /* [loop] it is below half of its bounds again */
    void (*on_closed)(struct cws_reader *r); /* [loop] the program closed it */
};

struct cws_reader {
    struct cws_op *owner;               /* [const] the op this is part of */
    const struct reader_events *events; /* [const] NULL: nothing to tell */
    size_t keep_max;                    /* [const] 0: nothing is kept */
    /* [const] the program owns references to the reader, not to its op: see cws_reader_unref() */
    bool counted;
    _Atomic uint32_t users; /* when `counted` */
    /* [const] when not NULL: how many references of the program the output has, of all kinds; at
     * the last one's end on_unheld() */
    _Atomic uint32_t *holders;
    void (*on_unheld)(struct cws_op *owner);

    struct chunk *head, **tail; /* [lock] the kept ones */
    struct chunk **cursor;      /* [lock] where the next unread kept one is linked */
    size_t total_bytes;         /* [lock] kept; the last chunk may reach over keep_max */
    struct chunk *passing, **passing_tail; /* [lock] */
    size_t n_unread, unread_bytes;         /* [lock] passing */
    bool wanted;                           /* [lock] the program asked for the stream */
    bool truncated;                        /* [lock] there was more than is kept */
    bool lost;               /* [lock] ... and it was dropped before the stream was wanted */
    struct cws_error *error; /* [lock] */
    bool error_given;        /* [lock] */
    bool ended;              /* [lock] by the producer */
    bool closed;             /* [lock] by the program */
    bool dropped;            /* [lock] nobody can ask for what is kept either */
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

/** reader_init() - @keep_max 0: all passes. */
void reader_init(struct cws_reader *r, struct cws_op *owner, const struct reader_events *events,
                 size_t keep_max);
void reader_done(struct cws_reader *r);
/** reader_push() - [loop] append; takes @take. True: it is full, the producer should pause until
 * on_room(). What one message holds may still be pushed. */
bool reader_push(struct cws_reader *r, struct chunk *take);
/** reader_end() - [loop, or the op's settled()] no more chunks; takes @take_error. The first
 * call counts. */
void reader_end(struct cws_reader *r, struct cws_error *take_error);
/** reader_want() - the program asked for the stream. */
void reader_want(struct cws_reader *r);
/** reader_drop() - close, and forget what is kept: nobody can ask for it any more. */
void reader_drop(struct cws_reader *r);
bool reader_has_something_locked(const struct cws_reader *r);

#endif
