/*
 * Secrets that open registries. An operator's directory has them as files: DIR/OWNER/STORE/NAME, where a service has several
 * owners, else DIR/STORE/NAME. A file is a value, or JSON whose members are values (a field says which). A value is
 * `USER:PASSWORD`, JSON {"username", "password"}, or a config file of Docker's ({"auths"}).
 */
#ifndef CWS_IMAGE_LOGIN_H
#define CWS_IMAGE_LOGIN_H

#include "image/registries.h"

struct login_name {    /* whoever asked said so: nothing of it is believed */
    const char *owner; /* "": the service has one */
    const char *store, *name, *field;
};

/** login_read() - the file @n is of, before the wall; @dir: NULL when there is none.
 * Errors: NOT_FOUND, for what is no name, too; FAILED_PRECONDITION. None has anything of the content. */
int login_read(const char *dir, const struct login_name *n, char **ret_text, struct err *err);
/** login_use() - what @text says counts for @host. INVALID_ARGUMENT: it is no secret of that kind. */
int login_use(const char *text, const char *field, const char *host, struct registries *r,
              struct err *err);

#endif
