/*
 * cws_options: what a sandbox is to be like. Collected as plain arrays, turned into the bytes
 * of one CreateSandboxRequest when a sandbox object is made: from then on there is nothing to
 * copy, and a repeated start sends the same request_id.
 */
#ifndef CWS_CLIENT_OPTIONS_H
#define CWS_CLIENT_OPTIONS_H

#include "base/buf.h"
#include "client/error.h"

#define OPTIONS_REQUEST_TIMEOUT_NS (300ULL * 1000000000ULL) /* as the published client */
#define OPTIONS_RETRY_BUDGET_NS (30ULL * 1000000000ULL)
#define OPTIONS_POLL_TIMEOUT_NS (15ULL * 1000000000ULL)

/* The part that steers the client and is not sent. */
struct options_times {
    uint64_t request_timeout_ns;
    uint64_t retry_budget_ns;
    uint64_t poll_timeout_ns;
    uint64_t create_budget_ns; /* of asking a place that is full again; 0 = once only */
};
void options_times_init(struct options_times *t);

#define OPTIONS_FILE_MAX_BYTES (256u * 1024) /* as the published client */

/** options_pack() - append the request that options_method() takes, with a fresh request_id as its
 * last bytes; @o NULL = defaults. 0 or -1 with *@error. */
int options_pack(const cws_options *o, struct buf *out, cws_error **error);
/** options_pack_spilled() - the request that follows when the first one finds no room; appends
 * nothing when there is none. @o passed options_pack(). */
int options_pack_spilled(const cws_options *o, struct buf *out, cws_error **error);
/** options_renew_request_id() - in a request of the two above. */
void options_renew_request_id(struct buf *request);
/** options_method() - full path of the call that creates it. options_label() - its name in errors. */
const char *options_method(const cws_options *o);
const char *options_label(const cws_options *o);
/** options_want_token() - a service has an HTTPS endpoint that needs a share token. */
bool options_want_token(const cws_options *o);
/** options_scratch_names() - copies of the names of the scratch volumes; the caller frees
 * *@ret_n of them and the array, also after -ENOMEM. */
int options_scratch_names(const cws_options *o, char ***ret_names, size_t *ret_n);
void options_get_times(const cws_options *o, struct options_times *ret);

#endif
