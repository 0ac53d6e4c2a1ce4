/* See http.h. */
#include "image/http.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "image/address.h"

#define CONNECT_SECONDS 30L
#define STALL_SECONDS 60L /* without a byte */
#define REDIRECTS_MAX 5L

struct http {
    CURL *curl; /* keeps its connections */
    char why[CURL_ERROR_SIZE];
};

struct transfer {
    struct http *http;
    const struct http_request *request;
    struct http_response *response;
    struct err *err;
    uint64_t n_bytes;
    bool restarted, failed;
    bool refused; /* an address */
};

struct http *http_new(struct err *err)
{
    struct http *h = calloc(1, sizeof(*h));
    if (h && (h->curl = curl_easy_init()) != NULL)
        return h;
    free(h);
    (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    return NULL;
}

void http_free(struct http *h)
{
    if (h)
        curl_easy_cleanup(h->curl);
    free(h);
}

void http_response_done(struct http_response *r)
{
    buf_done(&r->body);
    free(r->challenge);
    *r = (struct http_response){0};
}

char *http_escape(const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, (int)strlen(text));
    char *copy = escaped ? strdup(escaped) : NULL;
    curl_free(escaped);
    return copy;
}

/* Of several answers, one behind each redirect, the last one's count. */
static size_t on_header(char *line, size_t size, size_t n_line, void *context)
{
    struct transfer *t = context;
    static const char name[] = "www-authenticate:";
    size_t n = n_line;
    (void)size;
    if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        free(t->response->challenge);
        t->response->challenge = NULL;
    }
    if (n <= strlen(name) || n > HTTP_HEADER_MAX ||
        strncasecmp(line, name, strlen(name)) != 0 || t->response->challenge)
        return n_line;
    size_t from = strlen(name);
    while (from < n && line[from] == ' ')
        from++;
    while (n > from && strchr("\r\n ", line[n - 1]))
        n--;
    t->response->challenge = strndup(line + from, n - from);
    return n_line;
}

static size_t fail(struct transfer *t)
{
    t->failed = true;
    return 0; /* libcurl takes it for an error of writing */
}

static size_t on_body(char *data, size_t size, size_t n, void *context)
{
    struct transfer *t = context;
    const struct http_request *q = t->request;
    long status = 0;
    (void)size;
    (void)curl_easy_getinfo(t->http->curl, CURLINFO_RESPONSE_CODE, &status);
    t->n_bytes += n;
    bool wanted = status == 200 || status == 206;
    uint64_t max =
        wanted ? q->max_bytes - (status == 206 ? MIN(q->offset, q->max_bytes) : 0) : 65536;
    if (t->n_bytes > max) {
        if (!wanted) /* of a long page of error the beginning will do */
            return n;
        (void)err_set(t->err, ERR_DATA_LOSS, "the answer is longer than %llu bytes",
                      (unsigned long long)q->max_bytes);
        return fail(t);
    }
    if (!wanted || !q->on_data)
        return buf_put(&t->response->body, data, n) < 0 ? fail(t) : n;
    bool restarted = status == 200 && q->offset > 0 && !t->restarted;
    t->restarted = t->restarted || restarted;
    return q->on_data(q->context, data, n, restarted, t->err) < 0 ? fail(t) : n;
}

/* At the last moment, by the address itself: what a name was resolved to before could be another one by now. */
static curl_socket_t on_socket(void *context, curlsocktype purpose,
                               struct curl_sockaddr *address)
{
    struct transfer *t = context;
    (void)purpose;
    if (t->request->public_only && !address_is_public(&address->addr)) {
        t->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static struct curl_slist *set_options(struct transfer *t)
{
    const struct http_request *q = t->request;
    CURL *c = t->http->curl;
    const char *protocols = q->plain ? "http,https" : "https";
    char accept[600];
    struct curl_slist *headers = NULL;
    curl_easy_reset(c); /* but for its connections */
    (void)curl_easy_setopt(c, CURLOPT_URL, q->url);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->http->why);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "cwsandbox/" CWS_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols);
    (void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, protocols);
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, on_socket);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, t);
    if (q->offset > 0) { /* not RESUME_FROM, which takes a server without ranges for an error */
        char range[32];
        (void)snprintf(range, sizeof(range), "%llu-", (unsigned long long)q->offset);
        (void)curl_easy_setopt(c, CURLOPT_RANGE, range);
    }
    if (q->authority) {
        struct curl_blob blob = {(void *)q->authority, strlen(q->authority), CURL_BLOB_COPY};
        (void)curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (q->bearer) { /* given to the host of the URL alone, as a password is: not to where it redirects */
        (void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        (void)curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, q->bearer);
    } else if (q->user) {
        (void)curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        (void)curl_easy_setopt(c, CURLOPT_USERNAME, q->user);
        (void)curl_easy_setopt(c, CURLOPT_PASSWORD, q->password);
    }
    if (q->form)
        (void)curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, q->form);
    if (q->accept) {
        (void)snprintf(accept, sizeof(accept), "Accept: %s", q->accept);
        headers = curl_slist_append(NULL, accept);
        (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    }
    return headers;
}

int http_do(struct http *h, const struct http_request *q, struct http_response *ret,
            struct err *err)
{
    CLEANUP_RESPONSE struct http_response response = {0};
    struct transfer t = {.http = h, .request = q, .response = &response, .err = err};
    struct curl_slist *headers = set_options(&t);
    h->why[0] = '\0';
    CURLcode code = curl_easy_perform(h->curl);
    curl_slist_free_all(headers);
    (void)curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &response.status);
    if (t.failed)
        return err && err->code ? -1 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    ret->is_broken = code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR ||
                     code == CURLE_GOT_NOTHING || code == CURLE_OPERATION_TIMEDOUT ||
                     code == CURLE_SEND_ERROR || code == CURLE_HTTP2_STREAM ||
                     code == CURLE_HTTP2;
    ret->is_not_tls = code == CURLE_SSL_CONNECT_ERROR;
    if (code != CURLE_OK && t.refused)
        return err_set(err, ERR_PERMISSION_DENIED,
                       "it is at an address that is not public, where this service may not ask "
                       "(--image-private-registries, registries.conf)");
    if (code != CURLE_OK)
        return err_set(err, ERR_UNAVAILABLE, "%s",
                       h->why[0] ? h->why : curl_easy_strerror(code));
    *ret = response;
    response = (struct http_response){0};
    return 0;
}
