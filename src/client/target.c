#include "client/target.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "client/embedded.h"

static const char *env_or_null(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* Contract/sdk.md 1.5 and design.md "Where calls go". */
static char *pick_url(const char *base_url, bool *ret_embedded, struct err *err)
{
    const char *url = base_url && *base_url ? base_url : env_or_null("CWSANDBOX_BASE_URL");
    if (!url && env_or_null("CWSANDBOX_API_KEY"))
        url = TARGET_HOSTED_URL;
    *ret_embedded = !url;
    CLEANUP_FREE char *path = NULL;
    if (!url && embedded_socket_path(&path, err) < 0)
        return NULL;
    char *text = url ? strdup(url) : str_dup_printf("unix://%s", path);
    if (!text) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    size_t n = strlen(text);
    while (url && n > 0 && text[n - 1] == '/' && !str_startswith(text, "unix:"))
        text[--n] = '\0';
    return text;
}

/* What HTTP/2 forbids (RFC 9113 8.2.2) and what gRPC sends itself (PROTOCOL-HTTP2.md, "Requests"). */
static bool is_protocol_header(const char *name)
{
    static const char *const names[] = {"te",         "content-type",     "connection",
                                        "keep-alive", "proxy-connection", "transfer-encoding",
                                        "upgrade"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return strncasecmp(name, "grpc-", strlen("grpc-")) == 0;
}

static int check_value(const char *what, const char *value, cws_error **error)
{
    size_t n = strlen(value);
    if (n && (strchr(" \t", value[0]) || strchr(" \t", value[n - 1])))
        return error_set(error, CWS_E_INVALID, "%s starts or ends with a blank", what);
    for (const char *p = value; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            return error_set(error, CWS_E_INVALID,
                             "%s holds a character that is not printable ASCII", what);
    return 0;
}

/* RFC 9113 8.2.1: names are lower-case tokens; values hold no control characters. */
static int check_header(const char *name, const char *value, cws_error **error)
{
    bool bad = !name || !*name || !value || name[0] == ':';
    for (const char *p = name; !bad && *p; p++)
        bad = !(isalnum((unsigned char)*p) || strchr("!#$%&'*+-.^_`|~", *p));
    if (bad)
        return error_set(error, CWS_E_INVALID, "`%s` is not a header name", name ? name : "");
    if (is_protocol_header(name))
        return error_set(error, CWS_E_INVALID, "header `%s` belongs to the protocol", name);
    CLEANUP_FREE char *what = str_dup_printf("the value of header `%s`", name);
    return what ? check_value(what, value, error) : error_give(error, &error_nomem);
}

static int add_header(struct cws_target *t, const char *name, const char *value,
                      cws_error **error)
{
    if (check_header(name, value, error) < 0)
        return -1;
    char *n = strdup(name);
    char *v = strdup(value);
    if (!n || !v) {
        free(n);
        free(v);
        return error_give(error, &error_nomem);
    }
    for (char *p = n; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    t->headers[t->n_headers++] = (struct grpc_header){n, v};
    return 0;
}

static int fill_headers(struct cws_target *t, const cws_header *headers, size_t n,
                        cws_error **error)
{
    if (n > TARGET_MAX_HEADERS)
        return error_set(error, CWS_E_INVALID, "more than %u headers", TARGET_MAX_HEADERS);
    t->headers = calloc((headers ? n : 1) + 1, sizeof(*t->headers));
    if (!t->headers)
        return error_give(error, &error_nomem);
    for (size_t i = 0; headers && i < n; i++)
        if (add_header(t, headers[i].name, headers[i].value, error) < 0)
            return -1;
    const char *key = headers ? NULL : env_or_null("CWSANDBOX_API_KEY");
    if (!key)
        return 0;
    if (check_value("CWSANDBOX_API_KEY", key, error) < 0)
        return -1;
    CLEANUP_FREE char *bearer = str_dup_printf("Bearer %s", key);
    if (!bearer)
        return error_give(error, &error_nomem);
    return add_header(t, "authorization", bearer, error);
}

static int fill_url(struct cws_target *t, const char *base_url, cws_error **error)
{
    CLEANUP_ERR struct err err = {0};
    t->url = pick_url(base_url, &t->embedded, &err);
    if (t->url && address_parse(t->url, &t->address, &err) == 0)
        return 0;
    if (!base_url && env_or_null("CWSANDBOX_BASE_URL"))
        (void)err_wrap(&err, "CWSANDBOX_BASE_URL");
    return error_give(error, error_from_local(&err));
}

cws_target *cws_target_new(const char *base_url, const cws_header *headers, size_t n_headers,
                           cws_error **error)
{
    struct cws_target *t = calloc(1, sizeof(*t));
    if (!t) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    t->refs = 1;
    if (fill_url(t, base_url, error) < 0 || fill_headers(t, headers, n_headers, error) < 0) {
        cws_target_unref(t);
        return NULL;
    }
    return t;
}

cws_target *cws_target_ref(cws_target *t)
{
    atomic_fetch_add(&t->refs, 1);
    return t;
}

void cws_target_unref(cws_target *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
        return;
    for (size_t i = 0; i < t->n_headers; i++) {
        free((char *)t->headers[i].name);
        free((char *)t->headers[i].value);
    }
    free(t->headers);
    address_done(&t->address);
    free(t->url);
    free(t);
}

const char *cws_target_url(const cws_target *t)
{
    return t->url;
}

struct cws_target *target_or_default(struct cws_target *target, cws_error **error)
{
    return target ? cws_target_ref(target) : cws_target_new(NULL, NULL, 0, error);
}
