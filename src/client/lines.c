#include "client/lines.h"

#include <errno.h>
#include <string.h>

int lines_feed(struct lines *l, const uint8_t *data, size_t n,
               int (*emit)(void *user, const uint8_t *line, size_t n), void *user)
{
    while (n > 0) {
        const uint8_t *end = memchr(data, '\n', n);
        size_t part = end ? (size_t)(end - data) + 1 : n;
        size_t text = end ? part - 1 : part; /* the limit is on the text, as elsewhere */
        if (buf_len(&l->partial) + text > LINES_MAX_BYTES)
            return -EMSGSIZE;
        int r = 0;
        if (!end || buf_len(&l->partial) > 0)
            r = buf_put(&l->partial, data, part);
        if (r == 0 && end) {
            bool joined = buf_len(&l->partial) > 0;
            r = joined ? emit(user, buf_head(&l->partial), buf_len(&l->partial))
                       : emit(user, data, part);
            buf_clear(&l->partial);
        }
        if (r < 0)
            return r;
        data += part;
        n -= part;
    }
    return 0;
}

int lines_flush(struct lines *l, int (*emit)(void *user, const uint8_t *line, size_t n),
                void *user)
{
    int r = 0;
    if (buf_len(&l->partial) > 0)
        r = emit(user, buf_head(&l->partial), buf_len(&l->partial));
    buf_clear(&l->partial);
    return r;
}

void lines_drop(struct lines *l)
{
    buf_done(&l->partial);
}
