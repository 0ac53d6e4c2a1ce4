/*
 * What is in a gzip or zstd stream; anything else passes as it is. Which it is says its beginning, not its name: media
 * types in the wild are wrong.
 */
#ifndef CWS_IMAGE_INFLATE_H
#define CWS_IMAGE_INFLATE_H

#include "image/source.h"

/* Larger windows are refused: RFC 8878 recommends decoders to take 8 MiB, `zstd --long` writes 128 MiB. */
#define INFLATE_WINDOW_LOG_MAX 27

struct inflate;

/** inflate_new() - @inner is borrowed and read ahead of; NULL with @err set. */
struct inflate *inflate_new(struct source *inner, struct err *err);
/** inflate_source() - borrowed. Its read() fails with DATA_LOSS on what is damaged or cut. */
struct source *inflate_source(struct inflate *z);
/** inflate_is_packed() - false: the bytes are passed as they are. */
bool inflate_is_packed(const struct inflate *z);
struct inflate *inflate_free(struct inflate *z);
static inline void cleanup_inflate(struct inflate **z)
{
    (void)inflate_free(*z);
}
#define CLEANUP_INFLATE CLEANUP(cleanup_inflate)

#endif
