/* See tarwrite.h. */
#include "image/tarwrite.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/util.h"

#define BLOCK 512
#define OCTAL_MAX(digits) ((UINT64_C(1) << (3 * (digits))) - 1)

int tar_writer_init(struct tar_writer *w, int out, struct err *err)
{
    *w = (struct tar_writer){.out = out};
    return hash_init(&w->hash, err);
}

void tar_writer_done(struct tar_writer *w)
{
    hash_done(&w->hash);
}

static int flush(struct tar_writer *w, struct err *err)
{
    hash_add(&w->hash, w->held, w->n_held);
    int r = fd_write_all(w->out, w->held, w->n_held);
    w->n_held = 0;
    if (r < 0)
        return err_set_errno(err, r == -ENOSPC ? ERR_RESOURCE_EXHAUSTED : ERR_UNAVAILABLE, -r,
                             "write the archive");
    return 0;
}

int tar_writer_put(struct tar_writer *w, const void *data, size_t n, struct err *err)
{
    const uint8_t *p = data;
    w->n_bytes += n;
    while (n > 0) {
        size_t some = MIN(n, sizeof(w->held) - w->n_held);
        memcpy(w->held + w->n_held, p, some);
        w->n_held += some;
        p += some;
        n -= some;
        if (w->n_held == sizeof(w->held) && flush(w, err) < 0)
            return -1;
    }
    return 0;
}

int tar_writer_pad(struct tar_writer *w, struct err *err)
{
    static const uint8_t zeros[BLOCK];
    return tar_writer_put(w, zeros, -w->n_bytes & (BLOCK - 1), err);
}

int tar_writer_end(struct tar_writer *w, struct tar_written *ret, struct err *err)
{
    static const uint8_t zeros[2 * BLOCK];
    if (tar_writer_put(w, zeros, sizeof(zeros), err) < 0 || flush(w, err) < 0)
        return -1;
    ret->n_bytes = w->n_bytes;
    hash_end(&w->hash, ret->hex);
    return 0;
}

static void put_octal(char *field, size_t n, uint64_t value)
{
    char digits[32];
    (void)snprintf(digits, sizeof(digits), "%0*" PRIo64, (int)n - 1,
                   MIN(value, OCTAL_MAX(n - 1)));
    memcpy(field, digits, n);
}

static int write_header(struct tar_writer *w, const struct tar_out *e, struct err *err)
{
    char h[BLOCK] = {0};
    unsigned sum = 0;
    memcpy(h, e->path, strnlen(e->path, 100));
    put_octal(h + 100, 8, e->mode_bits);
    put_octal(h + 108, 8, e->uid);
    put_octal(h + 116, 8, e->gid);
    put_octal(h + 124, 12, e->size);
    put_octal(h + 136, 12, e->mtime.tv_sec < 0 ? 0 : (uint64_t)e->mtime.tv_sec);
    memset(h + 148, ' ', 8);
    h[156] = e->type;
    memcpy(h + 157, e->link, strnlen(e->link, 100));
    memcpy(h + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < sizeof(h); i++)
        sum += (uint8_t)h[i];
    put_octal(h + 148, 7, sum);
    return tar_writer_put(w, h, sizeof(h), err);
}

/* "LENGTH KEYWORD=VALUE\n": LENGTH counts itself. */
int tar_pax_put(struct buf *b, const char *keyword, const void *value, size_t n)
{
    size_t rest = strlen(keyword) + n + 3, digits = 1;
    for (size_t limit = 10; rest + digits >= limit; limit *= 10)
        digits++;
    if (buf_printf(b, "%zu %s=", rest + digits, keyword) < 0 || buf_put(b, value, n) < 0)
        return -ENOMEM;
    return buf_put(b, "\n", 1);
}

static int put_number(struct buf *b, const char *keyword, uint64_t value, uint64_t max)
{
    char text[24];
    return value <= max ? 0
                        : tar_pax_put(b, keyword, text,
                                      (size_t)snprintf(text, sizeof(text), "%" PRIu64, value));
}

/* What the header has no room for. */
static int put_rest(struct buf *b, const struct tar_out *e)
{
    char time[48];
    if ((strlen(e->path) > 100 && tar_pax_put(b, "path", e->path, strlen(e->path)) < 0) ||
        (strlen(e->link) > 100 && tar_pax_put(b, "linkpath", e->link, strlen(e->link)) < 0) ||
        put_number(b, "size", e->size, OCTAL_MAX(11)) < 0 ||
        put_number(b, "uid", e->uid, OCTAL_MAX(7)) < 0 ||
        put_number(b, "gid", e->gid, OCTAL_MAX(7)) < 0)
        return -ENOMEM;
    if (e->mtime.tv_nsec == 0 && e->mtime.tv_sec >= 0 &&
        (uint64_t)e->mtime.tv_sec <= OCTAL_MAX(11))
        return 0;
    int64_t s = e->mtime.tv_sec;
    long ns = e->mtime.tv_nsec;
    bool negative = s < 0 && ns > 0; /* -1.75 is kept as -2 and 0.25 */
    int n = snprintf(time, sizeof(time), "%s%" PRId64 ".%09ld", negative && s == -1 ? "-" : "",
                     negative ? s + 1 : s, negative ? 1000000000 - ns : ns);
    return tar_pax_put(b, "mtime", time, (size_t)n);
}

int tar_writer_entry(struct tar_writer *w, const struct tar_out *e, struct buf *pax,
                     struct err *err)
{
    if (put_rest(pax, e) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (buf_len(pax) > 0) {
        struct tar_out x = {
            .type = 'x', .path = "pax", .link = "", .mode_bits = 0644, .size = buf_len(pax)};
        if (write_header(w, &x, err) < 0 ||
            tar_writer_put(w, buf_head(pax), buf_len(pax), err) < 0 ||
            tar_writer_pad(w, err) < 0)
            return -1;
        buf_clear(pax);
    }
    return write_header(w, e, err);
}

int tar_writer_file(struct tar_writer *w, const char *name, const void *data, size_t n,
                    struct err *err)
{
    CLEANUP_BUF struct buf pax = {0};
    struct tar_out e = {.type = '0', .path = name, .link = "", .mode_bits = 0644, .size = n};
    if (tar_writer_entry(w, &e, &pax, err) < 0 || tar_writer_put(w, data, n, err) < 0)
        return -1;
    return tar_writer_pad(w, err);
}
