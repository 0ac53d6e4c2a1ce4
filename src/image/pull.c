/* See pull.h. */
#include "image/pull.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "image/add.h"
#include "image/registry.h"

#define PACKED_BYTES_MAX ADD_BYTES_MAX

struct pull {
    const struct store *store;
    struct registry registry;
    struct manifest manifest;
    struct config config;
    struct pull_progress *progress;
    pthread_mutex_t lock;
    size_t next;    /* [lock] layer to take */
    struct err err; /* [lock] the first that failed */
    bool failed;    /* [lock] */
};

static void cleanup_http(struct http **h)
{
    http_free(*h);
}

/* --- Small blobs --- */

static int check_blob(const struct buf *b, const char *hex, const char *what, struct err *err)
{
    char found[DIGEST_HEX + 1];
    if (hash_bytes(buf_head(b), buf_len(b), found, err) < 0)
        return -1;
    return strcmp(found, hex) == 0
               ? 0
               : err_set(err, ERR_DATA_LOSS,
                         "%s: its digest is sha256:%s, and sha256:%s was promised", what, found,
                         hex);
}

static int get_small(struct pull *p, struct http *h, const char *what,
                     const struct descriptor *d, uint64_t max, struct buf *ret, struct err *err)
{
    char version[8 + DIGEST_HEX];
    enum registry_trouble trouble;
    (void)snprintf(version, sizeof(version), "sha256:%s", d->hex);
    struct registry_get g = {.what = what,
                             .version = version,
                             .accept = strcmp(what, "manifests") == 0 ? MEDIA_OCI_MANIFEST
                                           ", " MEDIA_DOCKER_MANIFEST
                                                                      : NULL,
                             .max_bytes = MIN(max, d->size_bytes)};
    for (unsigned n = 0; registry_wait(n); n++) {
        err_done(err);
        if (registry_get(&p->registry, h, &g, ret, &trouble, err) == 0)
            return check_blob(ret, d->hex, what, err);
        if (trouble != TROUBLE_BROKEN)
            break;
    }
    return -1;
}

/* @manifest: what the reference means, or what this machine's is found in. */
static int settle_manifest(struct pull *p, struct http *h, struct buf *manifest,
                           struct err *err)
{
    const char *wanted = p->registry.reference->digest;
    if (wanted[0] && check_blob(manifest, wanted, "the manifest", err) < 0)
        return -1;
    if (manifest_parse((const char *)buf_head(manifest), buf_len(manifest), &p->manifest, err) <
        0)
        return -1;
    if (!p->manifest.is_index)
        return 0;
    CLEANUP_MANIFEST struct manifest index = p->manifest;
    p->manifest = (struct manifest){0};
    const struct descriptor *chosen = manifest_choose(&index, err);
    if (!chosen ||
        get_small(p, h, "manifests", chosen, MANIFEST_BYTES_MAX, manifest, err) < 0 ||
        manifest_parse((const char *)buf_head(manifest), buf_len(manifest), &p->manifest, err) <
            0)
        return -1;
    return p->manifest.is_index ? err_set(err, ERR_INVALID_ARGUMENT, "an index in an index")
                                : 0;
}

static int settle_config(struct pull *p, struct http *h, struct buf *config, struct err *err)
{
    if (get_small(p, h, "blobs", &p->manifest.config, CONFIG_BYTES_MAX, config, err) < 0 ||
        image_config_parse((const char *)buf_head(config), buf_len(config), &p->config, err) <
            0)
        return -1;
    if (p->manifest.n_entries != p->config.n_diff_ids)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "its manifest has %zu layers and its config %zu", p->manifest.n_entries,
                       p->config.n_diff_ids);
    return 0;
}

/* --- Layers --- */

struct download {
    struct pull *pull;
    int fd; /* of the store's partial/ */
    uint64_t n_bytes;
    struct hash hash;
    bool grew; /* since the last try */
};

static int start_over(struct download *d, struct err *err)
{
    atomic_fetch_sub(&d->pull->progress->n_bytes, d->n_bytes);
    d->n_bytes = 0;
    hash_done(&d->hash);
    if (ftruncate(d->fd, 0) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "begin a layer anew");
    return hash_init(&d->hash, err);
}

