/* See inflate.h. */
#include "image/inflate.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum kind { KIND_PLAIN, KIND_GZIP, KIND_ZSTD };

struct inflate {
    struct source source;
    struct source *inner; /* borrowed */
    enum kind kind;
    bool between; /* no member of gzip, no frame of zstd is open: the input may end here */
    bool inner_ended;
    z_stream gzip;
    ZSTD_DCtx *zstd;
    size_t start, end; /* of what is unread in `in` */
    uint8_t in[65536];
};

/* At least one byte of input, or none at its end. */
static int fill(struct inflate *z, struct err *err)
{
    if (z->start < z->end || z->inner_ended)
        return 0;
    ssize_t got = z->inner->read(z->inner, z->in, sizeof(z->in), err);
    if (got < 0)
        return -1;
    z->start = 0;
    z->end = (size_t)got;
    z->inner_ended = got == 0;
    return 0;
}

static ssize_t read_plain(struct inflate *z, void *data, size_t n, struct err *err)
{
    if (z->start == z->end)
        return z->inner->read(z->inner, data, n, err);
    n = MIN(n, z->end - z->start);
    memcpy(data, z->in + z->start, n);
    z->start += n;
    return (ssize_t)n;
}

/* One step: takes of the input, returns bytes made, possibly 0. */
static ssize_t step_gzip(struct inflate *z, void *data, size_t n, struct err *err)
{
    z->gzip.next_in = z->in + z->start;
    z->gzip.avail_in = (uInt)(z->end - z->start);
    z->gzip.next_out = data;
    z->gzip.avail_out = (uInt)MIN(n, 1u << 30);
    uInt room = z->gzip.avail_out;
    int r = inflate(&z->gzip, Z_NO_FLUSH);
    z->start = z->end - z->gzip.avail_in;
    z->between = r == Z_STREAM_END;
    if (r == Z_STREAM_END && inflateReset(&z->gzip) != Z_OK) /* another member may follow */
        return err_set(err, ERR_INTERNAL, "reset zlib");
    if (r == Z_MEM_ERROR)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
        return err_set(err, ERR_DATA_LOSS, "its gzip stream is damaged: %s",
                       z->gzip.msg != NULL ? z->gzip.msg : "no reason given");
    return (ssize_t)(room - z->gzip.avail_out);
}

static ssize_t step_zstd(struct inflate *z, void *data, size_t n, struct err *err)
{
    ZSTD_inBuffer in = {z->in + z->start, z->end - z->start, 0};
    ZSTD_outBuffer out = {data, n, 0};
    size_t r = ZSTD_decompressStream(z->zstd, &out, &in);
    z->start += in.pos;
    z->between = r == 0;
    if (ZSTD_isError(r))
        return err_set(err, ERR_DATA_LOSS, "its zstd stream is damaged: %s",
                       ZSTD_getErrorName(r));
    return (ssize_t)out.pos;
}

static ssize_t inflate_read(struct source *source, void *data, size_t n, struct err *err)
{
    struct inflate *z = CONTAINER_OF(source, struct inflate, source);
    if (z->kind == KIND_PLAIN)
        return read_plain(z, data, n, err);
    for (;;) {
        if (fill(z, err) < 0)
            return -1;
        bool ended = z->start == z->end;
        if (ended && z->between)
            return 0;
        ssize_t got =
            z->kind == KIND_GZIP ? step_gzip(z, data, n, err) : step_zstd(z, data, n, err);
        if (got != 0)
            return got;
        if (ended && !z->between)
            return err_set(err, ERR_DATA_LOSS, "its %s stream ends early",
                           z->kind == KIND_GZIP ? "gzip" : "zstd");
    }
}

static int start(struct inflate *z, struct err *err)
{
    static const uint8_t gzip[] = {0x1f, 0x8b}, zstd[] = {0x28, 0xb5, 0x2f, 0xfd};
    ssize_t got = source_read_full(z->inner, z->in, sizeof(zstd), err);
    if (got < 0)
        return -1;
    z->end = (size_t)got;
    if (z->end >= sizeof(gzip) && memcmp(z->in, gzip, sizeof(gzip)) == 0) {
        z->kind = KIND_GZIP;
        if (inflateInit2(&z->gzip, 16 + MAX_WBITS) != Z_OK)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    } else if (z->end >= sizeof(zstd) && memcmp(z->in, zstd, sizeof(zstd)) == 0) {
        z->kind = KIND_ZSTD;
        z->zstd = ZSTD_createDCtx();
        if (z->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax,
                                                                   INFLATE_WINDOW_LOG_MAX)))
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    return 0;
}

struct inflate *inflate_new(struct source *inner, struct err *err)
{
    CLEANUP_INFLATE struct inflate *z = calloc(1, sizeof(*z));
    if (z == NULL) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    z->source.read = inflate_read;
    z->inner = inner;
    return start(z, err) < 0 ? NULL : TAKE_PTR(z);
}

struct source *inflate_source(struct inflate *z)
{
    return &z->source;
}

bool inflate_is_packed(const struct inflate *z)
{
    return z->kind != KIND_PLAIN;
}

struct inflate *inflate_free(struct inflate *z)
{
    if (z == NULL)
        return NULL;
    if (z->kind == KIND_GZIP)
        (void)inflateEnd(&z->gzip);
    (void)ZSTD_freeDCtx(z->zstd);
    free(z);
    return NULL;
}
