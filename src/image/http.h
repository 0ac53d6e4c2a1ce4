/*
 * One request at a time to a registry, by libcurl. An object belongs to one thread; threads have one each and share what the
 * registry said of tokens (registry.h).
 */
#ifndef CWS_IMAGE_HTTP_H
#define CWS_IMAGE_HTTP_H

#include "base/buf.h"
#include "base/err.h"

#define HTTP_HEADER_MAX ((size_t)8192) /* of one that is kept. Chosen */

struct http_request {
    const char *url;
    const char *authority;       /* text of certificates; NULL: the system's */
    const char *accept;          /* or NULL */
    const char *bearer;          /* token; or NULL */
    const char *user, *password; /* both or none */
    const char *form;            /* a body to POST; NULL: GET */
    uint64_t offset;             /* only what is behind it is wanted (Range) */
    uint64_t max_bytes;          /* of an answer; more is DATA_LOSS */
    bool plain;                  /* http is allowed, for the URL and where it redirects to */
    bool public_only;            /* and no address that is not public (address.h), the same */
    /** on_data() - 0, or -1 with @err set; NULL: kept in the response. @restarted: the server began at 0 all the same. */
    int (*on_data)(void *context, const void *data, size_t n, bool restarted, struct err *err);
    void *context;
};

struct http_response {
    long status;
    bool is_broken;  /* the connection broke: another try may do */
    bool is_not_tls; /* what answered speaks no TLS */
    struct buf body; /* of answers that are not given to on_data() */
    char *challenge; /* WWW-Authenticate, or NULL */
};

struct http;
struct http *http_new(struct err *err);
/**
 * http_do() - whatever the status: 0. on_data() gets the bodies of 200 and 206 only.
 * Errors: UNAVAILABLE (name, connection, TLS; see the two flags), PERMISSION_DENIED (address), DATA_LOSS (too long), what on_data() set.
 */
int http_do(struct http *h, const struct http_request *q, struct http_response *ret,
            struct err *err);
/** http_escape() - for a query; heap, or NULL. */
char *http_escape(const char *text);
void http_response_done(struct http_response *r);
void http_free(struct http *h);
#define CLEANUP_RESPONSE CLEANUP(http_response_done)

#endif
