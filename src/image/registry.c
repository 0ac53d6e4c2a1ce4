/* See registry.h. */
#include "image/registry.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/util.h"
#include "image/address.h"
#include "image/json.h"
#include "image/manifest.h"

#define TOKEN_ANSWER_MAX ((uint64_t)1 << 20)

static const char accepted[] =
    MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_INDEX ", " MEDIA_DOCKER_MANIFEST;

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

void registry_init(struct registry *r, const struct registries *settings,
                   const struct reference *reference)
{
    *r = (struct registry){.settings = settings, .reference = reference};
    (void)pthread_mutex_init(&r->lock, NULL);
}

static void forget_endpoint(struct registry *r)
{
    free(r->base);
    free(r->token);
    credentials_done(&r->credentials);
    r->base = r->token = NULL;
    r->authority = NULL;
    r->with_basic = r->plain = r->public_only = false;
}

void registry_done(struct registry *r)
{
    forget_endpoint(r);
    (void)pthread_mutex_destroy(&r->lock);
}

bool registry_wait(unsigned n)
{
    if (n == 0)
        return true;
    if (n >= REGISTRY_TRIES)
        return false;
    struct timespec t = {.tv_sec = (1u << (n - 1)) / 2, .tv_nsec = n == 1 ? 500000000 : 0};
    (void)nanosleep(&t, NULL); /* shorter does no harm */
    return true;
}

/* The value of a parameter of `Bearer realm="…",scope="…"`; heap, NULL when it is not there. */
static char *challenge_value(const char *challenge, const char *name)
{
    const char *p = challenge + strcspn(challenge, " ");
    size_t n = strlen(name);
    while (*p) {
        p += strspn(p, " ,\t");
        bool found = strncasecmp(p, name, n) == 0 && p[n] == '=';
        p += strcspn(p, "=,");
        if (*p != '=')
            continue;
        p++;
        bool quoted = *p == '"';
        p += quoted;
        size_t len = strcspn(p, quoted ? "\"" : ", ");
        if (found)
            return strndup(p, len);
        p += len + (quoted && p[len] == '"');
    }
    return NULL;
}

/* key=value of a query or a form, escaped; nothing without a value. */
static int put_parameter(struct buf *b, const char *key, const char *value)
{
    CLEANUP_FREE char *escaped = value ? http_escape(value) : NULL;
    if (!value)
        return 0;
    return escaped ? buf_printf(b, "%s%s=%s", buf_len(b) ? "&" : "", key, escaped) : -1;
}

static int take_token(struct registry *r, const struct buf *body, struct err *err)
{
    const char *token, *access;
    CLEANUP_JSON json_t *j =
        json_parse((const char *)buf_head(body), buf_len(body), "the answer with a token", err);
    if (!j || json_member_text(j, "token", &token, err) < 0 ||
        json_member_text(j, "access_token", &access, err) < 0)
        return -1;
    token = token && token[0] ? token : access;
    if (!token || strpbrk(token, "\r\n"))
        return err_set(err, ERR_UNAUTHENTICATED, "the answer has no token");
    free(r->token);
    r->token = strdup(token);
    return r->token ? 0 : no_memory(err);
}

