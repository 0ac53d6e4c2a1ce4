/*
 * What is made of cws_options: the bytes of one CreateSandboxRequest, when a sandbox object is
 * made. From then on there is nothing to copy, and a repeated start sends the same request_id.
 */
#ifndef CWS_CLIENT_OPTIONS_REQUEST_H
#define CWS_CLIENT_OPTIONS_REQUEST_H

#include "base/buf.h"
#include "client/error.h"
#include "client/options-times.h"

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
