/* The heads; bodies are in http1-body.c. See http1.h. */
#include "wire/http1.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

#define MAX_LENGTH_DIGITS 18 /* fits 63 bits */

/* RFC 9110 5.6.2 */
static bool is_token_char(unsigned char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_token(struct http_text t)
{
    for (size_t i = 0; i < t.n; i++)
        if (!is_token_char((unsigned char)t.data[i]))
            return false;
    return t.n > 0;
}

static bool same(struct http_text a, struct http_text b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

static struct http_text text_of(const char *word)
{
    return (struct http_text){word, strlen(word)};
}

bool http_is(struct http_text text, const char *word)
{
    return same(text, text_of(word));
}

static struct http_text trim(struct http_text t)
{
    while (t.n > 0 && (t.data[0] == ' ' || t.data[0] == '\t')) {
        t.data++;
        t.n--;
    }
    while (t.n > 0 && (t.data[t.n - 1] == ' ' || t.data[t.n - 1] == '\t'))
        t.n--;
    return t;
}

/* What is before @c; @t becomes what is behind it. Without one: all, and nothing is left. */
static struct http_text take_until(struct http_text *t, char c)
{
    const char *at = t->n > 0 ? memchr(t->data, c, t->n) : NULL;
    struct http_text first = {t->data, at != NULL ? (size_t)(at - t->data) : t->n};
    size_t taken = first.n + (at != NULL ? 1 : 0);
    if (taken > 0)
        t->data += taken;
    t->n -= taken;
    return first;
}

bool http_lists(struct http_text text, struct http_text word)
{
    while (text.n > 0)
        if (same(trim(take_until(&text, ',')), word))
            return true;
    return false;
}

const struct http_field *http_find(const struct http_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_fields; i++)
        if (http_is(head->fields[i].name, name))
            return &head->fields[i];
    return NULL;
}

/* ---- lines ---- */

/* The bytes up to and with the empty line; 0: it is not there yet. */
static size_t find_end(const char *data, size_t n)
{
    const char *end = memmem(data, MIN(n, (size_t)HTTP_MAX_HEAD), "\r\n\r\n", 4);
    return end != NULL ? (size_t)(end - data) + 4 : 0;
}

/* A line without its CRLF. False: it ends otherwise. */
static bool take_line(struct http_text *rest, struct http_text *ret)
{
    *ret = take_until(rest, '\n');
    if (ret->n == 0 || ret->data[ret->n - 1] != '\r')
        return false;
    ret->n--;
    return ret->n == 0 || memchr(ret->data, '\r', ret->n) == NULL;
}

/* Visible text, blanks and what is not ASCII (RFC 9110 5.5). */
static bool is_field_value(struct http_text t)
{
    for (size_t i = 0; i < t.n; i++) {
        unsigned char c = (unsigned char)t.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

static bool parse_field(struct http_text line, struct http_field *ret)
{
    if (line.n == 0 || memchr(line.data, ':', line.n) == NULL)
        return false;
    ret->name = take_until(&line, ':');
    ret->value = trim(line);
    return is_token(ret->name) && is_field_value(ret->value);
}

/* 0, or -400, -431. */
static int parse_fields(struct http_text rest, struct http_head *h)
{
    struct http_text line;
    while (take_line(&rest, &line)) {
        if (line.n == 0)
            return rest.n == 0 ? 0 : -400;
        if (h->n_fields == HTTP_MAX_FIELDS)
            return -431;
        if (!parse_field(line, &h->fields[h->n_fields++]))
            return -400;
    }
    return -400;
}

/* "HTTP/1.0" and "HTTP/1.1" as they are written. */
static int parse_version(struct http_text t, struct http_head *h)
{
    if (t.n != 8 || memcmp(t.data, "HTTP/1.", 7) != 0 || (t.data[7] != '0' && t.data[7] != '1'))
        return -505;
    h->minor = (unsigned)(t.data[7] - '0');
    return 0;
}

/* ---- what the fields mean ---- */

static int parse_length(struct http_text t, uint64_t *ret)
{
    if (t.n == 0 || t.n > MAX_LENGTH_DIGITS)
        return -400;
    *ret = 0;
    for (size_t i = 0; i < t.n; i++) {
        if (t.data[i] < '0' || t.data[i] > '9')
            return -400;
        *ret = *ret * 10 + (uint64_t)(t.data[i] - '0');
    }
    return 0;
}

/* How many there are; @ret the first. */
static size_t count(const struct http_head *h, const char *name, const struct http_field **ret)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n_fields; i++) {
        if (!http_is(h->fields[i].name, name))
            continue;
        if (n++ == 0)
            *ret = &h->fields[i];
    }
    return n;
}

/* RFC 9112 6.3, without what it only tolerates. */
static int find_framing(struct http_head *h)
{
    const struct http_field *length = NULL, *coding = NULL;
    size_t n_lengths = count(h, "content-length", &length);
    size_t n_codings = count(h, "transfer-encoding", &coding);
    if (n_lengths + n_codings > 1)
        return -400;
    if (n_codings == 1) {
        if (!http_is(coding->value, "chunked"))
            return -501;
        h->framing = HTTP_CHUNKED;
        return h->minor == 1 ? 0 : -400;
    }
    if (n_lengths == 0)
        return 0;
    h->framing = HTTP_LENGTH;
    return parse_length(length->value, &h->length);
}

static void find_connection(struct http_head *h)
{
    bool keep = false;
    for (size_t i = 0; i < h->n_fields; i++) {
        if (!http_is(h->fields[i].name, "connection"))
            continue;
        struct http_text value = h->fields[i].value;
        h->close = h->close || http_lists(value, text_of("close"));
        keep = keep || http_lists(value, text_of("keep-alive"));
        h->upgrade = h->upgrade || http_lists(value, text_of("upgrade"));
    }
    h->close = h->close || (h->minor == 0 && !keep);
    h->upgrade = h->upgrade && h->minor == 1 && http_find(h, "upgrade") != NULL;
}

/* ---- requests ---- */

static bool is_target(struct http_text method, struct http_text t)
{
    if (t.n == 0)
        return false;
    for (size_t i = 0; i < t.n; i++)
        if (t.data[i] <= ' ' || t.data[i] >= 0x7f || t.data[i] == '#')
            return false;
    return t.data[0] == '/' || (http_is(t, "*") && http_is(method, "OPTIONS"));
}

static int parse_request_line(struct http_text line, struct http_head *h)
{
    h->method = take_until(&line, ' ');
    h->target = take_until(&line, ' ');
    if (h->method.n > HTTP_MAX_METHOD || !is_token(h->method))
        return -400;
    if (http_is(h->method, "CONNECT"))
        return -501;
    return is_target(h->method, h->target) ? parse_version(line, h) : -400;
}

static int find_host(struct http_head *h)
{
    const struct http_field *host = NULL;
    if (count(h, "host", &host) != 1)
        return -400;
    h->host = host->value;
    return 0;
}

/* 1: the head has @ret_size bytes; 0: more are needed; -431. */
static int find_head(const char *data, size_t n, size_t *ret_size)
{
    *ret_size = n > 0 ? find_end(data, n) : 0;
    if (*ret_size > 0)
        return 1;
    return n >= HTTP_MAX_HEAD ? -431 : 0;
}

ssize_t http_parse_request(const char *data, size_t n, struct http_head *ret)
{
    size_t size;
    struct http_text line;
    int r = find_head(data, n, &size);
    if (r <= 0)
        return r;
    *ret = (struct http_head){.framing = HTTP_EMPTY};
    struct http_text rest = {data, size};
    if (!take_line(&rest, &line))
        return -400;
    if ((r = parse_request_line(line, ret)) < 0 || (r = parse_fields(rest, ret)) < 0 ||
        (r = find_host(ret)) < 0 || (r = find_framing(ret)) < 0)
        return r;
    find_connection(ret);
    return (ssize_t)size;
}

/* ---- answers ---- */

static int parse_status_line(struct http_text line, struct http_head *h)
{
    uint64_t status;
    struct http_text version = take_until(&line, ' ');
    struct http_text digits = take_until(&line, ' '); /* the reason may be missing with it */
    if (parse_version(version, h) < 0 || digits.n != 3 || parse_length(digits, &status) < 0 ||
        status < 100 || status > 599)
        return -EPROTO;
    h->status = (unsigned)status;
    h->reason = line;
    return is_field_value(line) ? 0 : -EPROTO;
}

ssize_t http_parse_answer(const char *data, size_t n, struct http_text method,
                          struct http_head *ret)
{
    size_t size;
    struct http_text line;
    int r = find_head(data, n, &size);
    if (r <= 0)
        return r < 0 ? -EPROTO : 0;
    *ret = (struct http_head){.framing = HTTP_EMPTY};
    struct http_text rest = {data, size};
    if (!take_line(&rest, &line) || parse_status_line(line, ret) < 0 ||
        parse_fields(rest, ret) < 0 || find_framing(ret) < 0)
        return -EPROTO;
    find_connection(ret);
    bool bodyless = ret->status < 200 || ret->status == 204 || ret->status == 304 ||
                    http_is(method, "HEAD");
    if (bodyless)
        ret->framing = HTTP_EMPTY;
    else if (ret->framing == HTTP_EMPTY)
        ret->framing = HTTP_UNTIL_CLOSE;
    return (ssize_t)size;
}
