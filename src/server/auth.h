/*
 * Who calls: a peer's uid on Unix sockets, the name of an API key elsewhere.
 */
#ifndef CWS_SERVER_AUTH_H
#define CWS_SERVER_AUTH_H

#include "server/call.h"

/**
 * auth_check() - fill @owner
 * Unix sockets: "uid:N" (who may connect at all was decided at accept). Else the name of the
 * key in `authorization: Bearer <key>`, or "anonymous" without a header when the service allows
 * it. Errors: ERR_UNAUTHENTICATED; the text never holds what was presented. @owner is then "-".
 */
int auth_check(const struct service *s, const struct transport_peer *peer,
               const struct grpc_request *req, char owner[static CALL_OWNER_MAX],
               struct err *err);
/** auth_bearer() - the key in an authorization value, or NULL. The scheme's case does not
 * matter (RFC 9110 11.1). */
const char *auth_bearer(const char *value);

#endif
