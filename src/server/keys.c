/*
 * API keys. See keys.h.
 *
 * Every stored key is compared over its full, fixed-size slot, so
 * the time depends on the number of keys only. The presented key is copied into such a slot
 * first.
 */
#include "server/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"

struct key {
    char name[KEYS_NAME_MAX];
    uint8_t
        slot[KEYS_MAX_LENGTH]; /* zero padded; a key holds no NUL, so padding cannot collide */
};

struct keys {
    size_t n_keys;
    size_t cap;
    struct key *items;
};

void keys_free(struct keys *keys)
{
    if (keys == NULL)
        return;
    if (keys->items != NULL)
        explicit_bzero(keys->items, keys->cap * sizeof(*keys->items));
    free(keys->items);
    free(keys);
}

static void cleanup_keys(struct keys **keys)
{
    keys_free(*keys);
}

size_t keys_count(const struct keys *keys)
{
    return keys != NULL ? keys->n_keys : 0;
}

static bool name_valid(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-";
    size_t n = strlen(name);
    return n > 0 && n < KEYS_NAME_MAX && strspn(name, allowed) == n;
}

static bool key_valid(const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return false;
    return n >= KEYS_MIN_LENGTH && n <= KEYS_MAX_LENGTH;
}

/* Growing by hand: realloc would leave copies of keys in freed memory. */
static int keys_reserve(struct keys *keys)
{
    if (keys->n_keys < keys->cap)
        return 0;
    size_t cap = keys->cap != 0 ? keys->cap * 2 : 16;
    struct key *items = calloc(cap, sizeof(*items));
    if (items == NULL)
        return -ENOMEM;
    if (keys->items != NULL) {
        memcpy(items, keys->items, keys->n_keys * sizeof(*items));
        explicit_bzero(keys->items, keys->cap * sizeof(*items));
        free(keys->items);
    }
    keys->items = items;
    keys->cap = cap;
    return 0;
}

/* Messages name the line, never its text. */
static int keys_add_line(struct keys *keys, const char *path, unsigned line_no, char *line,
                         struct err *err)
{
    size_t n = strlen(line);
    while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' ' || line[n - 1] == '\t'))
        line[--n] = '\0';
    if (line[0] == '\0' || line[0] == '#')
        return 0;
    char *colon = strchr(line, ':');
    if (colon == NULL)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s:%u: not `name:key`", path, line_no);
    *colon = '\0';
    if (!name_valid(line))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s:%u: the name is not [A-Za-z0-9._@-]{1,63}", path, line_no);
    if (strcmp(line, "anonymous") == 0) /* auth.c: they would own each other's sandboxes */
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s:%u: `anonymous` means callers without a key", path, line_no);
    if (!key_valid(colon + 1))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s:%u: the key of `%s` is not %d to %d visible ASCII characters", path,
                       line_no, line, KEYS_MIN_LENGTH, KEYS_MAX_LENGTH);
    const char *other = keys_find(keys, colon + 1);
    if (other != NULL && strcmp(other, line) != 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s:%u: `%s` and `%s` share a key", path,
                       line_no, other, line);
    if (keys->n_keys >= KEYS_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s:%u: more than %d keys", path, line_no,
                       KEYS_MAX);
    if (keys_reserve(keys) < 0)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    struct key *key = &keys->items[keys->n_keys++];
    (void)snprintf(key->name, sizeof(key->name), "%s", line); /* fits: name_valid() */
    memcpy(key->slot, colon + 1, strlen(colon + 1));          /* fits: key_valid() */
    return 0;
}

struct keys *keys_parse(const char *path, char *text, struct err *err)
{
    CLEANUP(cleanup_keys) struct keys *keys = calloc(1, sizeof(*keys));
    if (keys == NULL) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    unsigned line_no = 0;
    char *line;
    while ((line = strsep(&text, "\n")) != NULL)
        if (keys_add_line(keys, path, ++line_no, line, err) < 0)
            return NULL;
    if (keys->n_keys == 0) {
        (void)err_set(err, ERR_INVALID_ARGUMENT, "%s: no key in the file", path);
        return NULL;
    }
    return TAKE_PTR(keys);
}

struct keys *keys_load(const char *path, struct err *err)
{
    return keys_load_copy(path, path, err);
}

struct keys *keys_load_copy(const char *copy, const char *path, struct err *err)
{
    CLEANUP_FD int fd = open(copy, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0) {
        (void)err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s`", path);
        return NULL;
    }
    /* O_NONBLOCK keeps a FIFO from hanging the open; a pipe given on purpose (<(...)) is as
     * good as a file. */
    if (S_ISREG(st.st_mode) && (st.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        (void)err_set(err, ERR_FAILED_PRECONDITION,
                      "%s: everyone may read or write it (mode %04o); chmod 600", path,
                      (unsigned)st.st_mode & 07777);
        return NULL;
    }
    char *text = malloc(KEYS_MAX_FILE_BYTES + 1);
    if (text == NULL) {
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        return NULL;
    }
    ssize_t n = fd_read_all(fd, text, KEYS_MAX_FILE_BYTES + 1);
    struct keys *keys = NULL;
    if (n < 0) {
        (void)err_set_errno(err, ERR_FAILED_PRECONDITION, (int)-n, "read `%s`", path);
    } else if (n > (ssize_t)KEYS_MAX_FILE_BYTES) {
        (void)err_set(err, ERR_INVALID_ARGUMENT, "%s: longer than %u bytes", path,
                      KEYS_MAX_FILE_BYTES);
    } else {
        text[n] = '\0';
        keys = keys_parse(path, text, err);
    }
    explicit_bzero(text, n > 0 ? (size_t)n : 0);
    free(text);
    return keys;
}

const char *keys_find(const struct keys *keys, const char *key)
{
    uint8_t slot[KEYS_MAX_LENGTH] = {0};
    size_t n = strlen(key);
    if (keys == NULL || n > sizeof(slot))
        return NULL;
    memcpy(slot, key, n);
    const char *found = NULL;
    for (size_t i = 0; i < keys->n_keys; i++) {
        uint8_t diff = 0;
        for (size_t k = 0; k < sizeof(slot); k++)
            diff |= (uint8_t)(slot[k] ^ keys->items[i].slot[k]);
        if (diff == 0)
            found = keys->items[i].name;
    }
    explicit_bzero(slot, sizeof(slot));
    return found;
}
