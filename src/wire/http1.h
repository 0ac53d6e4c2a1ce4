/*
 * HTTP/1.0 and 1.1 messages without I/O: the head of a request or of an answer, and what of the bytes behind it is its body.
 *
 * Strict (RFC 9112), because whoever is behind us reads the same bytes: two readers that disagree where a message ends are
 * request smuggling. So lines end in CRLF only, nothing is folded, no blank stands before a colon, a message has one
 * Content-Length or one Transfer-Encoding or neither. What was accepted is written anew by who forwards it, and a body passes as
 * its bytes, not with its framing.
 *
 * Owner: the caller of everything; a head borrows from the bytes it was parsed from. Thread: any.
 */
#ifndef CWS_WIRE_HTTP1_H
#define CWS_WIRE_HTTP1_H

#include <sys/types.h>

#include "base/macros.h"

#define HTTP_MAX_HEAD \
    32768u /* chosen: four times nginx's line; cookies of a whole browser fit */
#define HTTP_MAX_FIELDS 128    /* chosen: browsers send some 20 */
#define HTTP_MAX_METHOD 32     /* chosen */
#define HTTP_MAX_EXTENSION 256 /* chosen: of one chunk; nobody uses any */
#define HTTP_MAX_TRAILERS 8192 /* chosen: bytes behind the last chunk */

struct http_text {
    const char *data;
    size_t n;
};

struct http_field {
    struct http_text name, value; /* the value without blanks around it */
};

enum http_framing {
    HTTP_EMPTY,       /* no body */
    HTTP_LENGTH,      /* Content-Length */
    HTTP_CHUNKED,     /* Transfer-Encoding: chunked */
    HTTP_UNTIL_CLOSE, /* answers only */
};

struct http_head {
    struct http_text method, target, host; /* of a request; host as it was sent, with a port */
    unsigned status;                       /* of an answer */
    struct http_text reason;
    unsigned minor; /* HTTP/1.minor */
    struct http_field fields[HTTP_MAX_FIELDS];
    size_t n_fields;
    enum http_framing framing;
    uint64_t length; /* HTTP_LENGTH; of an answer to HEAD too, which has no body all the same */
    bool close;      /* the sender keeps the connection for no further message */
    bool upgrade;    /* "Connection: upgrade", and an Upgrade field */
};

/**
 * http_parse_request() - the head at the front of @n bytes
 * Returns its size; 0: more bytes are needed; -400, -431, -501, -505: the status to refuse it with. @ret is undefined then.
 */
ssize_t http_parse_request(const char *data, size_t n, struct http_head *ret);
/** http_parse_answer() - the same for an answer to @method; -EPROTO. Interim ones (1xx) come as heads of their own. */
ssize_t http_parse_answer(const char *data, size_t n, struct http_text method,
                          struct http_head *ret);

/** http_is() - does @text equal @word, whatever the case? */
bool http_is(struct http_text text, const char *word);
/** http_lists() - is @word in the comma-separated list @text, whatever the case? */
bool http_lists(struct http_text text, struct http_text word);
/** http_find() - the first field of that name, or NULL. */
const struct http_field *http_find(const struct http_head *head, const char *name);

/* What of the bytes behind a head is its body. */
struct http_body {
    enum http_framing framing;
    int state;
    uint64_t left; /* of the body, or of the chunk */
    size_t n_line; /* of this chunk's line, or of all trailers */
    bool done;
};
void http_body_init(struct http_body *b, const struct http_head *head);
/**
 * http_body_next() - take a first part of @n > 0 bytes
 * @ret_part: of it what belongs to the body, one piece, possibly empty
 * Returns how many were taken, at least one unless b->done; -EPROTO.
 */
ssize_t http_body_next(struct http_body *b, const char *data, size_t n,
                       struct http_text *ret_part);

#endif
