/*
 * SHA-256 of what goes by, and digests as texts. Of the algorithms that the OCI names only sha256 is taken: images with
 * others are refused by name.
 */
#ifndef CWS_IMAGE_DIGEST_H
#define CWS_IMAGE_DIGEST_H

#include "base/err.h"

#define DIGEST_HEX 64 /* characters */

/** digest_parse() - the 64 digits of "sha256:…" into @ret_hex; INVALID_ARGUMENT otherwise. */
int digest_parse(const char *text, char ret_hex[static DIGEST_HEX + 1], struct err *err);
/** digest_is_hex() - 64 lower-case digits and nothing else. */
bool digest_is_hex(const char *text);

struct hash {
    void *context; /* EVP_MD_CTX */
};

/** hash_init() - RESOURCE_EXHAUSTED when there is no memory. */
int hash_init(struct hash *h, struct err *err);
void hash_add(struct hash *h, const void *data, size_t n);
/** hash_end() - the digest of all that was added; only hash_done() may follow. */
void hash_end(struct hash *h, char ret_hex[static DIGEST_HEX + 1]);
void hash_done(struct hash *h);
/** hash_bytes() - of one piece of memory. */
int hash_bytes(const void *data, size_t n, char ret_hex[static DIGEST_HEX + 1],
               struct err *err);

#endif