static int ask_for_token(struct registry *r, struct http *h, const char *challenge,
                         struct err *err)
{
    CLEANUP_FREE char *realm = challenge_value(challenge, "realm"),
                      *service = challenge_value(challenge, "service"),
                      *scope = challenge_value(challenge, "scope");
    CLEANUP_BUF struct buf words = {0};
    CLEANUP_RESPONSE struct http_response answer = {0};
    const struct credentials *c = &r->credentials;
    if (!realm ||
        !(str_startswith(realm, "https://") || (r->plain && str_startswith(realm, "http://"))))
        return err_set(err, ERR_UNAUTHENTICATED,
                       "it sends us for a token to `%.200s`, which is no https URL",
                       realm ? realm : "");
    if (put_parameter(&words, "service", service) < 0 ||
        put_parameter(&words, "scope", scope) < 0 ||
        (c->identity_token &&
         (put_parameter(&words, "grant_type", "refresh_token") < 0 ||
          put_parameter(&words, "client_id", "cwsandbox") < 0 ||
          put_parameter(&words, "refresh_token", c->identity_token) < 0)) ||
        buf_put(&words, "", 1) < 0)
        return no_memory(err);
    const char *text = (const char *)buf_head(&words);
    CLEANUP_FREE char *url =
        str_dup_printf("%s%s%s", realm, strchr(realm, '?') ? "&" : "?", text);
    if (!url)
        return no_memory(err);
    struct http_request q = {.url = c->identity_token ? realm : url,
                             .authority = r->authority,
                             .form = c->identity_token ? text : NULL,
                             .user = c->identity_token ? NULL : c->user,
                             .password = c->password,
                             .max_bytes = TOKEN_ANSWER_MAX,
                             .plain = r->plain,
                             .public_only = r->public_only};
    if (http_do(h, &q, &answer, err) < 0)
        return err_wrap(err, "ask `%.200s` for a token", realm);
    if (answer.status != 200)
        return err_set(err, ERR_UNAUTHENTICATED, "`%.200s` gives no token: HTTP status %ld%s",
                       realm, answer.status,
                       c->user || c->identity_token
                           ? ""
                           : "; there are no credentials for it in Docker's config file");
    return take_token(r, &answer.body, err);
}

/* Shows what the challenge asks for from now on; -1 when there is nothing to show. */
static int authenticate(struct registry *r, struct http *h, const char *challenge,
                        struct err *err)
{
    if (challenge && strncasecmp(challenge, "Bearer ", 7) == 0)
        return ask_for_token(r, h, challenge, err);
    if (challenge && strncasecmp(challenge, "Basic", 5) == 0 && r->credentials.user &&
        !r->with_basic) {
        r->with_basic = true;
        return 0;
    }
    return err_set(err, ERR_UNAUTHENTICATED, "it wants credentials%s",
                   r->with_basic ? " and refuses those it was given"
                                 : ", and Docker's config file has none for it");
}

static int status_error(long status, const char *what, struct err *err)
{
    switch (status) {
    case 401:
        return err_set(err, ERR_UNAUTHENTICATED, "%s: it refuses the credentials it was given",
                       what);
    case 403:
        return err_set(err, ERR_PERMISSION_DENIED, "%s: it is not allowed", what);
    case 404:
        return err_set(err, ERR_NOT_FOUND, "%s: there is none", what);
    case 429:
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "%s: it asks for fewer requests", what);
    default:
        return err_set(err, ERR_UNAVAILABLE, "%s: HTTP status %ld", what, status);
    }
}

static int try_once(struct registry *r, struct http *h, const struct registry_get *g,
                    struct http_response *ret, struct err *err)
{
    CLEANUP_FREE char *url =
        str_dup_printf("%s/v2/%s/%s/%s", r->base, r->reference->name, g->what, g->version);
    (void)pthread_mutex_lock(&r->lock);
    CLEANUP_FREE char *token = r->token ? strdup(r->token) : NULL;
    bool basic = r->with_basic, short_of_memory = r->token && !token;
    (void)pthread_mutex_unlock(&r->lock);
    if (!url || short_of_memory)
        return no_memory(err);
    struct http_request q = {.url = url,
                             .authority = r->authority,
                             .accept = g->accept,
                             .bearer = token,
                             .user = basic ? r->credentials.user : NULL,
                             .password = r->credentials.password,
                             .offset = g->offset,
                             .max_bytes = g->max_bytes,
                             .plain = r->plain,
                             .public_only = r->public_only,
                             .on_data = g->on_data,
                             .context = g->context};
    return http_do(h, &q, ret, err);
}

