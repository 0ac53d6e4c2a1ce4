/*
 * An image out of what a sandbox has written: the layers of its parent, and one more.
 */
#ifndef CWS_IMAGE_COMMIT_H
#define CWS_IMAGE_COMMIT_H

#include "image/store.h"

struct commit_args {
    int input;             /* the layer as a tar with its end marker, an enemy's */
    const char *reference; /* in its normal form */
    const char *parent;    /* digest of its config; "": the machine's own root */
    uint64_t max_bytes;    /* of the layer's files */
    const char *
        changes; /* words, each with its NUL, the last of them empty: NAME=VALUE, =WORKING_DIR */
};

/**
 * commit_image() - the config is the parent's, but for its layers and the changes
 * @ret_id: digest of the new config
 * Errors: NOT_FOUND (the parent), RESOURCE_EXHAUSTED (a cap), those of layer_fill() and image_publish(). Then nothing is left.
 */
int commit_image(const struct store *s, const struct commit_args *args,
                 char ret_id[static DIGEST_HEX + 1], struct err *err);

#endif