static int on_data(void *context, const void *data, size_t n, bool restarted, struct err *err)
{
    struct download *d = context;
    if (restarted && start_over(d, err) < 0)
        return -1;
    ssize_t written = pwrite(d->fd, data, n, (off_t)d->n_bytes);
    if (written != (ssize_t)n) {
        int failed = written < 0 ? errno : ENOSPC;
        return err_set_errno(err, failed == ENOSPC ? ERR_RESOURCE_EXHAUSTED : ERR_INTERNAL,
                             failed, "write to the store");
    }
    hash_add(&d->hash, data, n);
    d->n_bytes += n;
    d->grew = true;
    atomic_fetch_add(&d->pull->progress->n_bytes, n);
    return 0;
}

/* What an earlier pull left counts; more than there should be does not. */
static int take_up(struct download *d, uint64_t size, struct err *err)
{
    struct stat st;
    struct file_source from;
    uint8_t bytes[65536];
    ssize_t got;
    if (fstat(d->fd, &st) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "look at a layer");
    if ((uint64_t)st.st_size > size)
        return start_over(d, err);
    file_source_init(&from, d->fd, 0, (uint64_t)st.st_size);
    while ((got = from.source.read(&from.source, bytes, sizeof(bytes), err)) > 0) {
        hash_add(&d->hash, bytes, (size_t)got);
        d->n_bytes += (uint64_t)got;
    }
    atomic_fetch_add(&d->pull->progress->n_bytes, d->n_bytes);
    return (int)got;
}

/* Until all is there, or several tries in a row brought nothing. */
static int receive(struct download *d, struct http *h, const struct descriptor *layer,
                   struct err *err)
{
    char version[8 + DIGEST_HEX];
    (void)snprintf(version, sizeof(version), "sha256:%s", layer->hex);
    for (unsigned n = 0; d->n_bytes < layer->size_bytes;) {
        struct registry_get g = {.what = "blobs",
                                 .version = version,
                                 .offset = d->n_bytes,
                                 .max_bytes = layer->size_bytes,
                                 .on_data = on_data,
                                 .context = d};
        enum registry_trouble trouble;
        err_done(err);
        d->grew = false;
        if (registry_get(&d->pull->registry, h, &g, NULL, &trouble, err) == 0 &&
            d->n_bytes >= layer->size_bytes)
            return 0;
        if (err->code == ERR_OK)
            return err_set(
                err, ERR_DATA_LOSS, "the registry has %llu bytes of it, and %llu were promised",
                (unsigned long long)d->n_bytes, (unsigned long long)layer->size_bytes);
        n = d->grew ? 1 : n + 1;
        if (trouble != TROUBLE_BROKEN || !registry_wait(n))
            return -1;
    }
    return 0;
}

static int download(struct download *d, struct http *h, const struct descriptor *layer,
                    struct err *err)
{
    char hex[DIGEST_HEX + 1];
    if (hash_init(&d->hash, err) < 0 || take_up(d, layer->size_bytes, err) < 0)
        return -1;
    bool taken_up = d->n_bytes > 0;
    if (receive(d, h, layer, err) < 0)
        return -1;
    hash_end(&d->hash, hex);
    if (strcmp(hex, layer->hex) == 0)
        return 0;
    if (start_over(d, err) < 0)
        return -1;
    if (taken_up) { /* what was there may have been wrong */
        hash_done(&d->hash);
        return download(d, h, layer, err);
    }
    return err_set(err, ERR_DATA_LOSS, "its digest is sha256:%s, and sha256:%s was promised",
                   hex, layer->hex);
}

static int fill_layer(struct pull *p, struct http *h, struct layer_work *w,
                      const struct descriptor *layer, struct err *err)
{
    CLEANUP_FD int fd = store_open_partial(p->store, layer->hex, err);
    struct download d = {.pull = p, .fd = fd};
    struct file_source from;
    if (fd < 0)
        return -1;
    int r = download(&d, h, layer, err);
    hash_done(&d.hash);
    if (r < 0)
        return -1;
    file_source_init(&from, fd, 0, layer->size_bytes);
    r = layer_fill(w, &from.source, ADD_BYTES_MAX, err);
    store_remove_partial(p->store,
                         layer->hex); /* also of what is refused: it will not get better */
    return r;
}

