/*
 * Writes a tar archive: ustar, and pax headers where a field is too small. Counts and hashes what it writes.
 */
#ifndef CWS_IMAGE_TARWRITE_H
#define CWS_IMAGE_TARWRITE_H

#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "image/digest.h"

struct tar_written {
    uint64_t n_bytes; /* of the tar */
    char hex[DIGEST_HEX + 1];
};

struct tar_writer {
    int out; /* borrowed */
    uint64_t n_bytes;
    struct hash hash;
    size_t n_held;
    uint8_t held[65536]; /* not written yet */
};
int tar_writer_init(struct tar_writer *w, int out, struct err *err);

struct tar_out {
    char type; /* '0' file, '1' hard link, '2' symbolic link, '5' directory, '6' pipe */
    const char *path, *link;
    uint32_t mode_bits;
    uint64_t uid, gid, size;
    struct timespec mtime;
};

/**
 * tar_writer_entry() - a header; @size bytes of tar_writer_put() and tar_writer_pad() must follow
 * @pax: records of an extended header, consumed; those that the entry needs itself are added
 * Errors of all here: RESOURCE_EXHAUSTED (memory, room), UNAVAILABLE (nobody reads what is written).
 */
int tar_writer_entry(struct tar_writer *w, const struct tar_out *e, struct buf *pax,
                     struct err *err);
/** tar_writer_file() - a small file of root's with all its content. */
int tar_writer_file(struct tar_writer *w, const char *name, const void *data, size_t n,
                    struct err *err);
/** tar_pax_put() - add a record to what tar_writer_entry() takes; -ENOMEM. */
int tar_pax_put(struct buf *pax, const char *keyword, const void *value, size_t n);
int tar_writer_put(struct tar_writer *w, const void *data, size_t n, struct err *err);
/** tar_writer_pad() - behind each content. */
int tar_writer_pad(struct tar_writer *w, struct err *err);
/** tar_writer_end() - the end marker. */
int tar_writer_end(struct tar_writer *w, struct tar_written *ret, struct err *err);
void tar_writer_done(struct tar_writer *w);

#endif
