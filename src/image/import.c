/* See import.h. */
#include "image/import.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "image/add.h"
#include "image/archive.h"
#include "image/json.h"
#include "image/pack.h"
#include "image/reference.h"

struct importer {
    const struct store *store;
    const struct import_args *args;
    struct archive archive;
    void (*on_image)(void *context, const char *reference);
    void *context;
};

static int publish(struct importer *im, const struct image_parts *parts, struct err *err)
{
    if (image_publish(im->store, parts, err) < 0)
        return -1;
    im->on_image(im->context, parts->reference);
    return 0;
}

/* --- Archives of images --- */

/* The layer @member of the archive, compared with the digest it was promised by, if it was. */
static int add_layer(struct importer *im, const char *diff_id, const char *member,
                     const char *digest, struct err *err)
{
    CLEANUP_LAYER struct layer_work w = LAYER_WORK_NONE;
    CLEANUP_FD int fd = -1;
    CLEANUP(hash_source_done) struct hash_source packed = {0};
    struct file_source file;
    char hex[DIGEST_HEX + 1];
    int r = layer_begin(im->store, diff_id, &w, err);
    if (r <= 0)
        return r;
    if (archive_member(&im->archive, member, &file, &fd, err) < 0 ||
        hash_source_init(&packed, &file.source, UINT64_MAX, err) < 0)
        return -1;
    if (layer_fill(&w, &packed.source, ADD_BYTES_MAX, err) < 0 ||
        hash_source_end(&packed, hex, err) < 0)
        return err_wrap(err, "layer `%s`", member);
    if (digest &&
        strcmp(hex, digest) != 0) /* its content is what the config promises all the same */
        return err_set(err, ERR_DATA_LOSS, "layer `%s`: its digest is sha256:%s", member, hex);
    return 0;
}

static int read_blob(struct importer *im, const char *hex, size_t max, char **ret,
                     size_t *ret_n, struct err *err)
{
    char found[DIGEST_HEX + 1];
    CLEANUP_FREE char *name = str_dup_printf("blobs/sha256/%s", hex);
    CLEANUP_FREE char *text = NULL;
    if (!name)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (archive_text(&im->archive, name, max, &text, ret_n, err) < 0 ||
        hash_bytes(text, *ret_n, found, err) < 0)
        return -1;
    if (strcmp(found, hex) != 0)
        return err_set(err, ERR_DATA_LOSS, "`%s`: its digest is sha256:%s", name, found);
    *ret = TAKE_PTR(text);
    return 0;
}

static int add_oci_layers(struct importer *im, const struct manifest *m, const struct config *c,
                          struct err *err)
{
    if (m->n_entries != c->n_diff_ids)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "its manifest has %zu layers and its config %zu", m->n_entries,
                       c->n_diff_ids);
    for (size_t i = 0; i < m->n_entries; i++) {
        CLEANUP_FREE char *member = str_dup_printf("blobs/sha256/%s", m->entries[i].hex);
        if (!member)
            return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
        if (add_layer(im, c->diff_ids[i], member, m->entries[i].hex, err) < 0)
            return -1;
    }
    return 0;
}

/* @hex is a manifest, or an index in which this machine's is looked for, once. */
static int add_oci_image(struct importer *im, const char *hex, const char *reference,
                         struct err *err)
{
    CLEANUP_FREE char *manifest = NULL, *config = NULL;
    CLEANUP_MANIFEST struct manifest m = {0};
    CLEANUP_CONFIG struct config c = {0};
    size_t n_manifest, n_config;
    if (read_blob(im, hex, MANIFEST_BYTES_MAX, &manifest, &n_manifest, err) < 0 ||
        manifest_parse(manifest, n_manifest, &m, err) < 0)
        return -1;
    if (m.is_index) {
        const struct descriptor *chosen = manifest_choose(&m, err);
        char of_machine[DIGEST_HEX + 1];
        if (!chosen)
            return -1;
        memcpy(of_machine, chosen->hex, sizeof(of_machine));
        manifest_done(&m);
        free(TAKE_PTR(manifest));
        if (read_blob(im, of_machine, MANIFEST_BYTES_MAX, &manifest, &n_manifest, err) < 0 ||
            manifest_parse(manifest, n_manifest, &m, err) < 0)
            return -1;
        if (m.is_index)
            return err_set(err, ERR_INVALID_ARGUMENT, "an index in an index");
    }
    if (read_blob(im, m.config.hex, CONFIG_BYTES_MAX, &config, &n_config, err) < 0 ||
        image_config_parse(config, n_config, &c, err) < 0 ||
        add_oci_layers(im, &m, &c, err) < 0)
        return -1;
    struct image_parts parts = {manifest, config, n_manifest, n_config, reference};
    return publish(im, &parts, err);
}

