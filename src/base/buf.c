#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

static void buf_compact(struct buf *b)
{
    if (b->start == 0)
        return;
    if (b->end > b->start)
        memmove(b->data, b->data + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
}

int buf_reserve(struct buf *b, size_t n)
{
    if (b->cap - b->end >= n)
        return 0;
    /* Compact only when it frees at least half of the buffer: keeps appends amortised O(1). */
    if (b->start >= b->cap / 2)
        buf_compact(b);
    if (b->cap - b->end >= n)
        return 0;
    size_t want = 0;
    if (__builtin_add_overflow(b->end, n, &want))
        return -ENOMEM;
    size_t cap = MAX(want, MIN(b->cap + b->cap / 2, SIZE_MAX / 2));
    cap = MAX(cap, (size_t)64);
    uint8_t *data = realloc(b->data, cap);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

void buf_commit(struct buf *b, size_t n)
{
    CHECK(n <= b->cap - b->end);
    b->end += n;
}

int buf_put(struct buf *b, const void *data, size_t n)
{
    if (n == 0)
        return 0;
    int r = buf_reserve(b, n);
    if (r < 0)
        return r;
    memcpy(b->data + b->end, data, n);
    b->end += n;
    return 0;
}

int buf_put_str(struct buf *b, const char *s)
{
    return buf_put(b, s, strlen(s));
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = NULL;
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return -ENOMEM;
    int r = buf_put(b, text, (size_t)n);
    free(text);
    return r;
}

void buf_consume(struct buf *b, size_t n)
{
    CHECK(n <= buf_len(b));
    b->start += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

void buf_clear(struct buf *b)
{
    b->start = b->end = 0;
}

uint8_t *buf_take(struct buf *b, size_t *ret_len)
{
    buf_compact(b);
    *ret_len = b->end;
    uint8_t *data = b->data;
    *b = (struct buf){0};
    return data;
}

void buf_done(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}
