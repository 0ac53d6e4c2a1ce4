/* See source.h. */
#include "image/source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

ssize_t source_read_full(struct source *s, void *data, size_t n, struct err *err)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = s->read(s, (uint8_t *)data + done, n - done, err);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

int source_read_text(struct source *s, size_t max, char **ret_text, size_t *ret_n,
                     struct err *err)
{
    CLEANUP_BUF struct buf b = {0};
    for (;;) {
        if (buf_reserve(&b, 8192) < 0)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        ssize_t got = s->read(s, buf_tail(&b), 8192, err);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        buf_commit(&b, (size_t)got);
        if (buf_len(&b) > max)
            return err_set(err, ERR_DATA_LOSS, "it is longer than %zu bytes", max);
    }
    if (buf_put(&b, "", 1) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    *ret_text = (char *)buf_take(&b, ret_n);
    *ret_n -= 1;
    return 0;
}

static ssize_t file_read_some(struct source *source, void *data, size_t n, struct err *err)
{
    struct file_source *s = CONTAINER_OF(source, struct file_source, source);
    n = MIN(n, s->end - s->offset);
    if (n == 0)
        return 0;
    ssize_t got;
    do
        got = pread(s->fd, data, n, (off_t)s->offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_set_errno(err, ERR_UNAVAILABLE, errno, "read a file");
    s->offset += (uint64_t)got;
    return got;
}

static uint64_t file_skip(struct source *source, uint64_t n)
{
    struct file_source *s = CONTAINER_OF(source, struct file_source, source);
    n = MIN(n, s->end - s->offset);
    s->offset += n;
    return n;
}

void file_source_init(struct file_source *s, int fd, uint64_t offset, uint64_t n_bytes)
{
    *s = (struct file_source){{file_read_some, file_skip}, fd, offset, offset + n_bytes};
}

static ssize_t stream_read(struct source *source, void *data, size_t n, struct err *err)
{
    struct stream_source *s = CONTAINER_OF(source, struct stream_source, source);
    ssize_t got;
    do
        got = read(s->fd, data, n);
    while (got < 0 && errno == EINTR);
    return got < 0 ? err_set_errno(err, ERR_UNAVAILABLE, errno, "read the input") : got;
}

void stream_source_init(struct stream_source *s, int fd)
{
    *s = (struct stream_source){{.read = stream_read}, fd};
}

static ssize_t hash_read(struct source *source, void *data, size_t n, struct err *err)
{
    struct hash_source *s = CONTAINER_OF(source, struct hash_source, source);
    ssize_t got = s->inner->read(s->inner, data, n, err);
    if (got <= 0)
        return got;
    s->n_bytes += (uint64_t)got;
    if (s->n_bytes > s->max_bytes)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "it is larger than %llu bytes",
                       (unsigned long long)s->max_bytes);
    hash_add(&s->hash, data, (size_t)got);
    return got;
}

int hash_source_init(struct hash_source *s, struct source *inner, uint64_t max_bytes,
                     struct err *err)
{
    *s = (struct hash_source){.source = {hash_read}, .inner = inner, .max_bytes = max_bytes};
    return hash_init(&s->hash, err);
}

int hash_source_end(struct hash_source *s, char ret_hex[static DIGEST_HEX + 1], struct err *err)
{
    uint8_t rest[16384];
    ssize_t got;
    while ((got = hash_read(&s->source, rest, sizeof(rest), err)) > 0)
        ;
    if (got < 0)
        return -1;
    hash_end(&s->hash, ret_hex);
    return 0;
}

void hash_source_done(struct hash_source *s)
{
    hash_done(&s->hash);
}
