/*
 * A queue of bytes that are either small (copied, coalesced into chunks) or large (referenced,
 * never copied). A call's unsent messages and a connection's unsent frames are both one of
 * these; moving bytes between them moves references.
 *
 * Invariant: `bytes` is the sum of all segment lengths; no segment is empty; chunk memory never
 * moves, so iovecs stay valid while bytes are appended. Owner: embeds it zeroed; segq_done()
 * frees. Out of memory: -ENOMEM.
 */
#ifndef CWS_WIRE_SEGQ_H
#define CWS_WIRE_SEGQ_H

#include <sys/uio.h>

#include "base/buf.h"

struct segq_blob;

struct segq {
    struct buf segs;        /* array of struct seg */
    struct segq_blob *tail; /* chunk that still has room for copies; may be NULL */
    size_t bytes;
};

int segq_put_copy(struct segq *q, const void *data, size_t n) WARN_UNUSED;
/**
 * segq_put_message() - append all @parts (copied) and then the bytes of @take_buf, or nothing
 * at all
 * @take_buf: emptied in every case; large contents are referenced
 */
int segq_put_message(struct segq *q, const struct iovec *parts, size_t n_parts,
                     struct buf *take_buf) WARN_UNUSED;
/** segq_move() - the first @n bytes of @src go to the end of @dst. On -ENOMEM only some of them
 * did. */
int segq_move(struct segq *dst, struct segq *src, size_t n) WARN_UNUSED;
/** segq_iov() - describe the front of the queue; returns the number of entries filled. */
int segq_iov(const struct segq *q, struct iovec *iov, int max);
/** segq_consume() - drop @n bytes from the front; @n <= bytes. */
void segq_consume(struct segq *q, size_t n);
void segq_clear(struct segq *q);
void segq_done(struct segq *q);

#endif
