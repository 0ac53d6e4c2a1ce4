/* See testtar.h. */
#include "image/testtar.h"

#include <string.h>

static void put(struct buf *b, const void *data, size_t n)
{
    CHECK(buf_put(b, data, n) == 0);
}

static void pad(struct buf *b)
{
    static const uint8_t zeros[512];
    put(b, zeros, -buf_len(b) & 511);
}

void testtar_entry(struct buf *b, char type, const char *name, const char *link,
                   const char *content)
{
    char h[512] = {0};
    unsigned sum = 0;
    memcpy(h, name, MIN(strlen(name), 100));
    (void)snprintf(h + 100, 8, "%07o", type == '5' ? 0755 : 0644);
    (void)snprintf(h + 108, 8, "%07o", 0);
    (void)snprintf(h + 116, 8, "%07o", 0);
    (void)snprintf(h + 124, 12, "%011o", (unsigned)strlen(content));
    (void)snprintf(h + 136, 12, "%011o", 1000);
    h[156] = type;
    memcpy(h + 157, link, MIN(strlen(link), 100));
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < sizeof(h); i++)
        sum += (uint8_t)h[i];
    (void)snprintf(h + 148, 8, "%06o", sum);
    put(b, h, sizeof(h));
    put(b, content, strlen(content));
    pad(b);
}

void testtar_pax(struct buf *b, const char *keyword, const char *value)
{
    CLEANUP_BUF struct buf record = {0};
    size_t n = strlen(keyword) + strlen(value) + 3;
    size_t digits = 1;
    for (size_t limit = 10; n + digits >= limit; limit *= 10)
        digits++;
    CHECK(buf_printf(&record, "%zu %s=%s\n", n + digits, keyword, value) == 0 &&
          buf_put(&record, "", 1) == 0);
    testtar_entry(b, 'x', "pax", "", (const char *)buf_head(&record));
}

void testtar_end(struct buf *b)
{
    static const uint8_t zeros[1024];
    put(b, zeros, sizeof(zeros));
}

static ssize_t buf_source_read(struct source *source, void *data, size_t n, struct err *err)
{
    struct buf_source *s = CONTAINER_OF(source, struct buf_source, source);
    (void)err;
    n = MIN(n, buf_len(s->b));
    if (n > 0)
        memcpy(data, buf_head(s->b), n);
    buf_consume(s->b, n);
    return (ssize_t)n;
}

void buf_source_init(struct buf_source *s, struct buf *b)
{
    *s = (struct buf_source){{.read = buf_source_read}, b};
}
