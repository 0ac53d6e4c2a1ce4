/*
 * An image as a value: docs/images.md, "The value".
 */
#ifndef CWS_IMAGE_VALUE_H
#define CWS_IMAGE_VALUE_H

#include "image/config.h"
#include "image/json.h"
#include "image/store.h"

struct image_value {
    struct store_ref ref;
    struct config config; /* diff_ids are the names of the layers, from the lowest */
    uint64_t size_bytes;
};

/** value_load() - of @reference, as reference_format() writes it. NOT_FOUND; DATA_LOSS when a part of it is gone. */
int value_load(const struct store *s, const char *reference, struct image_value *ret,
               struct err *err);
/** value_read() - the same for who must not see the layers: whether they are there is not known, and size_bytes is 0. */
int value_read(const struct store *s, const char *reference, struct image_value *ret,
               struct err *err);
/** value_json() - an object with the members of docs/images.md; NULL when out of memory. */
json_t *value_json(const struct image_value *v);
void value_done(struct image_value *v);
#define CLEANUP_VALUE CLEANUP(value_done)

#endif
