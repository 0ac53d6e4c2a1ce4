/*
 * What the verbs of images share: each becomes cwsandbox-image, which reads what others wrote behind a wall of its own.
 */
#ifndef CWS_CLI_IMAGES_H
#define CWS_CLI_IMAGES_H

#include "cli/options.h"

struct image_call {
    const char *verb;
    const char *words[16]; /* options of cwsandbox-image, NULL-terminated */
    struct words operands;
};

/** images_become() - execute cwsandbox-image; returns an exit code only when that fails. */
int images_become(const struct image_call *call);

#endif
