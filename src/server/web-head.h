/*
 * Heads of HTTP messages as they are passed on: written anew from their parts, without what is between two neighbours only
 * (RFC 9110 7.6.1) and without what only the front may say.
 */
#ifndef CWS_SERVER_WEB_HEAD_H
#define CWS_SERVER_WEB_HEAD_H

#include "base/buf.h"
#include "wire/http1.h"

struct head_to_app {
    const struct http_head *head;
    const char *peer; /* the visitor's address, without a port */
    bool tls;
    bool authorized; /* the Authorization field was for us */
};
/** web_put_request() - append to @out. 0 or -ENOMEM. */
int web_put_request(struct buf *out, const struct head_to_app *to) WARN_UNUSED;

struct head_to_visitor {
    const struct http_head *head;
    struct http_text host;     /* that the visitor asked, with a port; for cookies */
    enum http_framing framing; /* of the body that follows */
    bool close;
};
/** web_put_answer() - append to @out. 0 or -ENOMEM. */
int web_put_answer(struct buf *out, const struct head_to_visitor *to) WARN_UNUSED;

/** web_put_error() - a whole answer of the front's own, after which the connection ends; @with_body: not to HEAD. */
int web_put_error(struct buf *out, unsigned status, const char *text,
                  bool with_body) WARN_UNUSED;

#endif
