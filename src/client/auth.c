/*
 * Targets whose credentials are asked for by name: the API key of the environment, or the W&B
 * login of this machine (WANDB_API_KEY, else the netrc file), sent as W&B's own headers and never as a
 * bearer token.
 *
 * The published client asks the Python package `wandb` for that login and says that package's version in
 * `x-wandb-sdk-version`; here is no such package, so the header is not sent.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "client/target.h"

#define WANDB_URL "https://api.wandb.ai"
#define WANDB_KEY_MIN 40u /* W&B: 40 hex digits, or more with a prefix and in newer versions */
#define NETRC_MAX_BYTES 65536u /* chosen: a line or two a host */

static const char *env_or(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

/* "host:port" of "https://user@host:port/path". */
static char *host_and_port(const char *url)
{
    const char *scheme = strstr(url, "://");
    const char *host = scheme ? scheme + 3 : url;
    size_t n = strcspn(host, "/?#");
    const char *at = memchr(host, '@', n);
    return at ? strndup(at + 1, n - (size_t)(at + 1 - host)) : strndup(host, n);
}

/* ---- netrc(5) ---- */

/* The password of @host in the words of @text, which is taken apart; NULL = none. Borrowed. */
static const char *netrc_find(char *text, const char *host)
{
    static const char blanks[] = " \t\r\n";
    bool mine = false;
    char *rest;
    for (char *word = strtok_r(text, blanks, &rest); word;
         word = strtok_r(NULL, blanks, &rest)) {
        if (strcmp(word, "default") == 0) {
            mine = true;
            continue;
        }
        char *value = strtok_r(NULL, blanks, &rest);
        if (!value || strcmp(word, "macdef") == 0)
            return NULL; /* macros are for ftp(1) and stand last */
        if (strcmp(word, "machine") == 0)
            mine = strcmp(value, host) == 0;
        else if (mine && strcmp(word, "password") == 0)
            return value;
    }
    return NULL;
}

static char *netrc_password(const char *host)
{
    CLEANUP_FREE char *path = getenv("NETRC") ? strdup(getenv("NETRC"))
                                              : str_dup_printf("%s/.netrc", env_or("HOME", ""));
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file)
        return NULL;
    CLEANUP_FREE char *text = calloc(1, NETRC_MAX_BYTES + 1);
    if (text)
        (void)fread(text, 1, NETRC_MAX_BYTES, file); /* what cannot be read has no password */
    (void)fclose(file);
    const char *password = text ? netrc_find(text, host) : NULL;
    return password ? strdup(password) : NULL;
}

/* ---- W&B ---- */

/* An access token of an identity provider has dots. */
static bool is_api_key(const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)key[i]) && key[i] != '-' && key[i] != '_')
            return false;
    return n >= WANDB_KEY_MIN;
}

static char *wandb_key(const char *address, cws_error **error)
{
    CLEANUP_FREE char *host = strndup(address, strcspn(address, ":"));
    CLEANUP_FREE char *key = NULL;
    if (host)
        key = getenv("WANDB_API_KEY") && *getenv("WANDB_API_KEY")
                  ? strdup(getenv("WANDB_API_KEY"))
                  : netrc_password(host);
    if (key && is_api_key(key))
        return TAKE_PTR(key);
    (void)error_set(error, CWS_E_AUTHENTICATION,
                    key ? "W&B's credentials are not an API key"
                        : "W&B is not logged in: run `wandb login` or set WANDB_API_KEY");
    return NULL;
}

static cws_target *wandb_target(const char *base_url, cws_error **error)
{
    CLEANUP_FREE char *address = host_and_port(env_or("WANDB_BASE_URL", WANDB_URL));
    if (!address) {
        (void)error_give(error, &error_nomem);
        return NULL;
    }
    CLEANUP_FREE char *key = wandb_key(address, error);
    if (!key)
        return NULL;
    cws_header headers[4] = {{"x-wandb-api-key", key}};
    size_t n = 1;
    if (strcmp(address, WANDB_URL + strlen("https://")) != 0)
        headers[n++] = (cws_header){"x-wandb-host", address};
    if (*env_or("WANDB_ENTITY", ""))
        headers[n++] = (cws_header){"x-entity-id", getenv("WANDB_ENTITY")};
    if (*env_or("WANDB_PROJECT", ""))
        headers[n++] = (cws_header){"x-project-name", getenv("WANDB_PROJECT")};
    /* Credentials without a URL are for the hosted service, as an API key is. */
    const char *url =
        base_url && *base_url ? base_url : env_or("CWSANDBOX_BASE_URL", TARGET_HOSTED_URL);
    return cws_target_new(url, headers, n, error);
}

cws_target *cws_target_new_auth(const char *base_url, cws_auth auth, cws_error **error)
{
    switch (auth) {
    case CWS_AUTH_DEFAULT:
        return cws_target_new(base_url, NULL, 0, error);
    case CWS_AUTH_COREWEAVE_API_KEY:
        if (*env_or("CWSANDBOX_API_KEY", ""))
            return cws_target_new(base_url, NULL, 0, error);
        (void)error_set(error, CWS_E_AUTHENTICATION, "CWSANDBOX_API_KEY is not set");
        return NULL;
    case CWS_AUTH_WANDB:
        return wandb_target(base_url, error);
    }
    (void)error_set(error, CWS_E_INVALID, "there is no way to authenticate with number %d",
                    (int)auth);
    return NULL;
}
