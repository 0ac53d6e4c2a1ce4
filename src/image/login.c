/* See login.h. */
#include "image/login.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "image/json.h"

#define SECRET_BYTES_MAX \
    ((size_t)64 << 10) /* chosen: as Kubernetes' is 1 MiB, a config of Docker's 1 KiB */

static bool is_component(const char *name, size_t n)
{
    return n > 0 && memchr(name, '/', n) == NULL &&
           !(name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.')));
}

/* One or more of them. */
static bool is_path(const char *name)
{
    for (size_t n;; name += n + 1) {
        n = strcspn(name, "/");
        if (!is_component(name, n))
            return false;
        if (name[n] == '\0')
            return true;
    }
}

/* Links are the operator's way to give one secret to several, and lead anywhere. A pipe must not stop us. */
static int open_below(int dir, const char *name, int flags)
{
    int fd = openat(dir, name, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int open_secret(const char *dir, const struct login_name *n)
{
    CLEANUP_FD int top = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return -errno;
    bool several = n->owner[0] != '\0';
    if ((several && !is_component(n->owner, strlen(n->owner))) ||
        !is_component(n->store, strlen(n->store)) || !is_path(n->name))
        return -ENOENT;
    CLEANUP_FD int owner =
        several ? open_below(top, n->owner, O_PATH | O_DIRECTORY) : TAKE_FD(top);
    if (owner < 0)
        return owner;
    CLEANUP_FD int store = open_below(owner, n->store, O_PATH | O_DIRECTORY);
    return store < 0 ? store : open_below(store, n->name, O_RDONLY);
}

int login_read(const char *dir, const struct login_name *n, char **ret_text, struct err *err)
{
    struct stat st;
    if (!dir)
        return err_set(err, ERR_NOT_FOUND,
                       "the service has no secrets (--secret-stores), and `%.100s` of store "
                       "`%.100s` is asked for",
                       n->name, n->store);
    CLEANUP_FD int fd = open_secret(dir, n);
    if (fd == -ENOENT || fd == -ENOTDIR)
        return err_set(err, ERR_NOT_FOUND, "there is no secret `%.100s` in a store `%.100s`",
                       n->name, n->store);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, fd < 0 ? -fd : errno,
                             "open the secret `%.100s` of store `%.100s`", n->name, n->store);
    char *text = calloc(SECRET_BYTES_MAX + 1, 1);
    ssize_t got =
        text && S_ISREG(st.st_mode) ? fd_read_all(fd, text, SECRET_BYTES_MAX + 1) : -1;
    if (got < 0 || got > (ssize_t)SECRET_BYTES_MAX) {
        free(text);
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "the secret `%.100s` of store `%.100s` is no file of at most %zu bytes",
                       n->name, n->store, SECRET_BYTES_MAX);
    }
    *ret_text = text;
    return 0;
}

static int no_login(struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "the secret for it is none of USER:PASSWORD, {\"username\", \"password\"}, "
                   "{\"auths\"}");
}

/* What the parser of JSON says of a secret would have something of it. */
static json_t *parse_secret(const char *text, struct err *err)
{
    CLEANUP_ERR struct err unsaid = {0};
    json_t *j = json_parse(text, strlen(text), "the secret", &unsaid);
    if (!j)
        (void)no_login(err);
    return j;
}

static int use_object(const char *text, const char *host, struct registries *r, struct err *err)
{
    CLEANUP_JSON json_t *j = parse_secret(text, err);
    const char *user = json_string_value(json_object_get(j, "username"));
    const char *password = json_string_value(json_object_get(j, "password"));
    if (!j)
        return -1;
    if (user && password)
        return registries_set_login(r, host, user, password, err);
    if (!json_is_object(json_object_get(j, "auths")))
        return no_login(err);
    free(r->docker_config);
    r->docker_config = strdup(text);
    return r->docker_config ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

static int use_value(const char *value, const char *host, struct registries *r, struct err *err)
{
    if (value[strspn(value, " \t\r\n")] == '{')
        return use_object(value, host, r, err);
    CLEANUP_FREE char *user = strdup(value);
    char *password = user ? strchr(user, ':') : NULL;
    if (!password)
        return no_login(err);
    *password++ = '\0';
    password[strcspn(password, "\r\n")] = '\0';
    return registries_set_login(r, host, user, password, err);
}

int login_use(const char *text, const char *field, const char *host, struct registries *r,
              struct err *err)
{
    if (field[0] == '\0')
        return use_value(text, host, r, err);
    CLEANUP_JSON json_t *j = parse_secret(text, err);
    const char *value = json_string_value(json_object_get(j, field));
    if (!j)
        return -1;
    return value
               ? use_value(value, host, r, err)
               : err_set(err, ERR_NOT_FOUND, "the secret for it has no field `%.100s`", field);
}