/* The one way to write a name that an archive has; NULL when it has none that is one ("latest" alone, as skopeo writes). */
static char *name_of(const char *text)
{
    CLEANUP_REFERENCE struct reference r = {0};
    return text && strpbrk(text, "/:") && reference_parse_tagged(text, &r, NULL) == 0
               ? reference_format(&r)
               : NULL;
}

static int no_name(struct err *err)
{
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "the archive names no image: say which name it gets");
}

static int import_oci(struct importer *im, struct err *err)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_MANIFEST struct manifest index = {0};
    size_t n;
    if (archive_text(&im->archive, "index.json", MANIFEST_BYTES_MAX, &text, &n, err) < 0 ||
        manifest_parse(text, n, &index, err) < 0)
        return -1;
    if (!index.is_index || index.n_entries == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "the index of the layout has no images");
    const char *wanted = im->args->reference;
    if (wanted && index.n_entries >
                      1) { /* one image, for several machines, without an index of its own */
        const struct descriptor *chosen = manifest_choose(&index, err);
        return chosen ? add_oci_image(im, chosen->hex, wanted, err) : -1;
    }
    for (size_t i = 0; i < index.n_entries; i++) {
        CLEANUP_FREE char *name = wanted ? strdup(wanted) : name_of(index.entries[i].name);
        if (!name)
            return no_name(err);
        if (add_oci_image(im, index.entries[i].hex, name, err) < 0)
            return err_wrap(err, "%s", name);
    }
    return 0;
}

/* Layers under the names of the archive. @sizes: of their files in it. */
static int add_docker_layers(struct importer *im, const json_t *layers, const struct config *c,
                             uint64_t *sizes, struct err *err)
{
    if (json_array_size(layers) != c->n_diff_ids)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "manifest.json has %zu layers and the config %zu",
                       json_array_size(layers), c->n_diff_ids);
    for (size_t i = 0; i < c->n_diff_ids; i++) {
        CLEANUP_FD int fd = -1;
        struct file_source file;
        const char *member = json_string_value(json_array_get(layers, i));
        if (!member)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "manifest.json has a layer without a name");
        if (add_layer(im, c->diff_ids[i], member, NULL, err) < 0)
            return -1;
        /* A layer that is there already may be a link to the first of them, as Docker before 25 wrote. */
        if (archive_member(&im->archive, member, &file, &fd, NULL) == 0)
            sizes[i] = file.end - file.offset;
    }
    return 0;
}

/* One image of `docker save`'s manifest.json. Its manifest is made here: the archive has none. */
static int add_docker_image(struct importer *im, const json_t *j, const char *reference,
                            struct err *err)
{
    CLEANUP_FREE char *config = NULL;
    CLEANUP_CONFIG struct config c = {0};
    const char *config_name;
    json_t *layers;
    size_t n_config;
    if (json_member_text(j, "Config", &config_name, err) < 0 ||
        json_member(j, "Layers", JSON_ARRAY, &layers, err) < 0)
        return -1;
    if (!config_name || !layers)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "manifest.json has an image without config or layers");
    if (archive_text(&im->archive, config_name, CONFIG_BYTES_MAX, &config, &n_config, err) <
            0 ||
        image_config_parse(config, n_config, &c, err) < 0)
        return -1;
    CLEANUP_FREE uint64_t *sizes = calloc(c.n_diff_ids, sizeof(*sizes));
    if (!sizes)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    if (add_docker_layers(im, layers, &c, sizes, err) < 0)
        return -1;
    CLEANUP_FREE char *manifest = image_manifest(
        config, n_config, (const diff_id_text *)c.diff_ids, sizes, c.n_diff_ids, err);
    if (!manifest)
        return -1;
    struct image_parts parts = {manifest, config, strlen(manifest), n_config, reference};
    return publish(im, &parts, err);
}

/* Under the wanted name, or under each that the archive gives it. */
static int name_docker_image(struct importer *im, const json_t *j, struct err *err)
{
    json_t *tags;
    size_t n_named = 0;
    if (!json_is_object(j))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "manifest.json has an image that is no object");
    if (im->args->reference)
        return add_docker_image(im, j, im->args->reference, err);
    if (json_member(j, "RepoTags", JSON_ARRAY, &tags, err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(tags); i++) {
        CLEANUP_FREE char *name = name_of(json_string_value(json_array_get(tags, i)));
        if (!name)
            continue;
        if (add_docker_image(im, j, name, err) < 0)
            return err_wrap(err, "%s", name);
        n_named++;
    }
    return n_named > 0 ? 0 : no_name(err);
}

