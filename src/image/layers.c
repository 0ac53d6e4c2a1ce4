/* See store.h: how layers come into the store, and out of it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/strmap.h"
#include "base/util.h"
#include "image/config.h"
#include "image/inflate.h"
#include "image/json.h"
#include "image/store.h"
#include "image/tree.h"

static int fail(struct err *err, const char *what, const char *name)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    return err_set_errno(err, full ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL, errno,
                         "%s layer `%s`", what, name);
}

static int in_directory(const char *directory, const char *name, char **ret, struct err *err)
{
    *ret = str_dup_printf("%s/%s", directory, name);
    return *ret ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

static int lock_file(const struct store *s, const char *name, struct err *err)
{
    CLEANUP_FD int fd = openat(s->fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd;
    while (fd >= 0 && (r = flock(fd, LOCK_EX)) < 0 && errno == EINTR)
        ;
    return r < 0 ? fail(err, "lock", name) : TAKE_FD(fd);
}

void layer_done(struct layer_work *w)
{
    if (w->name)
        (void)tree_remove(w->store->fd, w->name); /* what stays is found by the next sweep */
    free(w->name);
    w->name = NULL;
    cleanup_fd(&w->dir);
    cleanup_fd(&w->lock);
}

int layer_begin(const struct store *s, const char *diff_id, struct layer_work *w,
                struct err *err)
{
    CLEANUP_LAYER struct layer_work made = {.store = s, .lock = -1, .dir = -1};
    char unique[37];
    random_uuid(unique);
    if (diff_id) {
        CLEANUP_FREE char *lock = NULL;
        memcpy(made.diff_id, diff_id, DIGEST_HEX + 1);
        if (in_directory("locks", diff_id, &lock, err) < 0)
            return -1;
        made.lock = lock_file(s, lock, err);
        if (made.lock < 0)
            return -1;
        if (store_has_layer(s, diff_id))
            return 0;
    }
    if (in_directory("tmp", unique, &made.name, err) < 0)
        return -1;
    if (mkdirat(s->fd, made.name, 0755) < 0)
        return fail(err, "make", made.name);
    made.dir = openat(s->fd, made.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (made.dir < 0)
        return fail(err, "open", made.name);
    *w = made;
    made = (struct layer_work)LAYER_WORK_NONE;
    return 1;
}

static int write_meta(const struct layer_work *w, const struct unpack_result *r,
                      struct err *err)
{
    CLEANUP_FREE char *name = NULL;
    char text[128];
    int n = snprintf(text, sizeof(text), "{\"bytes\": %llu, \"entries\": %llu}\n",
                     (unsigned long long)r->n_bytes, (unsigned long long)r->n_entries);
    if (in_directory("meta", w->diff_id, &name, err) < 0)
        return -1;
    CLEANUP_FD int fd =
        openat(w->store->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed = fd < 0 ? -errno : fd_write_all(fd, text, (size_t)n);
    if (failed == 0)
        return 0;
    errno = -failed;
    return fail(err, "describe", w->diff_id);
}

/* On disk before it has its name: after a power cut no layer is there with empty files. */
static int publish(struct layer_work *w, struct err *err)
{
    CLEANUP_FREE char *name = NULL;
    if (in_directory("layers", w->diff_id, &name, err) < 0)
        return -1;
    if (syncfs(w->dir) < 0 ||
        renameat2(w->store->fd, w->name, w->store->fd, name, RENAME_NOREPLACE) < 0) {
        if (errno ==
            EEXIST) /* one that was made here and is there already: the same, by its digest */
            return 0;
        return fail(err, "name", w->diff_id);
    }
    free(w->name);
    w->name = NULL;
    return 0;
}

int layer_fill(struct layer_work *w, struct source *from, uint64_t max_bytes, struct err *err)
{
    struct unpack_options o = {.keep_owners = w->store->keep_owners,
                               .whole = w->whole,
                               .max_bytes = max_bytes,
                               .max_entries = UNPACK_ENTRIES_MAX};
    struct unpack_result result;
    char hex[DIGEST_HEX + 1];
    CLEANUP_INFLATE struct inflate *z = inflate_new(from, err);
    CLEANUP(hash_source_done) struct hash_source plain = {0};
    /* Headers and padding come on top of the content; a stream of nothing but them must end, too. */
    if (z == NULL ||
        hash_source_init(&plain, inflate_source(z), max_bytes * 2 + (1 << 20), err) < 0 ||
        unpack_layer(w->dir, &plain.source, &o, &result, err) < 0 ||
        hash_source_end(&plain, hex, err) < 0)
        return -1;
    if (w->diff_id[0] && strcmp(hex, w->diff_id) != 0)
        return err_set(err, ERR_DATA_LOSS,
                       "its content is sha256:%s, and sha256:%s was promised", hex, w->diff_id);
    memcpy(w->diff_id, hex, sizeof(hex));
    return write_meta(w, &result, err) < 0 ? -1 : publish(w, err);
}

int store_open_partial(const struct store *s, const char *hex, struct err *err)
{
    CLEANUP_FREE char *name = NULL;
    if (in_directory("partial", hex, &name, err) < 0)
        return -1;
    for (;;) { /* who had it may have removed it as done with */
        struct stat own, named;
        CLEANUP_FD int fd = lock_file(s, name, err);
        if (fd < 0)
            return -1;
        if (fstat(fd, &own) == 0 && fstatat(s->fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
            own.st_ino == named.st_ino)
            return TAKE_FD(fd);
    }
}

void store_remove_partial(const struct store *s, const char *hex)
{
    CLEANUP_FREE char *name = NULL;
    if (in_directory("partial", hex, &name, NULL) == 0)
        (void)unlinkat(s->fd, name, 0); /* what stays is found by the next sweep */
}

static void cleanup_dir(DIR **d)
{
    if (*d)
        (void)closedir(*d);
}

/* Names that references need, of all kinds: digests do not collide. */
struct needed {
    struct strmap names;
};

static void needed_done(struct needed *n)
{
    size_t at = 0;
    for (char *name; (name = strmap_next(&n->names, &at)) != NULL;)
        free(name);
    strmap_done(&n->names);
}

static int need(struct needed *n, const char *hex, struct err *err)
{
    CLEANUP_FREE char *name = strdup(hex);
    int r = name ? strmap_put(&n->names, name, name) : -ENOMEM;
    if (r == 0)
        (void)TAKE_PTR(name);
    return r == 0 || r == -EEXIST ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

static int need_image(const struct store *s, struct needed *n, const struct store_ref *ref,
                      struct err *err)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_CONFIG struct config c = {0};
    size_t len;
    if (need(n, ref->manifest, err) < 0 || need(n, ref->config, err) < 0)
        return -1;
    /* A config that is gone or damaged needs nothing: whoever uses the reference is told so. */
    if (store_get(s, STORE_CONFIG, ref->config, &text, &len, NULL) < 0 ||
        image_config_parse(text, len, &c, NULL) < 0)
        return 0;
    for (size_t i = 0; i < c.n_diff_ids; i++)
        if (need(n, c.diff_ids[i], err) < 0)
            return -1;
    return 0;
}

bool store_layer_in_use(const struct store *s, const char *diff_id)
{
    CLEANUP_FREE char *name = NULL;
    if (in_directory("layers", diff_id, &name, NULL) < 0)
        return false;
    CLEANUP_FD int fd = tree_open(s->fd, name, O_RDONLY | O_DIRECTORY);
    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
}

/* False when somebody mounts it. It loses its name first: nobody finds half of it. */
static bool remove_layer(const struct store *s, const char *hex, struct store_sweep *sweep)
{
    char unique[37];
    CLEANUP_FREE char *name = NULL, *tmp = NULL, *meta = NULL, *lock = NULL;
    random_uuid(unique);
    if (in_directory("layers", hex, &name, NULL) < 0 ||
        in_directory("tmp", unique, &tmp, NULL) < 0 ||
        in_directory("meta", hex, &meta, NULL) < 0 ||
        in_directory("locks", hex, &lock, NULL) < 0)
        return false;
    CLEANUP_FD int fd = tree_open(s->fd, name, O_RDONLY | O_DIRECTORY);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return false;
    uint64_t bytes = store_layer_bytes(s, hex);
    if (renameat(s->fd, name, s->fd, tmp) < 0)
        return false;
    sweep->n_layers++;
    sweep->n_bytes += bytes;
    (void)unlinkat(s->fd, meta, 0);
    (void)unlinkat(s->fd, lock, 0); /* the store is ours alone: nobody waits for it */
    (void)tree_remove(s->fd, tmp);  /* what stays is found by the next sweep */
    return true;
}

/* A sandbox that still stands on it may be committed: then its words are needed. Layers went before. */
static bool config_in_use(const struct store *s, const char *hex)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_CONFIG struct config c = {0};
    size_t n;
    return store_get(s, STORE_CONFIG, hex, &text, &n, NULL) == 0 &&
           image_config_parse(text, n, &c, NULL) == 0 &&
           store_has_layer(s, c.diff_ids[c.n_diff_ids - 1]);
}

/* Each entry of @directory that is not @keep: a layer, or a file. */
static int sweep_directory(const struct store *s, const char *directory,
                           const struct needed *keep, struct store_sweep *sweep,
                           struct err *err)
{
    bool layers = strcmp(directory, "layers") == 0;
    bool configs = strcmp(directory, "configs") == 0;
    int fd = openat(s->fd, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(cleanup_dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d)
        return fail(err, "open", directory);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.' || (keep && strmap_get(&keep->names, e->d_name)) ||
            (configs && config_in_use(s, e->d_name)))
            continue;
        if (!layers)
            (void)tree_remove(fd, e->d_name); /* the next sweep tries again */
        else if (!remove_layer(s, e->d_name, sweep))
            sweep->n_in_use++;
    }
    return 0;
}

int store_sweep(const struct store *s, struct store_sweep *ret, struct err *err)
{
    CLEANUP(needed_done) struct needed needed = {0};
    struct store_ref *refs;
    size_t n;
    int r = 0;
    if (store_list_refs(s, &refs, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && r == 0; i++)
        r = need_image(s, &needed, &refs[i], err);
    store_refs_free(refs, n);
    *ret = (struct store_sweep){0};
    if (r < 0 || sweep_directory(s, "tmp", NULL, ret, err) < 0 ||
        sweep_directory(s, "partial", NULL, ret, err) < 0 ||
        sweep_directory(s, "layers", &needed, ret, err) < 0 ||
        sweep_directory(s, "manifests", &needed, ret, err) < 0)
        return -1;
    return sweep_directory(s, "configs", &needed, ret, err);
}
