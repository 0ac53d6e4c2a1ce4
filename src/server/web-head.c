/* See web-head.h. */
#include "server/web-head.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "server/sites.h"

/* Gateways of programs (CGI, WSGI) make one name of "X-A" and "X_A": whoever may not say one may not say the other. */
static bool is_called(struct http_text name, const char *word)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.data[i];
        c = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (word[i] == '\0' || c != word[i])
            return false;
    }
    return word[name.n] == '\0';
}

static bool is_one_of(struct http_text name, const char *const *words)
{
    for (; *words != NULL; words++)
        if (is_called(name, *words))
            return true;
    return false;
}

/* Between two neighbours only; those for framing are written anew. */
static const char *const hop_by_hop[] = {"connection",
                                         "keep-alive",
                                         "proxy-authenticate",
                                         "proxy-authorization",
                                         "proxy-connection",
                                         "te",
                                         "trailer",
                                         "upgrade",
                                         "content-length",
                                         "transfer-encoding",
                                         NULL};
/* What a visitor cannot know, or the app need not. */
static const char *const fronts_own[] = {
    "forwarded",        "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
    "x-forwarded-port", "x-real-ip",       SITE_TOKEN_HEADER,  NULL};

/* Fields that a Connection field names are the neighbour's, too. */
static bool is_named(const struct http_head *head, struct http_text name)
{
    for (size_t i = 0; i < head->n_fields; i++)
        if (http_is(head->fields[i].name, "connection") &&
            http_lists(head->fields[i].value, name))
            return true;
    return false;
}

static bool passes(const struct http_head *head, const struct http_field *field)
{
    return !is_one_of(field->name, hop_by_hop) && !is_named(head, field->name);
}

static int put_text(struct buf *out, struct http_text t)
{
    return buf_put(out, t.data, t.n);
}

static int put_field(struct buf *out, const struct http_field *f)
{
    if (put_text(out, f->name) < 0 || buf_put_str(out, ": ") < 0 || put_text(out, f->value) < 0)
        return -1;
    return buf_put_str(out, "\r\n");
}

static int put_framing(struct buf *out, enum http_framing framing, uint64_t length)
{
    if (framing == HTTP_LENGTH)
        return buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
    if (framing == HTTP_CHUNKED)
        return buf_put_str(out, "Transfer-Encoding: chunked\r\n");
    return 0;
}

static int put_upgrade(struct buf *out, const struct http_head *head)
{
    const struct http_field *f = head->upgrade ? http_find(head, "upgrade") : NULL;
    if (f == NULL)
        return 0;
    return buf_put_str(out, "Connection: Upgrade\r\n") < 0 ? -1 : put_field(out, f);
}

/* ---- to the app ---- */

/* The target without the share token, which would be in the app's logs. */
static int put_target(struct buf *out, struct http_text target)
{
    static const char name[] = SITE_TOKEN_PARAMETER "=";
    const char *query = memchr(target.data, '?', target.n);
    if (query == NULL ||
        memmem(query, target.n - (size_t)(query - target.data), name, sizeof(name) - 1) == NULL)
        return put_text(out, target);
    const char *at = query, *end = target.data + target.n;
    char mark = '?';
    if (buf_put(out, target.data, (size_t)(query - target.data)) < 0)
        return -1;
    while (at < end) {
        const char *word = at + 1, *next = memchr(word, '&', (size_t)(end - word));
        size_t n = (size_t)((next != NULL ? next : end) - word);
        at = word + n;
        if (n >= sizeof(name) - 1 && memcmp(word, name, sizeof(name) - 1) == 0)
            continue;
        if (buf_put(out, &mark, 1) < 0 || buf_put(out, word, n) < 0)
            return -1;
        mark = '&';
    }
    return 0;
}

static int put_forwarded(struct buf *out, const struct head_to_app *to)
{
    return buf_printf(out,
                      "X-Forwarded-For: %s\r\nX-Forwarded-Proto: %s\r\n"
                      "X-Forwarded-Host: %.*s\r\n",
                      to->peer, to->tls ? "https" : "http", (int)to->head->host.n,
                      to->head->host.data);
}

