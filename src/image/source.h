/*
 * Where bytes come from, one after another: a file, what is unpacked of another source, what is hashed on its way. Sources
 * are stacked; each is embedded by who makes it. Thread: one at a time.
 */
#ifndef CWS_IMAGE_SOURCE_H
#define CWS_IMAGE_SOURCE_H

#include "base/err.h"
#include "image/digest.h"

struct source {
    /** read() - up to @n > 0 bytes; 0 at the end; -1 with @err set. */
    ssize_t (*read)(struct source *self, void *data, size_t n, struct err *err);
    /** skip() - pass over up to @n bytes without reading; how many. NULL: it cannot. */
    uint64_t (*skip)(struct source *self, uint64_t n);
};

/** source_read_full() - exactly @n bytes, or fewer at the end; -1 with @err set. */
ssize_t source_read_full(struct source *s, void *data, size_t n, struct err *err);
/** source_read_text() - all of it as a heap string with a NUL behind it; DATA_LOSS above @max bytes. */
int source_read_text(struct source *s, size_t max, char **ret_text, size_t *ret_n,
                     struct err *err);

/* A stretch of a file that can be read at any place, so that several read it at once. */
struct file_source {
    struct source source;
    int fd; /* borrowed */
    uint64_t offset, end;
};
void file_source_init(struct file_source *s, int fd, uint64_t offset, uint64_t n_bytes);

/* What comes from a pipe or a file from where it stands. */
struct stream_source {
    struct source source;
    int fd; /* borrowed */
};
void stream_source_init(struct stream_source *s, int fd);

/* Counts and hashes what passes. */
struct hash_source {
    struct source source;
    struct source *inner; /* borrowed */
    struct hash hash;
    uint64_t n_bytes;
    uint64_t max_bytes; /* one more is RESOURCE_EXHAUSTED */
};
int hash_source_init(struct hash_source *s, struct source *inner, uint64_t max_bytes,
                     struct err *err);
/** hash_source_end() - read on to the end, then the digest. */
int hash_source_end(struct hash_source *s, char ret_hex[static DIGEST_HEX + 1],
                    struct err *err);
void hash_source_done(struct hash_source *s);

#endif
