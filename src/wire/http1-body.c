/* Bodies of HTTP/1 messages. See http1.h. */
#include <errno.h>

#include "wire/http1.h"

#define MAX_SIZE_DIGITS 15 /* hexadecimal; fits 60 bits */

/* Of a chunked body, in the order in which they follow. */
enum {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_CR,
    CHUNK_LF,
    TRAILER_BEGIN,
    TRAILER,
    TRAILER_LF,
    LAST_LF,
};

void http_body_init(struct http_body *b, const struct http_head *head)
{
    *b = (struct http_body){.framing = head->framing, .state = CHUNK_SIZE};
    if (head->framing == HTTP_LENGTH)
        b->left = head->length;
    b->done = head->framing == HTTP_EMPTY || (head->framing == HTTP_LENGTH && b->left == 0);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int in_size(struct http_body *b, char c)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        if (b->n_line++ == MAX_SIZE_DIGITS)
            return -EPROTO;
        b->left = b->left << 4 | (unsigned)digit;
        return CHUNK_SIZE;
    }
    if (b->n_line == 0)
        return -EPROTO;
    b->n_line = 0;
    if (c == '\r')
        return CHUNK_SIZE_LF;
    return c == ';' || c == ' ' || c == '\t' ? CHUNK_EXTENSION : -EPROTO;
}

/* Text that nobody reads: extensions and trailers. */
static int in_text(struct http_body *b, char c, int same, int after, size_t max)
{
    if (c == '\r')
        return after;
    if (b->n_line++ == max || ((unsigned char)c < ' ' && c != '\t') || c == 0x7f)
        return -EPROTO;
    return same;
}

static int expect(char c, char wanted, int next)
{
    return c == wanted ? next : -EPROTO;
}

/* One byte of the framing: the next state, or -EPROTO. */
static int step(struct http_body *b, char c)
{
    switch (b->state) {
    case CHUNK_SIZE:
        return in_size(b, c);
    case CHUNK_EXTENSION:
        return in_text(b, c, CHUNK_EXTENSION, CHUNK_SIZE_LF, HTTP_MAX_EXTENSION);
    case CHUNK_SIZE_LF:
        b->n_line = 0;
        return expect(c, '\n', b->left > 0 ? CHUNK_DATA : TRAILER_BEGIN);
    case CHUNK_CR:
        return expect(c, '\r', CHUNK_LF);
    case CHUNK_LF:
        return expect(c, '\n', CHUNK_SIZE);
    case TRAILER_BEGIN:
        return c == '\r' ? LAST_LF : in_text(b, c, TRAILER, TRAILER_LF, HTTP_MAX_TRAILERS);
    case TRAILER:
        return in_text(b, c, TRAILER, TRAILER_LF, HTTP_MAX_TRAILERS);
    case TRAILER_LF:
        return expect(c, '\n', TRAILER_BEGIN);
    case LAST_LF:
        b->done = c == '\n';
        return expect(c, '\n', LAST_LF);
    default:
        return -EPROTO;
    }
}

static ssize_t take_part(struct http_body *b, const char *data, size_t n,
                         struct http_text *ret_part)
{
    size_t part = (size_t)MIN((uint64_t)n, b->left);
    *ret_part = (struct http_text){data, part};
    b->left -= part;
    return (ssize_t)part;
}

static ssize_t next_chunked(struct http_body *b, const char *data, size_t n,
                            struct http_text *ret_part)
{
    size_t at = 0;
    while (at < n && !b->done && b->state != CHUNK_DATA) {
        int state = step(b, data[at++]);
        if (state < 0)
            return state;
        b->state = state;
    }
    if (at < n && b->state == CHUNK_DATA) {
        at += (size_t)take_part(b, data + at, n - at, ret_part);
        if (b->left == 0)
            b->state = CHUNK_CR;
    }
    return (ssize_t)at;
}

ssize_t http_body_next(struct http_body *b, const char *data, size_t n,
                       struct http_text *ret_part)
{
    ssize_t r = 0;
    *ret_part = (struct http_text){data, 0};
    if (b->done)
        return 0;
    switch (b->framing) {
    case HTTP_EMPTY:
        break;
    case HTTP_LENGTH:
        r = take_part(b, data, n, ret_part);
        b->done = b->left == 0;
        break;
    case HTTP_CHUNKED:
        return next_chunked(b, data, n, ret_part);
    case HTTP_UNTIL_CLOSE:
        *ret_part = (struct http_text){data, n};
        r = (ssize_t)n;
        break;
    }
    return r;
}
