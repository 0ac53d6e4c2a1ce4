/*
 * The command line of cwsandbox-image. People type `cwsandbox image …`, which has the help and hands its words on; so this is
 * read plainly: options first, `--name value`, then operands.
 */
#ifndef CWS_IMAGE_OPTIONS_H
#define CWS_IMAGE_OPTIONS_H

#include "base/err.h"

enum image_verb {
    VERB_PULL,
    VERB_IMPORT,
    VERB_EXPORT,
    VERB_LS,
    VERB_INSPECT,
    VERB_RM,
    VERB_PRUNE,
    VERB_FETCH, /* not typed by people: fetch.h */
    VERB_MAX
};

struct image_options {
    enum image_verb verb;
    const char *store;      /* NULL: that of this user's own service */
    const char *secrets;    /* a directory (login.h), or NULL */
    const char *registries; /* NULL: where the file usually is */
    bool json, rootfs, quiet;
    bool
        public_only; /* registries at addresses that are not public are not asked, but those of the file */
    bool no_logins;    /* Docker's config file is not read */
    uint64_t unused_s; /* prune: references not used for so long go, too; UINT64_MAX = none */
    uint64_t
        keep_bytes; /* prune: those longest unused go until no more is left; UINT64_MAX = any size */
    char *const *operands;
    size_t n_operands;
};

/** image_options_parse() - INVALID_ARGUMENT names the word. */
int image_options_parse(char *const *argv, struct image_options *ret, struct err *err);

#endif