static int put_request(struct buf *out, const struct head_to_app *to)
{
    const struct http_head *h = to->head;
    if (put_text(out, h->method) < 0 || buf_put_str(out, " ") < 0 ||
        put_target(out, h->target) < 0 || buf_put_str(out, " HTTP/1.1\r\n") < 0)
        return -1;
    for (size_t i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];
        if (!passes(h, f) || is_one_of(f->name, fronts_own) ||
            (to->authorized && is_called(f->name, "authorization")))
            continue;
        if (put_field(out, f) < 0)
            return -1;
    }
    if (put_forwarded(out, to) < 0 || put_framing(out, h->framing, h->length) < 0 ||
        put_upgrade(out, h) < 0)
        return -1;
    return buf_put_str(out, "\r\n");
}

int web_put_request(struct buf *out, const struct head_to_app *to)
{
    return put_request(out, to) < 0 ? -ENOMEM : 0;
}

/* ---- to the visitor ---- */

static struct http_text next_attribute(struct http_text *rest)
{
    const char *at = rest->n > 0 ? memchr(rest->data, ';', rest->n) : NULL;
    struct http_text word = {rest->data, at != NULL ? (size_t)(at - rest->data) : rest->n};
    size_t taken = word.n + (at != NULL ? 1 : 0);
    rest->data += taken;
    rest->n -= taken;
    while (word.n > 0 && (word.data[0] == ' ' || word.data[0] == '\t')) {
        word.data++;
        word.n--;
    }
    return word;
}

/* A cookie for the domain above would be sent to every other sandbox, and be taken for one of its own. */
static bool is_for_others(struct http_text cookie, struct http_text host)
{
    const char *colon = host.n > 0 ? memchr(host.data, ':', host.n) : NULL;
    if (colon != NULL)
        host.n = (size_t)(colon - host.data);
    (void)next_attribute(&cookie);
    while (cookie.n > 0) {
        struct http_text word = next_attribute(&cookie);
        if (word.n < 6 || !http_is((struct http_text){word.data, 6}, "domain"))
            continue;
        char own[256];
        (void)snprintf(own, sizeof(own), "domain=%.*s", (int)MIN(host.n, (size_t)240),
                       host.data);
        if (!http_is(word, own))
            return true;
    }
    return false;
}

static int put_answer(struct buf *out, const struct head_to_visitor *to)
{
    const struct http_head *h = to->head;
    const struct http_field *length = http_find(h, "content-length");
    if (buf_printf(out, "HTTP/1.1 %u %.*s\r\n", h->status, (int)h->reason.n,
                   h->reason.n > 0 ? h->reason.data : "") < 0)
        return -1;
    for (size_t i = 0; i < h->n_fields; i++) {
        const struct http_field *f = &h->fields[i];
        if (!passes(h, f) ||
            (http_is(f->name, "set-cookie") && is_for_others(f->value, to->host)))
            continue;
        if (put_field(out, f) < 0)
            return -1;
    }
    /* To HEAD, and of what has not changed, it says how long the body would be. */
    if (to->framing == HTTP_EMPTY && length != NULL && h->status >= 200 && h->status != 204 &&
        put_field(out, length) < 0)
        return -1;
    if (put_framing(out, to->framing, h->length) < 0 ||
        (h->status == 101 && put_upgrade(out, h) < 0) ||
        (to->close && buf_put_str(out, "Connection: close\r\n") < 0))
        return -1;
    return buf_put_str(out, "\r\n");
}

int web_put_answer(struct buf *out, const struct head_to_visitor *to)
{
    return put_answer(out, to) < 0 ? -ENOMEM : 0;
}

static const char *reason_of(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } all[] = {{400, "Bad Request"},
               {401, "Unauthorized"},
               {404, "Not Found"},
               {408, "Request Timeout"},
               {431, "Request Header Fields Too Large"},
               {501, "Not Implemented"},
               {502, "Bad Gateway"},
               {503, "Service Unavailable"},
               {504, "Gateway Timeout"},
               {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        if (all[i].status == status)
            return all[i].reason;
    return "Error";
}

int web_put_error(struct buf *out, unsigned status, const char *text, bool with_body)
{
    const char *challenge = status == 401 ? "WWW-Authenticate: Bearer\r\n" : "";
    if (buf_printf(
            out,
            "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: %zu\r\nCache-Control: no-store\r\n%sConnection: close\r\n\r\n",
            status, reason_of(status), strlen(text) + 1, challenge) < 0)
        return -ENOMEM;
    return with_body && buf_printf(out, "%s\n", text) < 0 ? -ENOMEM : 0;
}
