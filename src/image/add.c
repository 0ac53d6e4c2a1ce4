/* See add.h. */
#include "image/add.h"

#include <string.h>

#include "base/util.h"
#include "image/json.h"

int image_publish(const struct store *s, const struct image_parts *parts, struct err *err)
{
    char manifest[DIGEST_HEX + 1], config[DIGEST_HEX + 1];
    if (hash_bytes(parts->manifest, parts->n_manifest, manifest, err) < 0 ||
        hash_bytes(parts->config, parts->n_config, config, err) < 0 ||
        store_put(s, STORE_CONFIG, config, parts->config, parts->n_config, err) < 0 ||
        store_put(s, STORE_MANIFEST, manifest, parts->manifest, parts->n_manifest, err) < 0)
        return -1;
    return store_put_ref(s, parts->reference, manifest, config, err);
}

static json_t *make_rootfs(const diff_id_text *diff_ids, size_t n)
{
    json_t *ids = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(
            ids,
            json_sprintf("sha256:%s", diff_ids[i])); /* short of memory: seen by the digest */
    return json_pack("{s:s, s:o}", "type", "layers", "diff_ids", ids);
}

char *image_config(const diff_id_text *diff_ids, size_t n, const char *base, struct err *err)
{
    CLEANUP_JSON json_t *j =
        base ? json_parse(base, strlen(base), "its config", err) : json_object();
    const char *architecture = strchr(manifest_platform(), '/') + 1;
    if (!j)
        return NULL;
    (void)json_object_del(j, "history"); /* it tells of layers that are no longer the same */
    char *text =
        json_object_set_new(j, "os", json_string("linux")) < 0 ||
                json_object_set_new(j, "architecture", json_string(architecture)) < 0 ||
                json_object_set_new(j, "rootfs", make_rootfs(diff_ids, n)) < 0
            ? NULL
            : json_dumps(j, JSON_COMPACT);
    if (!text)
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    return text;
}

char *image_manifest(const char *config, size_t n_config, const diff_id_text *diff_ids,
                     const uint64_t *sizes_bytes, size_t n, struct err *err)
{
    char hex[DIGEST_HEX + 1];
    if (hash_bytes(config, n_config, hex, err) < 0)
        return NULL;
    json_t *layers = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(layers,
                                    json_pack("{s:s, s:o, s:I}", "mediaType", MEDIA_OCI_LAYER,
                                              "digest", json_sprintf("sha256:%s", diff_ids[i]),
                                              "size", (json_int_t)sizes_bytes[i]));
    CLEANUP_JSON json_t *j = json_pack(
        "{s:i, s:s, s:{s:s, s:o, s:I}, s:o}", "schemaVersion", 2, "mediaType",
        MEDIA_OCI_MANIFEST, "config", "mediaType", MEDIA_OCI_CONFIG, "digest",
        json_sprintf("sha256:%s", hex), "size", (json_int_t)n_config, "layers", layers);
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    if (!text)
        (void)err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
    return text;
}
