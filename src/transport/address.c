/*
 * Where a service is: unix:///path, unix:path, http://host[:port], https://host[:port].
 *
 * The http forms are those of the published client: scheme http or https only, no path but "/", a host
 * is required, port 80 or 443 by default, trailing slashes ignored. Stricter than the
 * reference: user names, queries and fragments are refused instead of dropped, because a base
 * URL that carries one is a mistake that should be seen.
 *
 * A pure function of its text; no name is looked up here.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/util.h"
#include "transport/transport.h"

#define PORT_HTTP 80
#define PORT_HTTPS 443
#define HOST_MAX_BYTES 255 /* RFC 1035 2.3.4, the textual form */

void address_done(struct address *a)
{
    if (!a)
        return;
    free(a->path);
    free(a->host);
    free(a->authority);
    *a = (struct address){0};
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "parse address: out of memory");
}

/* @rest is what follows "unix:": "///path", "/path" or "relative". */
static int parse_unix(const char *rest, struct address *a, struct err *err)
{
    const char *path = str_startswith(rest, "//");
    if (path && *path != '/')
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Unix socket address must be unix:///absolute/path or unix:path");
    if (!path)
        path = rest;
    if (!*path)
        return err_set(err, ERR_INVALID_ARGUMENT, "Unix socket address must have a path");
    /* libuv 1.44 cuts a longer path short and would connect somewhere else */
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "Unix socket path must be at most %zu bytes: `%s`",
                       sizeof(((struct sockaddr_un *)0)->sun_path) - 1, path);
    a->kind = ADDRESS_UNIX;
    a->path = strdup(path);
    a->authority = strdup("localhost");
    return a->path && a->authority ? 0 : no_memory(err);
}

/* @text is what follows the host: "" or ":" or ":<digits>". A bare colon means the default, as
 * in RFC 3986 3.2.3. */
static int parse_port(const char *text, size_t n, struct address *a, struct err *err)
{
    a->port = a->tls ? PORT_HTTPS : PORT_HTTP;
    if (n <= 1)
        return n == 0 || *text == ':'
                   ? 0
                   : err_set(err, ERR_INVALID_ARGUMENT, "URL host is malformed");
    char digits[8]; /* more than any port; longer input is refused */
    uint64_t port = 0;
    if (*text != ':' || n - 1 >= sizeof(digits))
        return err_set(err, ERR_INVALID_ARGUMENT, "URL port must be between 1 and 65535");
    memcpy(digits, text + 1, n - 1);
    digits[n - 1] = '\0';
    if (parse_u64(digits, UINT16_MAX, &port) < 0 || port == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "URL port must be between 1 and 65535");
    a->port = (uint16_t)port;
    return 0;
}

/* "[v6]" or "[v6%25zone]" (RFC 6874); @n counts what stands between the brackets. */
static int parse_host6(const char *text, size_t n, struct address *a, struct err *err)
{
    a->host = strndup(text, n);
    if (!a->host)
        return no_memory(err);
    struct in6_addr parsed;
    char *zone = strchr(a->host, '%');
    if (zone)
        *zone = '\0';
    bool ok = inet_pton(AF_INET6, a->host, &parsed) == 1;
    if (zone) {
        *zone = '%';
        if (str_startswith(zone, "%25"))
            memmove(zone + 1, zone + 3, strlen(zone + 3) + 1);
        ok = ok && zone[1] != '\0';
        for (const char *p = zone + 1; *p; p++)
            ok = ok && (isalnum((unsigned char)*p) || strchr("-._", *p));
    }
    return ok ? 0
              : err_set(err, ERR_INVALID_ARGUMENT,
                        "URL host must be an IPv6 address in brackets");
}

static int parse_host_name(const char *text, size_t n, struct address *a, struct err *err)
{
    if (n == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "URL must have a hostname");
    if (n > HOST_MAX_BYTES)
        return err_set(err, ERR_INVALID_ARGUMENT, "URL host must be at most %d bytes",
                       HOST_MAX_BYTES);
    a->host = strndup(text, n);
    if (!a->host)
        return no_memory(err);
    for (char *p = a->host; *p; p++) {
        if (!isalnum((unsigned char)*p) && !strchr("-._", *p))
            return err_set(err, ERR_INVALID_ARGUMENT, "URL host is malformed");
        *p = (char)tolower((unsigned char)*p);
    }
    return 0;
}

/* @text..@n is "host[:port]" or "[v6][:port]". */
static int parse_host_port(const char *text, size_t n, struct address *a, struct err *err)
{
    if (memchr(text, '@', n))
        return err_set(err, ERR_INVALID_ARGUMENT, "URL must not contain a user name");
    const char *after;
    if (n > 0 && *text == '[') {
        const char *bracket = memchr(text, ']', n);
        if (!bracket)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "URL host must be an IPv6 address in brackets");
        if (parse_host6(text + 1, (size_t)(bracket - text - 1), a, err) < 0)
            return -1;
        after = bracket + 1;
    } else {
        const char *colon = memchr(text, ':', n);
        after = colon ? colon : text + n;
        if (parse_host_name(text, (size_t)(after - text), a, err) < 0)
            return -1;
    }
    return parse_port(after, n - (size_t)(after - text), a, err);
}

/* @rest is what follows "http:" or "https:". */
static int parse_http(const char *rest, struct address *a, struct err *err)
{
    const char *host = str_startswith(rest, "//");
    if (!host)
        return err_set(err, ERR_INVALID_ARGUMENT, "URL must have a hostname");
    size_t n = strcspn(host, "/?#");
    if (host[n + strspn(host + n, "/")] != '\0')
        return err_set(err, ERR_INVALID_ARGUMENT, "gRPC does not support URL paths: `%s`",
                       host + n);
    a->kind = ADDRESS_TCP;
    if (parse_host_port(host, n, a, err) < 0)
        return -1;
    /* Always with the port: what the existing clients send, and hosted front ends are known to
     * accept it. A zone means nothing to the peer (RFC 6874 1). */
    if (strchr(a->host, ':'))
        a->authority =
            str_dup_printf("[%.*s]:%u", (int)strcspn(a->host, "%"), a->host, a->port);
    else
        a->authority = str_dup_printf("%s:%u", a->host, a->port);
    return a->authority ? 0 : no_memory(err);
}

static const char *scheme_match(const char *url, const char *scheme)
{
    size_t n = strlen(scheme);
    return strncasecmp(url, scheme, n) == 0 ? url + n : NULL; /* RFC 3986 3.1: any case */
}

int address_parse(const char *url, struct address *ret, struct err *err)
{
    CLEANUP(address_done) struct address a = {0};
    const char *rest;
    int r;
    if ((rest = scheme_match(url, "unix:")))
        r = parse_unix(rest, &a, err);
    else if ((rest = scheme_match(url, "http:")))
        r = parse_http(rest, &a, err);
    else if ((rest = scheme_match(url, "https:"))) {
        a.tls = true;
        r = parse_http(rest, &a, err);
    } else
        r = err_set(err, ERR_INVALID_ARGUMENT, "URL must use http or https scheme: `%s`", url);
    if (r < 0)
        return -1;
    *ret = a;
    a = (struct address){0};
    return 0;
}
