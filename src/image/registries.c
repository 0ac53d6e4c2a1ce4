/* See registries.h. */
#include "image/registries.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/util.h"
#include "image/json.h"

#define FILE_BYTES_MAX ((size_t)4 << 20)
#define BLANKS " \t\r"

static void rows_done(struct registry_rows *rows)
{
    for (size_t i = 0; i < rows->n; i++) {
        free(rows->items[i].host);
        free(rows->items[i].value);
    }
    free(rows->items);
}

void registries_done(struct registries *r)
{
    rows_done(&r->plain);
    rows_done(&r->mirrors);
    rows_done(&r->authorities);
    free(r->docker_config);
    free(r->login_host);
    credentials_done(&r->login);
    *r = (struct registries){0};
}

static int add_row(struct registry_rows *rows, const char *host, char *take_value,
                   struct err *err)
{
    struct registry_row *more = reallocarray(rows->items, rows->n + 1, sizeof(*more));
    char *copy = strdup(host);
    if (more)
        rows->items = more;
    if (!more || !copy) {
        free(copy);
        free(take_value);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    rows->items[rows->n++] = (struct registry_row){copy, take_value};
    return 0;
}

static int add_authority(struct registries *r, const char *host, const char *file,
                         struct err *err)
{
    char *text = NULL;
    size_t n;
    int failed = file_read(file, FILE_BYTES_MAX, &text, &n);
    return failed < 0 ? err_set_errno(err, ERR_FAILED_PRECONDITION, -failed, "read `%s`", file)
                      : add_row(&r->authorities, host, text, err);
}

static int take_setting(struct registries *r, const char *key, char *value, struct err *err)
{
    char *second = value + strcspn(value, BLANKS);
    if (*second)
        *second++ = '\0';
    second += strspn(second, BLANKS);
    if (*value && strcmp(key, "plain-http") == 0 && !*second)
        return add_row(&r->plain, value, NULL, err);
    if (*value && strcmp(key, "ca") == 0 && *second == '/')
        return add_authority(r, value, second, err);
    if (*value && strcmp(key, "mirror") == 0 &&
        (str_startswith(second, "https://") || str_startswith(second, "http://"))) {
        char *url = strdup(second);
        return url ? add_row(&r->mirrors, value, url, err)
                   : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    return err_set(
        err, ERR_INVALID_ARGUMENT,
        "none of `plain-http = HOST`, `mirror = HOST http[s]://URL`, `ca = HOST /FILE`");
}

/* @text is cut in place. */
static int parse_lines(struct registries *r, const char *path, char *text, struct err *err)
{
    int number = 0;
    for (char *line = text, *next; line; line = next) {
        number++;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        line[strcspn(line, "#")] = '\0';
        char *key = line + strspn(line, BLANKS);
        if (!*key)
            continue;
        char *equals = strchr(key, '=');
        char *value = equals ? equals + 1 + strspn(equals + 1, BLANKS) : key + strlen(key);
        for (char *end = value + strlen(value); end > value && strchr(BLANKS, end[-1]);)
            *--end = '\0';
        key[strcspn(key, "=" BLANKS)] = '\0';
        if (take_setting(r, key, value, err) < 0)
            return err_wrap(err, "%s:%d", path, number);
    }
    return 0;
}

static int load_file(struct registries *r, const char *path, bool must_be_there,
                     struct err *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t n;
    int failed = file_read(path, FILE_BYTES_MAX, &text, &n);
    if (failed == -ENOENT && !must_be_there)
        return 0;
    if (failed < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -failed, "read `%s`", path);
    return parse_lines(r, path, text, err) < 0 ? -1 : 1;
}

/* $@variable/@below, or $HOME/@beside/@below. */
static char *user_path(const char *variable, const char *beside, const char *below)
{
    const char *directory = getenv(variable), *home = getenv("HOME");
    if (directory && directory[0] == '/')
        return str_dup_printf("%s/%s", directory, below);
    return home && home[0] == '/' ? str_dup_printf("%s/%s/%s", home, beside, below) : NULL;
}

int registries_load(struct registries *r, const char *path, enum registries_logins logins,
                    struct err *err)
{
    size_t n;
    CLEANUP_FREE char *docker =
        logins == LOGINS_DOCKER ? user_path("DOCKER_CONFIG", ".docker", "config.json") : NULL;
    CLEANUP_FREE char *own =
        user_path("XDG_CONFIG_HOME", ".config", "cwsandbox/registries.conf");
    int failed = docker ? file_read(docker, FILE_BYTES_MAX, &r->docker_config, &n) : -ENOENT;
    if (failed < 0 && failed != -ENOENT && failed != -EACCES && failed != -ENOTDIR)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, -failed, "read `%s`", docker);
    if (path)
        return load_file(r, path, true, err) < 0 ? -1 : 0;
    int found = own ? load_file(r, own, false, err) : 0;
    return found != 0 ? MIN(found, 0)
                      : MIN(load_file(r, "/etc/cwsandbox/registries.conf", false, err), 0);
}

static const struct registry_row *find(const struct registry_rows *rows, const char *host)
{
    for (size_t i = 0; i < rows->n; i++)
        if (strcmp(rows->items[i].host, host) == 0)
            return &rows->items[i];
    return NULL;
}

bool registries_is_plain(const struct registries *r, const char *host)
{
    return find(&r->plain, host) != NULL;
}

const char *registries_authority(const struct registries *r, const char *host)
{
    const struct registry_row *row = find(&r->authorities, host);
    return row ? row->value : NULL;
}

/* A mirror is named by its URL. */
static bool has_mirror_at(const struct registries *r, const char *host)
{
    for (size_t i = 0; i < r->mirrors.n; i++) {
        const char *at = strstr(r->mirrors.items[i].value, "://") + 3;
        size_t n = strcspn(at, "/");
        if (strlen(host) == n && memcmp(at, host, n) == 0)
            return true;
    }
    return false;
}

bool registries_public_only(const struct registries *r, const char *host)
{
    return r->public_only && !find(&r->plain, host) && !find(&r->authorities, host) &&
           !has_mirror_at(r, host);
}

int registries_set_login(struct registries *r, const char *host, const char *user,
                         const char *password, struct err *err)
{
    const char *scheme = strstr(host, "://"), *name = scheme ? scheme + 3 : host;
    CLEANUP_FREE char *bare = strndup(name, strcspn(name, "/"));
    bool docker = bare && (strcmp(bare, "index.docker.io") == 0 ||
                           strcmp(bare, "registry-1.docker.io") == 0);
    r->login_host = docker ? strdup("docker.io") : TAKE_PTR(bare);
    r->login = (struct credentials){.user = strdup(user), .password = strdup(password)};
    return r->login_host && r->login.user && r->login.password
               ? 0
               : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

void credentials_done(struct credentials *c)
{
    free(c->user);
    free(c->password);
    free(c->identity_token);
    *c = (struct credentials){0};
}

/* "auth": base64 of USER:PASSWORD. */
static int decode_auth(const char *auth, struct credentials *ret, struct err *err)
{
    size_t n = strlen(auth);
    CLEANUP_FREE uint8_t *plain = calloc(n + 1, 1);
    if (!plain)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    int decoded = EVP_DecodeBlock(plain, (const uint8_t *)auth, (int)n); /* pads with NULs */
    char *colon = decoded < 0 ? NULL : strchr((char *)plain, ':');
    if (!colon)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "an `auth` of Docker's config file is no base64 of USER:PASSWORD");
    ret->user = strndup((char *)plain, (size_t)(colon - (char *)plain));
    ret->password = strdup(colon + 1);
    return ret->user && ret->password ? 0
                                      : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

int registries_credentials(const struct registries *r, const char *host,
                           struct credentials *ret, struct err *err)
{
    const char *key = strcmp(host, "docker.io") == 0 ? "https://index.docker.io/v1/"
                                                     : host; /* as `docker login` files it */
    CLEANUP_CREDENTIALS struct credentials c = {0};
    json_t *auths, *entry = NULL;
    const char *auth, *token;
    if (r->login_host && strcmp(r->login_host, host) == 0) {
        *ret = (struct credentials){.user = strdup(r->login.user),
                                    .password = strdup(r->login.password)};
        return ret->user && ret->password
                   ? 0
                   : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    }
    if (!r->docker_config)
        return 0;
    CLEANUP_JSON json_t *j =
        json_parse(r->docker_config, strlen(r->docker_config), "Docker's config file", err);
    if (!j || json_member(j, "auths", JSON_OBJECT, &auths, err) < 0 ||
        (auths && json_member(auths, key, JSON_OBJECT, &entry, err) < 0))
        return -1;
    if (!entry)
        return 0;
    if (json_member_text(entry, "auth", &auth, err) < 0 ||
        json_member_text(entry, "identitytoken", &token, err) < 0 ||
        (auth && auth[0] && decode_auth(auth, &c, err) < 0))
        return -1;
    if (token && token[0] && (c.identity_token = strdup(token)) == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    *ret = c;
    c = (struct credentials){0};
    return 0;
}
