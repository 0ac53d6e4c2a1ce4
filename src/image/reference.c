/* See reference.h. */
#include "image/reference.h"

#include <string.h>

#include "base/util.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static int refuse(struct err *err, const char *text, const char *why)
{
    return err_set(err, ERR_INVALID_ARGUMENT, "`%.300s` is no name of an image: %s", text, why);
}

/* One component of a name: runs of lower-case letters and digits, between them `.`, `_`, `__` or dashes. */
static bool is_component(const char *s, size_t n)
{
    size_t i = 0;
    for (;;) {
        size_t run = strspn(s + i, LOWER DIGITS);
        if (run == 0 || i + run > n)
            return false;
        i += run;
        if (i == n)
            return true;
        size_t dashes = strspn(s + i, "-");
        if (dashes > 0)
            i += dashes;
        else if (s[i] == '.')
            i++;
        else if (s[i] == '_')
            i += s[i + 1] == '_' ? 2 : 1;
        else
            return false;
    }
}

static bool is_name(const char *s)
{
    for (;;) {
        size_t n = strcspn(s, "/");
        if (!is_component(s, n))
            return false;
        if (s[n] == '\0')
            return true;
        s += n + 1;
    }
}

/* host, host:port, [v6]:port; a host's labels start and end with a letter or digit. */
static bool is_registry(const char *s)
{
    size_t n;
    if (s[0] == '[') {
        n = 1 + strspn(s + 1, DIGITS "abcdefABCDEF:");
        if (n < 3 || s[n++] != ']')
            return false;
    } else {
        n = 0;
        for (;;) {
            size_t label = strspn(s + n, LOWER UPPER DIGITS "-");
            if (label == 0 || s[n] == '-' || s[n + label - 1] == '-')
                return false;
            n += label;
            if (s[n] != '.')
                break;
            n++;
        }
    }
    if (s[n] == '\0')
        return true;
    uint64_t port;
    return s[n] == ':' && parse_u64(s + n + 1, 65535, &port) == 0 && port > 0;
}

/* The first component is a registry when it cannot be a name's. Source: Docker. */
static bool looks_like_registry(const char *s, size_t n)
{
    return memchr(s, '.', n) != NULL || memchr(s, ':', n) != NULL ||
           memchr(s, '[', n) != NULL ||
           (n == strlen("localhost") && memcmp(s, "localhost", n) == 0);
}

static bool is_tag(const char *s)
{
    size_t n = strspn(s, LOWER UPPER DIGITS "_.-");
    return n > 0 && n <= REFERENCE_TAG_MAX && s[n] == '\0' && s[0] != '.' && s[0] != '-';
}

/* Cuts `@digest` and `:tag` from the end of @rest. */
static int cut_version(char *rest, const char *text, struct reference *r, struct err *err)
{
    char *at = strchr(rest, '@');
    if (at != NULL) {
        *at = '\0';
        if (digest_parse(at + 1, r->digest, NULL) < 0)
            return refuse(err, text,
                          "a digest is sha256: and 64 lower-case hexadecimal digits");
    }
    char *colon = strrchr(rest, ':');
    const char *tag = "latest";
    if (colon != NULL) {
        *colon = '\0';
        tag = colon + 1;
        if (!is_tag(tag))
            return refuse(err, text,
                          "a tag has letters, digits, `_`, `.` and `-`, 128 at most, and "
                          "begins with none of the "
                          "last two");
    }
    if (r->digest[0] == '\0' && (r->tag = strdup(tag)) == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    return 0;
}

static int parse(const char *text, struct reference *r, struct err *err)
{
    size_t first = strcspn(text, "/");
    bool named = text[first] == '/' && looks_like_registry(text, first);
    CLEANUP_FREE char *rest = strdup(named ? text + first + 1 : text);
    r->registry = named ? strndup(text, first) : strdup("docker.io");
    if (rest == NULL || r->registry == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (!is_registry(r->registry))
        return refuse(err, text, "its registry is no host[:port]");
    if (strcmp(r->registry, "index.docker.io") == 0) /* the name it had once */
        memmove(r->registry, "docker.io", sizeof("docker.io"));
    if (cut_version(rest, text, r, err) < 0)
        return -1;
    bool official = strcmp(r->registry, "docker.io") == 0 && strchr(rest, '/') == NULL;
    r->name = str_dup_printf("%s%s", official ? "library/" : "", rest);
    if (r->name == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (!is_name(r->name))
        return refuse(err, text,
                      "a name has lower-case letters and digits, separated by `/`, `.`, `_`, "
                      "`__` or dashes");
    if (strlen(r->registry) + 1 + strlen(r->name) > REFERENCE_NAME_MAX)
        return refuse(err, text, "it is longer than 255 characters");
    return 0;
}

int reference_parse(const char *text, struct reference *ret, struct err *err)
{
    CLEANUP_REFERENCE struct reference r = {0};
    if (parse(text, &r, err) < 0)
        return -1;
    *ret = r;
    r = (struct reference){0};
    return 0;
}

int reference_parse_tagged(const char *text, struct reference *ret, struct err *err)
{
    CLEANUP_REFERENCE struct reference r = {0};
    if (parse(text, &r, err) < 0)
        return -1;
    if (r.tag == NULL)
        return refuse(err, text, "only what is pulled is held to a digest: give it a tag");
    *ret = r;
    r = (struct reference){0};
    return 0;
}

char *reference_format(const struct reference *r)
{
    return r->tag != NULL ? str_dup_printf("%s/%s:%s", r->registry, r->name, r->tag)
                          : str_dup_printf("%s/%s@sha256:%s", r->registry, r->name, r->digest);
}

char *reference_version(const struct reference *r)
{
    return r->tag != NULL ? strdup(r->tag) : str_dup_printf("sha256:%s", r->digest);
}

void reference_done(struct reference *r)
{
    free(r->registry);
    free(r->name);
    free(r->tag);
    *r = (struct reference){0};
}
