/*
 * Authentication of calls. See auth.h.
 */
#include "server/auth.h"

#include <string.h>
#include <strings.h>

#include "wire/grpc.h"

#define HEADER "authorization: Bearer <API key>" /* for texts */

const char *auth_bearer(const char *value)
{
    if (strncasecmp(value, "bearer ", 7) != 0)
        return NULL;
    value += 7;
    while (*value == ' ')
        value++;
    return *value != '\0' ? value : NULL;
}

/* What the caller presents; NULL: nothing, and nothing is needed. */
static int find_key(const struct service *s, const struct grpc_request *req,
                    const char **ret_key, struct err *err)
{
    const char *value = grpc_header_find(req->headers, req->n_headers, "authorization");
    const char *wandb = grpc_header_find(req->headers, req->n_headers, "x-wandb-api-key");
    if (value != NULL) {
        *ret_key = auth_bearer(value);
        if (*ret_key == NULL)
            return err_set(err, ERR_UNAUTHENTICATED, "the authorization header is not `%s`",
                           HEADER);
        return 0;
    }
    if (wandb != NULL && s->options->accept_wandb_keys) {
        *ret_key = wandb;
        return 0;
    }
    *ret_key = NULL;
    if (s->options->allow_unauthenticated)
        return 0;
    if (wandb != NULL)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "x-wandb-api-key is not accepted here; send `%s`", HEADER);
    return err_set(err, ERR_UNAUTHENTICATED, "no API key: send `%s`", HEADER);
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
    const char *key = NULL;
    if (find_key(s, req, &key, err) < 0)
        return -1;
    if (key == NULL) {
        (void)snprintf(owner, CALL_OWNER_MAX, "anonymous");
        return 0;
    }
    const char *name = keys_find(s->keys, key);
    if (name == NULL)
        return err_set(err, ERR_UNAUTHENTICATED,
                       "unknown API key: send `%s` with one of this service", HEADER);
    (void)snprintf(owner, CALL_OWNER_MAX, "%s", name);
    return 0;
}
