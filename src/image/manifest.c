/* See manifest.h. */
#include "image/manifest.h"

#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "image/json.h"

#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#error "name this architecture as Go does"
#endif

const char *manifest_platform(void)
{
    return "linux/" ARCHITECTURE;
}

static void descriptor_done(struct descriptor *d)
{
    free(d->platform);
    free(d->name);
}

void manifest_done(struct manifest *m)
{
    descriptor_done(&m->config);
    for (size_t i = 0; i < m->n_entries; i++)
        descriptor_done(&m->entries[i]);
    free(m->entries);
    *m = (struct manifest){0};
}

/* arm64's only variant is v8, which many leave out. */
static int parse_platform(const json_t *j, struct descriptor *d, struct err *err)
{
    json_t *platform;
    const char *os, *architecture, *variant;
    if (json_member(j, "platform", JSON_OBJECT, &platform, err) < 0)
        return -1;
    if (platform == NULL)
        return 0;
    if (json_member_text(platform, "os", &os, err) < 0 ||
        json_member_text(platform, "architecture", &architecture, err) < 0 ||
        json_member_text(platform, "variant", &variant, err) < 0)
        return -1;
    if (os == NULL || architecture == NULL)
        return 0;
    bool plain = variant == NULL || variant[0] == '\0' ||
                 (strcmp(architecture, "arm64") == 0 && strcmp(variant, "v8") == 0);
    d->platform = str_dup_printf("%.40s/%.40s%s%.40s", os, architecture, plain ? "" : "/",
                                 plain ? "" : variant);
    return d->platform ? 0 : err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

static int parse_name(const json_t *j, struct descriptor *d, struct err *err)
{
    json_t *annotations;
    const char *name = NULL;
    if (json_member(j, "annotations", JSON_OBJECT, &annotations, err) < 0 ||
        (annotations &&
         json_member_text(annotations, "org.opencontainers.image.ref.name", &name, err) < 0))
        return -1;
    if (name && (d->name = strdup(name)) == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    return 0;
}

static int parse_descriptor(const json_t *j, struct descriptor *d, struct err *err)
{
    const char *digest, *media;
    if (!json_is_object(j))
        return err_set(err, ERR_INVALID_ARGUMENT, "a descriptor is no object");
    if (json_member_text(j, "digest", &digest, err) < 0 ||
        json_member_text(j, "mediaType", &media, err) < 0 ||
        json_member_size(j, "size", &d->size_bytes, err) < 0)
        return -1;
    if (digest == NULL)
        return err_set(err, ERR_INVALID_ARGUMENT, "a descriptor has no digest");
    if (media && (strstr(media, "foreign") || strstr(media, "nondistributable")))
        return err_set(err, ERR_UNIMPLEMENTED, "layer `%.100s` is kept elsewhere (%.100s)",
                       digest, media);
    if (media && strstr(media, "+encrypted"))
        return err_set(err, ERR_UNIMPLEMENTED, "layer `%.100s` is encrypted", digest);
    return digest_parse(digest, d->hex, err);
}

static int parse_entries(const json_t *array, size_t max, struct manifest *m, struct err *err)
{
    size_t n = json_array_size(array);
    if (n > max)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "it has %zu %s, more than %zu", n,
                       m->is_index ? "manifests" : "layers", max);
    m->entries = calloc(n + 1, sizeof(*m->entries));
    if (m->entries == NULL)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const json_t *j = json_array_get(array, i);
        struct descriptor *d = &m->entries[m->n_entries++];
        if (parse_descriptor(j, d, err) < 0)
            return -1;
        if (m->is_index && (parse_platform(j, d, err) < 0 || parse_name(j, d, err) < 0))
            return -1;
    }
    return 0;
}

/* Charts, signatures and other things live in registries under the same kind of manifest. */
static int check_config_type(const json_t *config, struct err *err)
{
    const char *media;
    if (json_member_text(config, "mediaType", &media, err) < 0)
        return -1;
    if (media && strcmp(media, MEDIA_OCI_CONFIG) != 0 &&
        strcmp(media, MEDIA_DOCKER_CONFIG) != 0)
        return err_set(err, ERR_UNIMPLEMENTED, "it is no image of a container but `%.100s`",
                       media);
    return 0;
}

static int parse_members(const json_t *j, struct manifest *m, struct err *err)
{
    json_t *layers, *manifests, *config, *version;
    if (json_member(j, "layers", JSON_ARRAY, &layers, err) < 0 ||
        json_member(j, "manifests", JSON_ARRAY, &manifests, err) < 0 ||
        json_member(j, "config", JSON_OBJECT, &config, err) < 0 ||
        json_member(j, "schemaVersion", JSON_INTEGER, &version, err) < 0)
        return -1;
    if (version && json_integer_value(version) == 1)
        return err_set(err, ERR_UNIMPLEMENTED,
                       "its manifest is of schema version 1, which was given up in 2017: push "
                       "it again with a newer program");
    if (!version || json_integer_value(version) != 2)
        return err_set(err, ERR_INVALID_ARGUMENT, "its manifest has no schemaVersion 2");
    if ((manifests != NULL) == (layers != NULL))
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "its manifest has layers and manifests, or neither");
    if (manifests) {
        m->is_index = true;
        return parse_entries(manifests, MANIFEST_ENTRIES_MAX, m, err);
    }
    if (!config)
        return err_set(err, ERR_INVALID_ARGUMENT, "its manifest has no config");
    if (check_config_type(config, err) < 0 || parse_descriptor(config, &m->config, err) < 0)
        return -1;
    return parse_entries(layers, MANIFEST_LAYERS_MAX, m, err);
}

int manifest_parse(const char *text, size_t n, struct manifest *ret, struct err *err)
{
    CLEANUP_MANIFEST struct manifest m = {0};
    CLEANUP_JSON json_t *j = json_parse(text, n, "its manifest", err);
    if (j == NULL || parse_members(j, &m, err) < 0)
        return -1;
    *ret = m;
    m = (struct manifest){0};
    return 0;
}

const struct descriptor *manifest_choose(const struct manifest *index, struct err *err)
{
    CLEANUP_BUF struct buf there = {0};
    for (size_t i = 0; i < index->n_entries; i++) {
        const char *platform = index->entries[i].platform;
        if (platform && strcmp(platform, manifest_platform()) == 0)
            return &index->entries[i];
        if (platform &&
            strcmp(platform, "unknown/unknown") != 0 && /* how attestations are filed */
            buf_printf(&there, "%s%s", buf_len(&there) ? ", " : "", platform) < 0)
            break; /* the message says less */
    }
    (void)err_set(err, ERR_NOT_FOUND, "it has nothing for %s, only for: %.*s",
                  manifest_platform(), (int)MIN(buf_len(&there), 400),
                  buf_len(&there) ? (const char *)buf_head(&there) : "");
    return NULL;
}
