/*
 * The config of an image: which layers it has, and how a process starts in it.
 */
#ifndef CWS_IMAGE_CONFIG_H
#define CWS_IMAGE_CONFIG_H

#include "base/err.h"
#include "image/digest.h"
#include "image/manifest.h"

#define CONFIG_BYTES_MAX ((size_t)8 << 20)
#define CONFIG_WORDS_MAX 4096 /* of one list. Chosen */
#define CONFIG_USER_MAX 255   /* bytes. Chosen */

struct words {
    char **items; /* heap, as is each */
    size_t n;
};

struct config {
    char (*diff_ids)[DIGEST_HEX + 1]; /* from the lowest layer */
    size_t n_diff_ids;
    struct words env, entrypoint, cmd, volumes;
    char *user;        /* "" = root */
    char *working_dir; /* absolute */
    int stop_signal;
    bool host; /* the layers stand on the machine's own root */
};

/* A member of the config that only this store knows: "host" is what its layers stand on. */
#define CONFIG_BASE "cwsandbox.base"
#define CONFIG_BASE_HOST "host"

/**
 * image_config_parse() - Errors: INVALID_ARGUMENT (no such JSON, a word that is none), FAILED_PRECONDITION (for another machine),
 * RESOURCE_EXHAUSTED (a cap).
 */
int image_config_parse(const char *text, size_t n, struct config *ret, struct err *err);
void image_config_done(struct config *c);
#define CLEANUP_CONFIG CLEANUP(image_config_done)

#endif