int registry_get(struct registry *r, struct http *h, const struct registry_get *g,
                 struct buf *ret_body, enum registry_trouble *ret_trouble, struct err *err)
{
    CLEANUP_RESPONSE struct http_response answer = {0};
    char what[200];
    (void)snprintf(what, sizeof(what), "%s of %.100s", g->what, r->reference->name);
    *ret_trouble = TROUBLE_OTHER;
    for (int asked = 0;; asked++) {
        http_response_done(&answer);
        if (try_once(r, h, g, &answer, err) < 0) {
            *ret_trouble = answer.is_not_tls  ? TROUBLE_NOT_TLS
                           : answer.is_broken ? TROUBLE_BROKEN
                                              : TROUBLE_OTHER;
            return -1;
        }
        if (answer.status != 401 || asked == 1)
            break;
        (void)pthread_mutex_lock(&r->lock);
        int shown = authenticate(r, h, answer.challenge, err);
        (void)pthread_mutex_unlock(&r->lock);
        if (shown < 0)
            return -1;
    }
    if (answer.status != 200 && answer.status != 206) {
        if (answer.status >= 500 || answer.status == 429 || answer.status == 408)
            *ret_trouble = TROUBLE_BROKEN;
        return status_error(answer.status, what, err);
    }
    if (ret_body) {
        buf_done(ret_body);
        *ret_body = answer.body;
        answer.body = (struct buf){0};
    }
    return 0;
}

static int get_manifest(struct registry *r, struct http *h, struct buf *ret,
                        enum registry_trouble *ret_trouble, struct err *err)
{
    CLEANUP_FREE char *version = reference_version(r->reference);
    struct registry_get g = {.what = "manifests",
                             .version = version,
                             .accept = accepted,
                             .max_bytes = MANIFEST_BYTES_MAX};
    if (!version)
        return no_memory(err);
    for (unsigned n = 0; registry_wait(n); n++) {
        err_done(err);
        if (registry_get(r, h, &g, ret, ret_trouble, err) == 0)
            return 0;
        if (*ret_trouble != TROUBLE_BROKEN)
            break;
    }
    return -1;
}

/* One place that may have it: @url is "https://host" or "http://host", with a path or without. */
static int try_endpoint(struct registry *r, const char *url, struct http *h, struct buf *ret,
                        enum registry_trouble *ret_trouble, struct err *err)
{
    const char *after = strstr(url, "://") + 3;
    CLEANUP_FREE char *host = strndup(after, strcspn(after, "/"));
    forget_endpoint(r);
    *ret_trouble = TROUBLE_OTHER;
    r->base = strndup(url, strlen(url) - (url[strlen(url) - 1] == '/'));
    if (!host || !r->base)
        return no_memory(err);
    r->plain = str_startswith(url, "http://") != NULL;
    r->authority = registries_authority(r->settings, host);
    r->public_only = registries_public_only(r->settings, host);
    const char *filed = strcmp(host, "registry-1.docker.io") == 0 ? "docker.io" : host;
    if (registries_credentials(r->settings, filed, &r->credentials, err) < 0)
        return -1;
    return get_manifest(r, h, ret, ret_trouble, err) < 0 ? err_wrap(err, "%s", host) : 0;
}

/* Loopback needs no TLS, as for Docker: whoever listens there is on this machine. */
static int try_itself(struct registry *r, struct http *h, struct buf *ret, struct err *err)
{
    const char *name = r->reference->registry;
    const char *host = strcmp(name, "docker.io") == 0 ? "registry-1.docker.io" : name;
    bool plain = registries_is_plain(r->settings, name);
    enum registry_trouble trouble;
    CLEANUP_FREE char *secure = str_dup_printf("https://%s", host),
                      *open = str_dup_printf("http://%s", host);
    if (!secure || !open)
        return no_memory(err);
    if (try_endpoint(r, plain ? open : secure, h, ret, &trouble, err) == 0)
        return 0;
    if (plain || trouble != TROUBLE_NOT_TLS || !address_names_loopback(host))
        return -1;
    err_done(err);
    return try_endpoint(r, open, h, ret, &trouble, err);
}

int registry_find(struct registry *r, struct http *h, struct buf *ret_manifest, struct err *err)
{
    const struct registry_rows *mirrors = &r->settings->mirrors;
    for (size_t i = 0; i < mirrors->n; i++) {
        CLEANUP_ERR struct err passed_over = {0};
        enum registry_trouble trouble;
        if (strcmp(mirrors->items[i].host, r->reference->registry) == 0 &&
            try_endpoint(r, mirrors->items[i].value, h, ret_manifest, &trouble, &passed_over) ==
                0)
            return 0;
    }
    return try_itself(r, h, ret_manifest, err);
}
