#include "wire/segq.h"

#include <errno.h>
#include <string.h>

/* Memory shared by segments of one or two queues. */
struct segq_blob {
    unsigned refs;
    size_t used; /* chunks: bytes handed out so far; grows only */
    size_t cap;
    uint8_t *mem;    /* == chunk, or the heap block of a message body */
    uint8_t chunk[]; /* present only in chunks */
};

struct seg {
    struct segq_blob *blob;
    const uint8_t *data;
    size_t n;
};

/* Chosen: below this copying is cheaper than one more iovec and reference. */
#define COPY_MAX 1024u
#define CHUNK_MIN 512u   /* chosen: one exec request with its headers */
#define CHUNK_MAX 16384u /* chosen: the default HTTP/2 frame size */

static void blob_unref(struct segq_blob *b)
{
    if (!b || --b->refs > 0)
        return;
    if (b->mem != b->chunk)
        free(b->mem);
    free(b);
}

static struct seg *segs_at(const struct segq *q, size_t *ret_n)
{
    *ret_n = buf_len(&q->segs) / sizeof(struct seg);
    return (struct seg *)(void *)(uintptr_t)buf_head(&q->segs);
}

/* References @blob on success. */
static int push_seg(struct segq *q, struct segq_blob *blob, const uint8_t *data, size_t n)
{
    struct seg s = {blob, data, n};
    int r = buf_put(&q->segs, &s, sizeof(s));
    if (r < 0)
        return r;
    blob->refs++;
    q->bytes += n;
    return 0;
}

static int new_chunk(struct segq *q, size_t n)
{
    size_t cap = q->tail ? MIN(q->tail->cap * 4, (size_t)CHUNK_MAX) : CHUNK_MIN;
    cap = MAX(cap, n);
    struct segq_blob *b = malloc(sizeof(*b) + cap);
    if (!b)
        return -ENOMEM;
    *b = (struct segq_blob){.refs = 1, .cap = cap, .mem = b->chunk};
    blob_unref(q->tail);
    q->tail = b;
    return 0;
}

/* Afterwards @n bytes can be copied and one block referenced without allocating. */
static int reserve(struct segq *q, size_t n)
{
    int r = buf_reserve(&q->segs, 2 * sizeof(struct seg));
    if (r < 0)
        return r;
    if (!q->tail || q->tail->cap - q->tail->used < n)
        return new_chunk(q, n);
    return 0;
}

int segq_put_copy(struct segq *q, const void *data, size_t n)
{
    if (n == 0)
        return 0;
    int r = reserve(q, n);
    if (r < 0)
        return r;
    struct segq_blob *b = q->tail;
    uint8_t *at = b->mem + b->used;
    size_t n_segs;
    struct seg *segs = segs_at(q, &n_segs);
    struct seg *last = n_segs > 0 ? &segs[n_segs - 1] : NULL;
    if (last && last->blob == b && last->data + last->n == at) {
        last->n += n;
        q->bytes += n;
    } else {
        r = push_seg(q, b, at, n);
        if (r < 0)
            return r;
    }
    memcpy(at, data, n);
    b->used += n;
    return 0;
}

int segq_put_message(struct segq *q, const struct iovec *parts, size_t n_parts,
                     struct buf *take_buf)
{
    CLEANUP_BUF struct buf body = *take_buf;
    *take_buf = (struct buf){0};
    bool copy_body = buf_len(&body) <= COPY_MAX;
    size_t n = copy_body ? buf_len(&body) : 0;
    for (size_t i = 0; i < n_parts; i++)
        n += parts[i].iov_len;
    struct segq_blob *b = NULL;
    if (!copy_body) {
        b = malloc(sizeof(*b));
        if (!b)
            return -ENOMEM;
        *b = (struct segq_blob){.refs = 1, .mem = body.data};
    }
    int r = reserve(q, n);
    for (size_t i = 0; i < n_parts && r == 0; i++)
        r = segq_put_copy(q, parts[i].iov_base, parts[i].iov_len);
    if (r == 0 && copy_body)
        r = segq_put_copy(q, buf_head(&body), buf_len(&body));
    if (r == 0 && !copy_body)
        r = push_seg(q, b, buf_head(&body), buf_len(&body));
    if (b) {
        if (r < 0)
            b->mem = b->chunk; /* `body` still owns the block */
        else
            body = (struct buf){0};
        blob_unref(b);
    }
    return r;
}

int segq_move(struct segq *dst, struct segq *src, size_t n)
{
    while (n > 0) {
        size_t n_segs;
        struct seg *s = segs_at(src, &n_segs);
        CHECK(n_segs > 0);
        size_t take = MIN(s->n, n);
        int r = take <= COPY_MAX ? segq_put_copy(dst, s->data, take)
                                 : push_seg(dst, s->blob, s->data, take);
        if (r < 0)
            return r;
        segq_consume(src, take);
        n -= take;
    }
    return 0;
}

int segq_iov(const struct segq *q, struct iovec *iov, int max)
{
    size_t n_segs;
    const struct seg *s = segs_at(q, &n_segs);
    int n = (int)MIN(n_segs, (size_t)MAX(max, 0));
    for (int i = 0; i < n; i++)
        iov[i] = (struct iovec){.iov_base = (void *)s[i].data, .iov_len = s[i].n};
    return n;
}

void segq_consume(struct segq *q, size_t n)
{
    CHECK(n <= q->bytes);
    q->bytes -= n;
    while (n > 0) {
        size_t n_segs;
        struct seg *s = segs_at(q, &n_segs);
        size_t take = MIN(s->n, n);
        s->data += take;
        s->n -= take;
        n -= take;
        if (s->n > 0)
            break;
        blob_unref(s->blob);
        buf_consume(&q->segs, sizeof(*s));
    }
    if (q->bytes > 0 || !q->tail || q->tail->refs > 1)
        return;
    /* Nobody looks at the chunk any more: write it from the start again. */
    q->tail->used = 0;
    if (q->tail->cap > CHUNK_MAX) {
        blob_unref(q->tail);
        q->tail = NULL;
    }
}

void segq_clear(struct segq *q)
{
    segq_consume(q, q->bytes);
}

void segq_done(struct segq *q)
{
    segq_clear(q);
    blob_unref(q->tail);
    buf_done(&q->segs);
    *q = (struct segq){0};
}
