/*
 * cws_target: where calls go and which metadata they carry. Immutable after creation, so any
 * thread may read it.
 */
#ifndef CWS_CLIENT_TARGET_H
#define CWS_CLIENT_TARGET_H

#include <stdatomic.h>

#include "client/error.h"
#include "transport/transport.h"
#include "wire/grpc.h"

struct cws_target {
    _Atomic uint32_t refs;
    char *url;
    struct address address;
    bool embedded; /* this user's own service: started when nobody answers */
    struct grpc_header
        *headers; /* heap strings; room for one more at the end (rpc.c adds x-cwsandbox-wait) */
    size_t n_headers;
};

#define TARGET_HOSTED_URL "https://api.cwsandbox.com" /* as the published client */
#define TARGET_MAX_HEADERS 64u /* chosen: a header block is limited to 64 KiB anyway */

/** target_or_default() - a new reference to @target, or cws_target_new(NULL, NULL, 0). */
struct cws_target *target_or_default(struct cws_target *target, cws_error **error);

#endif
