/* See store.h: the directory, its locks, manifests, configs, references. Layers: layers.c. */
#include "image/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/util.h"
#include "image/config.h"
#include "image/json.h"

#define REF_BYTES_MAX ((size_t)4096)

/* What a service that has a user of its own reads. The store's own mode keeps others out. */
static const char *const readable[] = {"refs", "configs"};
static const char *const directories[] = {"layers", "meta",    "manifests", "configs",
                                          "refs",   "partial", "tmp",       "locks"};

static int make_path(const char *path, struct err *err)
{
    CLEANUP_FREE char *copy = strdup(path);
    if (copy == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    for (char *slash = strchr(copy + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "make the directory `%s`",
                                 copy);
        if (!slash)
            return 0;
        *slash = '/';
    }
}

int store_open(struct store *s, const char *path, struct err *err)
{
    *s = (struct store){.fd = -1, .lock = -1};
    if (make_path(path, err) < 0)
        return -1;
    CLEANUP_FD int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open the store `%s`", path);
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
        if (mkdirat(fd, directories[i], 0700) < 0 && errno != EEXIST)
            return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "make `%s/%s`", path,
                                 directories[i]);
    for (size_t i = 0; i < ARRAY_SIZE(readable); i++)
        if (fchmodat(fd, readable[i], 0755, 0) < 0)
            return err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open `%s/%s` to readers",
                                 path, readable[i]);
    s->fd = TAKE_FD(fd);
    return 0;
}

int store_open_to_read(struct store *s, const char *path, struct err *err)
{
    *s = (struct store){.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC), .lock = -1};
    return s->fd < 0
               ? err_set_errno(err, ERR_FAILED_PRECONDITION, errno, "open the store `%s`", path)
               : 0;
}

