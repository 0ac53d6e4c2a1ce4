/*
 * A growable byte buffer with a read cursor: bytes are appended at the end, consumed from the front.
 * Owner: whoever embeds it. Starts zeroed; buf_done() frees. No thread safety.
 * All functions that can run out of memory return 0 or -ENOMEM and leave the content untouched on failure.
 */
#ifndef CWS_BASE_BUF_H
#define CWS_BASE_BUF_H

#include "base/macros.h"

struct buf {
    uint8_t *data;
    size_t start; /* first unread byte */
    size_t end;   /* one past the last byte; start <= end <= cap */
    size_t cap;
};

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}
static inline const uint8_t *buf_head(const struct buf *b)
{
    return b->start > 0 ? b->data + b->start
                        : b->data; /* an empty buffer has data NULL: no arithmetic on it */
}

/** buf_reserve() - room for @n more bytes at the end; buf_tail() is then writable for @n bytes. */
int buf_reserve(struct buf *b, size_t n) WARN_UNUSED;
static inline uint8_t *buf_tail(struct buf *b)
{
    return b->end > 0 ? b->data + b->end : b->data;
}
/** buf_commit() - @n bytes were written at buf_tail(). */
void buf_commit(struct buf *b, size_t n);
int buf_put(struct buf *b, const void *data, size_t n) WARN_UNUSED;
int buf_put_str(struct buf *b, const char *s) WARN_UNUSED;
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3) WARN_UNUSED;
/** buf_consume() - drop @n bytes from the front; @n <= buf_len(). */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);
/** buf_take() - the caller owns malloc'd bytes (never NULL-terminated); @b becomes empty. Moves to the front first. */
uint8_t *buf_take(struct buf *b, size_t *ret_len);
void buf_done(struct buf *b);
#define CLEANUP_BUF CLEANUP(buf_done)

#endif
