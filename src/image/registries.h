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
    bool public_only;    /* but for hosts that the file of registries names */
    char *login_host;    /* NULL, or where @login belongs: it counts before Docker's */
    struct credentials login;
};

enum registries_logins { LOGINS_NONE, LOGINS_DOCKER };

/**
 * registries_load() - @logins: whether Docker's config file counts; @path: the file of registries, or NULL: $XDG_CONFIG_HOME/cwsandbox/registries.conf,
 * ~/.config/cwsandbox/registries.conf or /etc/cwsandbox/registries.conf, the first there is
 * Errors: INVALID_ARGUMENT with file and line; FAILED_PRECONDITION (cannot be read).
 */
int registries_load(struct registries *r, const char *path, enum registries_logins logins,
                    struct err *err);
/** registries_set_login() - for @host, as credentials name it: with a scheme, a path, or neither. RESOURCE_EXHAUSTED. */
int registries_set_login(struct registries *r, const char *host, const char *user,
                         const char *password, struct err *err);
/** registries_public_only() - may @host be at no address that is not public? */
bool registries_public_only(const struct registries *r, const char *host);
bool registries_is_plain(const struct registries *r, const char *host);
/** registries_authority() - text of certificates, borrowed, or NULL: the system's. */
const char *registries_authority(const struct registries *r, const char *host);
/** registries_credentials() - what was set or Docker's config has for @host; all NULL when nothing. */
int registries_credentials(const struct registries *r, const char *host,
                           struct credentials *ret, struct err *err);
void credentials_done(struct credentials *c);
void registries_done(struct registries *r);
#define CLEANUP_CREDENTIALS CLEANUP(credentials_done)

#endif
