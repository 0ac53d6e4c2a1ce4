/* See export.h. */
#include "image/export.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/util.h"
#include "image/add.h"
#include "image/json.h"
#include "image/pack.h"
#include "image/tree.h"
#include "image/value.h"

struct exporter {
    const struct store *store;
    struct image_value value;
    int dirs[MANIFEST_LAYERS_MAX];  /* of its layers, from the lowest */
    int files[MANIFEST_LAYERS_MAX]; /* nameless ones: layers that are packed */
    size_t n;
    diff_id_text *ids; /* of the packed layers */
    uint64_t *sizes;
    char *config, *manifest;
};

static void exporter_done(struct exporter *e)
{
    for (size_t i = 0; i < e->n; i++) {
        cleanup_fd(&e->dirs[i]);
        cleanup_fd(&e->files[i]);
    }
    value_done(&e->value);
    free(e->ids);
    free(e->sizes);
    free(e->config);
    free(e->manifest);
}

static int open_layers(struct exporter *e, struct err *err)
{
    for (; e->n < e->value.config.n_diff_ids; e->n++) {
        char name[8 + DIGEST_HEX];
        (void)snprintf(name, sizeof(name), "layers/%s", e->value.config.diff_ids[e->n]);
        int fd = tree_open(e->store->fd, name, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
            return err_set_errno(err, ERR_INTERNAL, -fd, "open layer %s",
                                 e->value.config.diff_ids[e->n]);
        e->dirs[e->n] = fd;
        e->files[e->n] = -1;
    }
    return 0;
}

/* Its size comes before its content in an archive, so it is packed into a file first. */
static int pack_layer(struct exporter *e, size_t i, struct err *err)
{
    struct tar_written written;
    e->files[i] = openat(e->store->fd, "tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (e->files[i] < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "make a file in the store");
    if (pack(&e->dirs[i], 1, PACK_LAYER, e->files[i], &written, err) < 0)
        return err_wrap(err, "layer %s", e->value.config.diff_ids[i]);
    memcpy(e->ids[i], written.hex, sizeof(written.hex));
    e->sizes[i] = written.n_bytes;
    return 0;
}

static int describe(struct exporter *e, struct err *err)
{
    CLEANUP_FREE char *base = NULL;
    size_t n;
    if (store_get(e->store, STORE_CONFIG, e->value.ref.config, &base, &n, err) < 0)
        return -1;
    e->config = image_config(e->ids, e->n, base, err);
    if (!e->config)
        return -1;
    e->manifest = image_manifest(e->config, strlen(e->config), e->ids, e->sizes, e->n, err);
    return e->manifest ? 0 : -1;
}

static int write_file(struct tar_writer *w, const char *name, json_t *take_json,
                      struct err *err)
{
    CLEANUP_JSON json_t *j = take_json;
    CLEANUP_FREE char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    return text ? tar_writer_file(w, name, text, strlen(text), err)
                : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

/* What OCI programs begin with, and what Docker does. */
static int write_indexes(struct exporter *e, struct tar_writer *w, const char *manifest,
                         const char *config, struct err *err)
{
    const char *reference = e->value.ref.reference;
    json_t *layers = json_array(), *tags = json_array();
    for (size_t i = 0; i < e->n; i++)
        (void)json_array_append_new(layers, json_sprintf("blobs/sha256/%s", e->ids[i]));
    if (!strchr(reference, '@'))
        (void)json_array_append_new(tags, json_string(reference));
    json_t *docker =
        json_pack("[{s:o, s:o, s:o}]", "Config", json_sprintf("blobs/sha256/%s", config),
                  "RepoTags", tags, "Layers", layers);
    json_t *index =
        json_pack("{s:i, s:s, s:[{s:s, s:o, s:I, s:{s:s}}]}", "schemaVersion", 2, "mediaType",
                  MEDIA_OCI_INDEX, "manifests", "mediaType", MEDIA_OCI_MANIFEST, "digest",
                  json_sprintf("sha256:%s", manifest), "size", (json_int_t)strlen(e->manifest),
                  "annotations", "org.opencontainers.image.ref.name", reference);
    json_t *layout = json_pack("{s:s}", "imageLayoutVersion", "1.0.0");
    int r = write_file(w, "oci-layout", layout, err);
    r = write_file(w, "index.json", index, r < 0 ? NULL : err) < 0 ? -1 : r;
    r = write_file(w, "manifest.json", docker, r < 0 ? NULL : err) < 0 ? -1 : r;
    return r;
}

static int write_text_blob(struct tar_writer *w, const char *hex, const char *text,
                           struct err *err)
{
    char name[16 + DIGEST_HEX];
    (void)snprintf(name, sizeof(name), "blobs/sha256/%s", hex);
    return tar_writer_file(w, name, text, strlen(text), err);
}

static int write_layer(struct exporter *e, struct tar_writer *w, size_t i, struct err *err)
{
    char name[16 + DIGEST_HEX];
    uint8_t bytes[65536];
    ssize_t got;
    struct file_source from;
    CLEANUP_BUF struct buf pax = {0};
    for (size_t k = 0; k < i; k++)
        if (strcmp(e->ids[k], e->ids[i]) == 0)
            return 0;
    (void)snprintf(name, sizeof(name), "blobs/sha256/%s", e->ids[i]);
    struct tar_out entry = {
        .type = '0', .path = name, .link = "", .mode_bits = 0644, .size = e->sizes[i]};
    if (tar_writer_entry(w, &entry, &pax, err) < 0)
        return -1;
    file_source_init(&from, e->files[i], 0, e->sizes[i]);
    while ((got = from.source.read(&from.source, bytes, sizeof(bytes), err)) > 0)
        if (tar_writer_put(w, bytes, (size_t)got, err) < 0)
            return -1;
    return got < 0 ? -1 : tar_writer_pad(w, err);
}

static int write_archive(struct exporter *e, struct tar_writer *w, struct err *err)
{
    char manifest[DIGEST_HEX + 1], config[DIGEST_HEX + 1];
    struct tar_written written;
    if (hash_bytes(e->manifest, strlen(e->manifest), manifest, err) < 0 ||
        hash_bytes(e->config, strlen(e->config), config, err) < 0 ||
        write_indexes(e, w, manifest, config, err) < 0 ||
        write_text_blob(w, manifest, e->manifest, err) < 0 ||
        write_text_blob(w, config, e->config, err) < 0)
        return -1;
    for (size_t i = 0; i < e->n; i++)
        if (write_layer(e, w, i, err) < 0)
            return -1;
    return tar_writer_end(w, &written, err);
}

static int export_archive(struct exporter *e, int out, struct err *err)
{
    e->ids = calloc(e->n, sizeof(*e->ids));
    e->sizes = calloc(e->n, sizeof(*e->sizes));
    struct tar_writer *w = malloc(sizeof(*w)); /* it holds a buffer */
    int r =
        !e->ids || !e->sizes || !w ? err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory") : 0;
    for (size_t i = 0; i < e->n && r == 0; i++)
        r = pack_layer(e, i, err);
    if (r == 0)
        r = describe(e, err);
    if (r == 0)
        r = tar_writer_init(w, out, err);
    if (r == 0) {
        r = write_archive(e, w, err);
        tar_writer_done(w);
    }
    free(w);
    return r;
}

int export_image(const struct store *s, const char *reference, enum export_as as, int out,
                 struct err *err)
{
    CLEANUP(exporter_done) struct exporter e = {.store = s};
    struct tar_written written;
    if (value_load(s, reference, &e.value, err) < 0 || open_layers(&e, err) < 0)
        return -1;
    if (as == EXPORT_ROOTFS && e.value.config.host)
        return err_set(err, ERR_FAILED_PRECONDITION,
                       "export `%s`: it stands on the machine's own files, and is no root file "
                       "system without them",
                       reference);
    return as == EXPORT_ROOTFS ? pack(e.dirs, e.n, PACK_TREE, out, &written, err)
                               : export_archive(&e, out, err);
}