static int open_lock(const struct store *s)
{
    return openat(s->fd, "locks/store", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

int store_lock(struct store *s, bool alone, struct err *err)
{
    CLEANUP_FD int fd = open_lock(s);
    int r = fd;
    while (fd >= 0 && (r = flock(fd, alone ? LOCK_EX : LOCK_SH)) < 0 && errno == EINTR)
        ;
    if (r < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "lock the store");
    s->lock = TAKE_FD(fd);
    return 0;
}

bool store_try_lock_alone(struct store *s)
{
    CLEANUP_FD int fd = open_lock(s);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return false;
    s->lock = TAKE_FD(fd);
    return true;
}

void store_close(struct store *s)
{
    cleanup_fd(&s->lock);
    cleanup_fd(&s->fd);
}

static int fail(struct err *err, const char *what, const char *name)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    return err_set_errno(err, full ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL, errno,
                         "%s `%s` of the store", what, name);
}

/* A new file at @name, by rename, on disk when this returns. */
static int write_file(const struct store *s, const char *name, const char *text, size_t n,
                      struct err *err)
{
    char unique[37];
    random_uuid(unique);
    CLEANUP_FREE char *tmp = str_dup_printf("tmp/%s", unique);
    CLEANUP_FD int fd =
        tmp ? openat(s->fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;
    if (fd < 0)
        return fail(err, "write", name);
    int r = fd_write_all(fd, text, n);
    if (r < 0)
        errno = -r;
    if (r < 0 || fsync(fd) < 0 || renameat(s->fd, tmp, s->fd, name) < 0) {
        (void)fail(err, "write", name);
        (void)unlinkat(s->fd, tmp, 0);
        return -1;
    }
    return 0;
}

static int read_file(const struct store *s, const char *name, size_t max, char **ret_text,
                     size_t *ret_n, struct err *err)
{
    CLEANUP_FD int fd = openat(s->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "`%s` is not in the store", name);
    if (fd < 0)
        return fail(err, "open", name);
    struct stream_source from;
    stream_source_init(&from, fd);
    return source_read_text(&from.source, max, ret_text, ret_n, err);
}

static char *blob_name(enum store_blob kind, const char *hex)
{
    CHECK(digest_is_hex(hex));
    return str_dup_printf("%s/%s", kind == STORE_MANIFEST ? "manifests" : "configs", hex);
}

int store_put(const struct store *s, enum store_blob kind, const char *hex, const char *text,
              size_t n, struct err *err)
{
    CLEANUP_FREE char *name = blob_name(kind, hex);
    return name ? write_file(s, name, text, n, err)
                : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

int store_get(const struct store *s, enum store_blob kind, const char *hex, char **ret_text,
              size_t *ret_n, struct err *err)
{
    CLEANUP_FREE char *name = blob_name(kind, hex);
    if (!name)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    return read_file(s, name, kind == STORE_MANIFEST ? MANIFEST_BYTES_MAX : CONFIG_BYTES_MAX,
                     ret_text, ret_n, err);
}

/* References hold `/` and `:`, and may be longer than a name of a file. */
static int ref_name(const char *reference, char **ret, struct err *err)
{
    char hex[DIGEST_HEX + 1];
    if (hash_bytes(reference, strlen(reference), hex, err) < 0)
        return -1;
    *ret = str_dup_printf("refs/%s", hex);
    return *ret ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

int store_put_ref(const struct store *s, const char *reference, const char *manifest,
                  const char *config, struct err *err)
{
    CLEANUP_FREE char *name = NULL;
    if (ref_name(reference, &name, err) < 0)
        return -1;
    CLEANUP_JSON json_t *j =
        json_pack("{s:s, s:s, s:s, s:I}", "reference", reference, "manifest", manifest,
                  "config", config, "created_s", (json_int_t)time(NULL));
    CLEANUP_FREE char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    if (!text)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (write_file(s, name, text, strlen(text), err) < 0)
        return -1;
    CLEANUP_FD int refs = openat(s->fd, "refs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return refs < 0 || fsync(refs) < 0 ? fail(err, "write", "refs") : 0;
}

void store_ref_done(struct store_ref *r)
{
    free(r->reference);
    *r = (struct store_ref){0};
}

void store_refs_free(struct store_ref *refs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        store_ref_done(&refs[i]);
    free(refs);
}

static int read_ref(const struct store *s, const char *name, struct store_ref *ret,
                    struct err *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t n;
    struct stat st;
    const char *reference, *manifest, *config;
    uint64_t created;
    if (read_file(s, name, REF_BYTES_MAX, &text, &n, err) < 0)
        return -1;
    CLEANUP_JSON json_t *j = json_parse(text, n, name, err);
    if (j == NULL || json_member_text(j, "reference", &reference, err) < 0 ||
        json_member_text(j, "manifest", &manifest, err) < 0 ||
        json_member_text(j, "config", &config, err) < 0 ||
        json_member_size(j, "created_s", &created, err) < 0)
        return -1;
    if (!reference || !manifest || !config || !digest_is_hex(manifest) ||
        !digest_is_hex(config))
        return err_set(err, ERR_DATA_LOSS, "`%s` of the store is damaged", name);
    if (fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(err, "look at", name);
    *ret = (struct store_ref){
        .reference = strdup(reference), .created_s = (int64_t)created, .used_s = st.st_mtime};
    memcpy(ret->manifest, manifest, DIGEST_HEX + 1);
    memcpy(ret->config, config, DIGEST_HEX + 1);
    return ret->reference ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

int store_get_ref(const struct store *s, const char *reference, struct store_ref *ret,
                  struct err *err)
{
    CLEANUP_FREE char *name = NULL;
    if (ref_name(reference, &name, err) < 0)
        return -1;
    if (read_ref(s, name, ret, err) == 0)
        return 0;
    return err && err->code == ERR_NOT_FOUND
               ? err_set(err, ERR_NOT_FOUND, "`%s` is not in the store", reference)
               : -1;
}

int store_remove_ref(const struct store *s, const char *reference, struct err *err)
{
    CLEANUP_FREE char *name = NULL;
    if (ref_name(reference, &name, err) < 0)
        return -1;
    if (unlinkat(s->fd, name, 0) == 0)
        return 0;
    if (errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "`%s` is not in the store", reference);
    return fail(err, "remove", name);
}

static int compare_refs(const void *a, const void *b)
{
    return strcmp(((const struct store_ref *)a)->reference,
                  ((const struct store_ref *)b)->reference);
}

static int add_ref(struct store_ref **refs, size_t *n, struct store_ref *take_ref,
                   struct err *err)
{
    if ((*n & (*n - 1)) == 0) { /* full at every power of two */
        struct store_ref *more = reallocarray(*refs, *n ? *n * 2 : 1, sizeof(*more));
        if (!more) {
            store_ref_done(take_ref);
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        }
        *refs = more;
    }
    (*refs)[(*n)++] = *take_ref;
    return 0;
}

static void cleanup_dir(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

int store_list_refs(const struct store *s, struct store_ref **ret, size_t *ret_n,
                    struct err *err)
{
    int fd = openat(s->fd, "refs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct store_ref *refs = NULL;
    size_t n = 0;
    if (!d)
        return fail(err, "open", "refs");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct store_ref ref;
        if (!digest_is_hex(e->d_name))
            continue;
        CLEANUP_FREE char *name = str_dup_printf("refs/%s", e->d_name);
        if (!name || read_ref(s, name, &ref, NULL) < 0)
            continue;
        if (add_ref(&refs, &n, &ref, err) < 0) {
            store_refs_free(refs, n);
            return -1;
        }
    }
    if (n > 0)
        qsort(refs, n, sizeof(*refs), compare_refs);
    *ret = refs;
    *ret_n = n;
    return 0;
}

bool store_has_layer(const struct store *s, const char *diff_id)
{
    struct stat st;
    CLEANUP_FREE char *name = str_dup_printf("layers/%s", diff_id);
    return name && fstatat(s->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

uint64_t store_layer_bytes(const struct store *s, const char *diff_id)
{
    CLEANUP_FREE char *name = str_dup_printf("meta/%s", diff_id);
    uint64_t bytes = 0;
    char text[256];
    CLEANUP_FD int fd = !name ? -1 : openat(s->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : fd_read_all(fd, text, sizeof(text));
    CLEANUP_JSON json_t *j = n < 0 ? NULL : json_parse(text, (size_t)n, name, NULL);
    return j && json_member_size(j, "bytes", &bytes, NULL) == 0 ? bytes : 0;
}
