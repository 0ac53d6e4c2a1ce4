/*
 * What is configured of registries, and what this user may show them. Read before the program confines itself: these files are
 * the user's and the operator's own.
 *
 * The file of registries: lines `key = value`, `#` begins a comment.
 *   plain-http = HOST[:PORT]             no TLS there (on loopback none is needed: TLS is tried first, then plain http)
 *   mirror = HOST[:PORT] URL             asked first, in the order of the file; the registry itself last
 *   ca = HOST[:PORT] FILE                certificates that sign that host's, in place of the system's
 * Credentials: Docker's config file, its `auths`. Programs that keep credentials (credHelpers) are not started.
 */
#ifndef CWS_IMAGE_REGISTRIES_H
#define CWS_IMAGE_REGISTRIES_H

#include "base/err.h"

struct registry_row {
    char *host;
    char *value; /* NULL for plain-http; a URL; the text of certificates */
};

struct registry_rows {
    struct registry_row *items;
    size_t n;
};

struct credentials {
    char *user, *password; /* NULL: none */
    char *identity_token;  /* NULL: none; exchanged for a token */
};

struct registries {
    struct registry_rows plain, mirrors, authorities;
    char *docker_config; /* JSON text, or NULL */
};

/**
 * registries_load() - @path: the file of registries, or NULL: $XDG_CONFIG_HOME/cwsandbox/registries.conf,
 * ~/.config/cwsandbox/registries.conf or /etc/cwsandbox/registries.conf, the first there is
 * Errors: INVALID_ARGUMENT with file and line; FAILED_PRECONDITION (cannot be read).
 */
int registries_load(struct registries *r, const char *path, struct err *err);
bool registries_is_plain(const struct registries *r, const char *host);
/** registries_authority() - text of certificates, borrowed, or NULL: the system's. */
const char *registries_authority(const struct registries *r, const char *host);
/** registries_credentials() - what Docker's config has for @host; all NULL when nothing. */
int registries_credentials(const struct registries *r, const char *host,
                           struct credentials *ret, struct err *err);
void credentials_done(struct credentials *c);
void registries_done(struct registries *r);
#define CLEANUP_CREDENTIALS CLEANUP(credentials_done)

#endif
