/*
 * Authentication of calls. See auth.h.
 */
#include "server/auth.h"

#include <string.h>
#include <strings.h>

const char *auth_bearer(const char *value)
{
    if (strncasecmp(value, "bearer ", 7) != 0)
        return NULL;
    value += 7;
    while (*value == ' ')
        value++;
    return *value != '\0' ? value : NULL;
}

int auth_check(const struct service *s, const struct transport_peer *peer,
               const struct grpc_request *req, char owner[static CALL_OWNER_MAX],
               struct err *err)
{
    if (peer->is_unix) {
        (void)snprintf(owner, CALL_OWNER_MAX, "uid:%u", (unsigned)peer->uid);
        return 0;
    }
    (void)snprintf(owner, CALL_OWNER_MAX, "-");
    const char *value = grpc_header_find(req->headers, req->n_headers, "authorization");
    if (value == NULL && s->options->allow_unauthenticated) {
        (void)snprintf(owner, CALL_OWNER_MAX, "anonymous");
        return 0;
    }
    if (value == NULL &&
        grpc_header_find(req->headers, req->n_headers, "x-wandb-api-key") != NULL)
        return err_set(
            err, ERR_UNAUTHENTICATED,
            "x-wandb-api-key is not accepted here; send `authorization: Bearer <API key>`");
    if (value == NULL)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "no API key: send `authorization: Bearer <API key>`");
    const char *key = auth_bearer(value);
    if (key == NULL)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "the authorization header is not `authorization: Bearer <API key>`");
    const char *name = keys_find(s->keys, key);
    if (name == NULL)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "the API key in `authorization: Bearer <API key>` is unknown");
    (void)snprintf(owner, CALL_OWNER_MAX, "%s", name);
    return 0;
}
