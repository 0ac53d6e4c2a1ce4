/* Making, finding (the default one) and ending clients. */
#ifndef CWS_CLIENT_CLIENTS_H
#define CWS_CLIENT_CLIENTS_H

#include "client/client.h"

/** client_or_default() - @client, or the default one; NULL with *@error when that cannot be
 * made or is a parent's. */
struct cws_client *client_or_default(struct cws_client *client, cws_error **error);

#endif
