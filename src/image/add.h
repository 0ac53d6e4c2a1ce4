/*
 * Putting an image into the store: layers that are not there yet, then config and manifest, then the reference. Used by what
 * imports and what pulls.
 */
#ifndef CWS_IMAGE_ADD_H
#define CWS_IMAGE_ADD_H

#include "image/config.h"
#include "image/manifest.h"
#include "image/store.h"

#define ADD_BYTES_MAX \
    (UINT64_C(64) \
     << 30) /* of one layer's files. Chosen: the largest images there are have half of it */

struct image_parts {
    const char *manifest, *config; /* as they are */
    size_t n_manifest, n_config;
    const char *reference;
};

/** image_publish() - all its layers are in the store: write the rest, the reference last. */
int image_publish(const struct store *s, const struct image_parts *parts, struct err *err);
typedef char diff_id_text[DIGEST_HEX + 1];

/** image_config() - heap: a config for these layers, with the words of the config @base, which may be NULL; NULL with @err. */
char *image_config(const diff_id_text *diff_ids, size_t n, const char *base, struct err *err);
/** image_manifest() - heap: a manifest for @config with unpacked layers of these sizes; NULL with @err. */
char *image_manifest(const char *config, size_t n_config, const diff_id_text *diff_ids,
                     const uint64_t *sizes_bytes, size_t n, struct err *err);

#endif