static int import_docker(struct importer *im, struct err *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t n;
    json_error_t why;
    if (archive_text(&im->archive, "manifest.json", MANIFEST_BYTES_MAX, &text, &n, err) < 0)
        return -1;
    CLEANUP_JSON json_t *images = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_array(images) || json_array_size(images) == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "manifest.json is no list of images");
    if (im->args->reference && json_array_size(images) > 1)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "the archive has %zu images: they cannot all get one name",
                       json_array_size(images));
    for (size_t i = 0; i < json_array_size(images); i++)
        if (name_docker_image(im, json_array_get(images, i), err) < 0)
            return -1;
    return 0;
}

/* --- Plain root file systems --- */

/* A directory is packed by a thread into a pipe, out of which it is unpacked: one way for all that comes in. */
struct pack_job {
    int dir, out;
    struct tar_written written;
    int failed;
    struct err err;
};

static void *pack_thread(void *data)
{
    struct pack_job *job = data;
    job->failed = pack(&job->dir, 1, PACK_TREE, job->out, &job->written, &job->err);
    cleanup_fd(&job->out);
    return NULL;
}

static int fill_from_directory(struct layer_work *w, int dir, uint64_t *ret_tar_bytes,
                               struct err *err)
{
    int ends[2];
    pthread_t thread;
    struct stream_source from;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "make a pipe");
    struct pack_job job = {.dir = dir, .out = ends[1]};
    if (pthread_create(&thread, NULL, pack_thread, &job) != 0) {
        (void)close(ends[0]);
        (void)close(ends[1]);
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "no thread to be had");
    }
    stream_source_init(&from, ends[0]);
    int r = layer_fill(w, &from.source, ADD_BYTES_MAX, err);
    (void)close(ends[0]); /* who still writes ends with EPIPE */
    (void)pthread_join(thread, NULL);
    if (job.failed && (r == 0 || job.err.code != ERR_UNAVAILABLE)) { /* the first cause */
        err_done(err);
        err_move(err, &job.err);
        r = -1;
    }
    err_done(&job.err);
    *ret_tar_bytes = job.written.n_bytes;
    return r;
}

static int fill_from_tar(struct layer_work *w, const struct archive *a, uint64_t *ret_tar_bytes,
                         struct err *err)
{
    struct stat st;
    struct file_source from;
    if (fstat(a->fd, &st) < 0)
        return err_set_errno(err, ERR_INTERNAL, errno, "look at the input");
    file_source_init(&from, a->fd, 0, (uint64_t)st.st_size);
    *ret_tar_bytes = (uint64_t)st.st_size;
    return layer_fill(w, &from.source, ADD_BYTES_MAX, err);
}

static int import_rootfs(struct importer *im, struct err *err)
{
    CLEANUP_LAYER struct layer_work w = LAYER_WORK_NONE;
    uint64_t tar_bytes = 0;
    if (!im->args->reference)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "a root file system has no name: say which it gets");
    if (layer_begin(im->store, NULL, &w, err) < 0)
        return -1;
    int r = im->archive.is_directory ? fill_from_directory(&w, im->archive.fd, &tar_bytes, err)
                                     : fill_from_tar(&w, &im->archive, &tar_bytes, err);
    if (r < 0)
        return -1;
    const diff_id_text *ids = (const diff_id_text *)&w.diff_id;
    CLEANUP_FREE char *config = image_config(ids, 1, NULL, err);
    CLEANUP_FREE char *manifest =
        config ? image_manifest(config, strlen(config), ids, &tar_bytes, 1, err) : NULL;
    if (!manifest)
        return -1;
    struct image_parts parts = {manifest, config, strlen(manifest), strlen(config),
                                im->args->reference};
    return publish(im, &parts, err);
}

static bool has(const struct archive *a, const char *name)
{
    CLEANUP_FD int fd = -1;
    struct file_source unused;
    return archive_member(a, name, &unused, &fd, NULL) == 0;
}

int import_image(const struct store *s, const struct import_args *args,
                 void (*on_image)(void *context, const char *reference), void *context,
                 struct err *err)
{
    CLEANUP_ARCHIVE struct archive archive = {.fd = -1};
    if (archive_open(&archive, args->input, s->fd, ADD_BYTES_MAX, err) < 0)
        return -1;
    struct importer im = {s, args, archive, on_image, context};
    if (args->as == IMPORT_AUTO && has(&archive, "manifest.json") && !archive.is_directory)
        return import_docker(&im, err);
    if (args->as == IMPORT_AUTO && has(&archive, "oci-layout") && has(&archive, "index.json"))
        return import_oci(&im, err);
    return import_rootfs(&im, err);
}
