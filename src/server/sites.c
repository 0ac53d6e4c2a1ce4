/* Which host names what, and who may visit it. See sites.h. */
#include "server/sites.h"

#include <errno.h>
#include <string.h>

#include "base/util.h"

/* Browsers and curl take every name below localhost for this machine (RFC 6761 6.3), and certificates for *.localhost for
 * none: a wildcard stands below two labels at least. */
#define LOCAL_NAME "localhost"
#define LOCAL_TLS_NAME "sandbox.localhost"

int sites_open(struct sites *all, const char *domain, unsigned port, bool tls)
{
    bool usual = port == (tls ? 443 : 80);
    if (domain == NULL)
        domain = tls ? LOCAL_TLS_NAME : LOCAL_NAME;
    if (usual || strchr(domain, ':') != NULL)
        all->authority = strdup(domain);
    else
        all->authority = str_dup_printf("%s:%u", domain, port);
    if (all->authority == NULL)
        return -ENOMEM;
    all->n_domain = strcspn(all->authority, ":");
    all->tls = tls;
    return 0;
}

void sites_done(struct sites *all)
{
    strmap_done(&all->by_label);
    free(all->authority);
    all->authority = NULL;
}

int site_publish(struct sites *all, const char *sandbox_id, struct site *site)
{
    int n = snprintf(site->label, sizeof(site->label), "%u-%s", site->port, sandbox_id);
    if (n < 0 || (size_t)n >= sizeof(site->label))
        return -ENAMETOOLONG; /* ids are short: cell_make_id() */
    const char *scheme = site->access == SITE_TLS ? "" : all->tls ? "https://" : "http://";
    bool add_port = site->access == SITE_TLS && all->authority[all->n_domain] == '\0';
    site->url = str_dup_printf("%s%s.%s%s", scheme, site->label, all->authority,
                               add_port ? ":443" : "");
    int r = site->url != NULL ? strmap_put(&all->by_label, site->label, site) : -ENOMEM;
    if (r == 0)
        return 0;
    free(site->url);
    site->url = NULL;
    site->label[0] = '\0';
    return r;
}

void site_withdraw(struct sites *all, struct site *site)
{
    if (site->label[0] == '\0')
        return;
    (void)strmap_remove(&all->by_label, site->label);
    site->label[0] = '\0';
    free(site->url);
    site->url = NULL;
}

/* The port says only by which way somebody came; another one may lead here too. */
static size_t without_port(struct http_text host)
{
    const char *colon = host.n > 0 ? memchr(host.data, ':', host.n) : NULL;
    return colon != NULL ? (size_t)(colon - host.data) : host.n;
}

/* Names of hosts have no case (RFC 4343). */
struct site *sites_find(const struct sites *all, struct http_text host)
{
    size_t n = without_port(host);
    if (n <= all->n_domain + 1)
        return NULL;
    size_t n_label = n - all->n_domain - 1;
    char label[SITE_LABEL_MAX];
    if (n_label >= sizeof(label) || host.data[n_label] != '.')
        return NULL;
    struct http_text rest = {host.data + n_label + 1, all->n_domain};
    for (size_t i = 0; i < rest.n; i++)
        if (ascii_lower(rest.data[i]) != ascii_lower(all->authority[i]))
            return NULL;
    for (size_t i = 0; i < n_label; i++)
        label[i] = ascii_lower(host.data[i]);
    label[n_label] = '\0';
    return memchr(label, '\0', n_label) == NULL ? strmap_get(&all->by_label, label) : NULL;
}

/* ---- who may ---- */

/* In time that does not depend on what was presented. */
static bool is_token(struct http_text text, const char *token)
{
    size_t n = strlen(token);
    unsigned differs = text.n != n;
    for (size_t i = 0; i < text.n && i < n; i++)
        differs |= (unsigned)(text.data[i] ^ token[i]);
    return differs == 0 && n > 0;
}

static bool has_token(const struct site *site, const struct http_head *head)
{
    const struct http_field *field = http_find(head, SITE_TOKEN_HEADER);
    if (field != NULL)
        return is_token(field->value, site->token);
    const size_t n_name = strlen(SITE_TOKEN_PARAMETER "=");
    const char *end = head->target.data + head->target.n;
    const char *at = memchr(head->target.data, '?', head->target.n);
    while (at != NULL && at < end) {
        struct http_text word = {at + 1, (size_t)(end - at) - 1};
        at = word.n > 0 ? memchr(word.data, '&', word.n) : NULL;
        if (at != NULL)
            word.n = (size_t)(at - word.data);
        if (word.n >= n_name && memcmp(word.data, SITE_TOKEN_PARAMETER "=", n_name) == 0)
            return is_token((struct http_text){word.data + n_name, word.n - n_name},
                            site->token);
    }
    return false;
}

static bool has_key(const struct site *site, const struct keys *keys,
                    const struct http_head *head)
{
    static const char scheme[] = "bearer ";
    const size_t n_scheme = sizeof(scheme) - 1;
    const struct http_field *field = http_find(head, "authorization");
    char key[KEYS_MAX_LENGTH + 1];
    if (field == NULL || keys == NULL || field->value.n <= n_scheme ||
        field->value.n - n_scheme >= sizeof(key) ||
        !http_is((struct http_text){field->value.data, n_scheme}, scheme))
        return false;
    size_t n = field->value.n - n_scheme;
    memcpy(key, field->value.data + n_scheme, n);
    key[n] = '\0';
    const char *name = keys_find(keys, key);
    explicit_bzero(key, sizeof(key));
    return name != NULL && strcmp(name, site->owner) == 0;
}

bool site_admits(const struct site *site, const struct keys *keys, const struct http_head *head)
{
    switch (site->access) {
    case SITE_OPEN:
        return true;
    case SITE_TOKEN:
        return has_token(site, head);
    case SITE_KEY:
        return has_key(site, keys, head);
    case SITE_TLS:
        return false;
    }
    return false;
}