static int add_layer(struct pull *p, struct http *h, size_t i, struct err *err)
{
    CLEANUP_LAYER struct layer_work w = LAYER_WORK_NONE;
    const struct descriptor *layer = &p->manifest.entries[i];
    if (layer->size_bytes > PACKED_BYTES_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "layer %s is larger than %llu bytes",
                       layer->hex, (unsigned long long)PACKED_BYTES_MAX);
    int r = layer_begin(p->store, p->config.diff_ids[i], &w, err);
    if (r == 0)
        atomic_fetch_add(&p->progress->n_bytes, layer->size_bytes);
    else if (r > 0)
        r = fill_layer(p, h, &w, layer, err);
    if (r < 0)
        return err_wrap(err, "layer %.12s", layer->hex);
    atomic_fetch_add(&p->progress->n_layers, 1);
    return 0;
}

/* The next layer nobody has taken; SIZE_MAX when there is none, or something failed. */
static size_t take_layer(struct pull *p)
{
    (void)pthread_mutex_lock(&p->lock);
    size_t i = p->failed || p->next == p->manifest.n_entries ? SIZE_MAX : p->next++;
    (void)pthread_mutex_unlock(&p->lock);
    return i;
}

static void *layer_thread(void *data)
{
    struct pull *p = data;
    CLEANUP_ERR struct err err = {0};
    CLEANUP(cleanup_http) struct http *h = http_new(&err);
    int r = h ? 0 : -1;
    for (size_t i; r == 0 && (i = take_layer(p)) != SIZE_MAX;)
        r = add_layer(p, h, i, &err);
    (void)pthread_mutex_lock(&p->lock);
    if (r < 0 && !p->failed) {
        p->failed = true;
        err_move(&p->err, &err);
    }
    (void)pthread_mutex_unlock(&p->lock);
    return NULL;
}

static int add_layers(struct pull *p, struct err *err)
{
    pthread_t threads[PULL_THREADS_MAX];
    size_t n = 0;
    while (n < MIN((size_t)PULL_THREADS_MAX, p->manifest.n_entries) &&
           pthread_create(&threads[n], NULL, layer_thread, p) == 0)
        n++;
    if (n == 0)
        (void)layer_thread(p); /* no thread is to be had: one after another, then */
    for (size_t i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    if (!p->failed)
        return 0;
    err_move(err, &p->err);
    return -1;
}

static int pull(struct pull *p, struct err *err)
{
    CLEANUP(cleanup_http) struct http *h = http_new(err);
    CLEANUP_BUF struct buf manifest = {0}, config = {0};
    if (!h || registry_find(&p->registry, h, &manifest, err) < 0 ||
        settle_manifest(p, h, &manifest, err) < 0 || settle_config(p, h, &config, err) < 0)
        return -1;
    uint64_t total = 0;
    for (size_t i = 0; i < p->manifest.n_entries; i++)
        total += MIN(p->manifest.entries[i].size_bytes, PACKED_BYTES_MAX);
    atomic_store(&p->progress->total_bytes, total);
    atomic_store(&p->progress->total_layers, (unsigned)p->manifest.n_entries);
    CLEANUP_FREE char *reference = reference_format(p->registry.reference);
    if (!reference)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    struct image_parts parts = {(const char *)buf_head(&manifest),
                                (const char *)buf_head(&config), buf_len(&manifest),
                                buf_len(&config), reference};
    return add_layers(p, err) < 0 ? -1 : image_publish(p->store, &parts, err);
}

int pull_image(const struct store *s, const struct registries *settings,
               const struct reference *reference, struct pull_progress *progress,
               struct err *err)
{
    struct pull p = {.store = s, .progress = progress};
    registry_init(&p.registry, settings, reference);
    (void)pthread_mutex_init(&p.lock, NULL);
    int r = pull(&p, err);
    (void)pthread_mutex_destroy(&p.lock);
    registry_done(&p.registry);
    manifest_done(&p.manifest);
    image_config_done(&p.config);
    return r;
}
