/* See commit.h. */
#include "image/commit.h"

#include <string.h>

#include "base/util.h"
#include "image/add.h"
#include "image/json.h"

#define HOST_CONFIG "{\"" CONFIG_BASE "\": \"" CONFIG_BASE_HOST "\"}"

/* The config that the new one is like; *ret is empty for the machine's own root. */
static char *read_parent(const struct store *s, const char *parent, struct config *ret,
                         struct err *err)
{
    char *text = NULL;
    size_t n;
    if (parent[0] == '\0')
        return strdup(HOST_CONFIG);
    if (store_get(s, STORE_CONFIG, parent, &text, &n, err) < 0 ||
        image_config_parse(text, n, ret, err) < 0) {
        free(text);
        (void)err_wrap(err, "the image that the sandbox is of");
        return NULL;
    }
    return text;
}

/* Of a variable only the last setting stays, where it was or at the end. */
static int set_variable(json_t *env, const char *word)
{
    size_t n = (size_t)(strchr(word, '=') - word) + 1;
    for (size_t i = json_array_size(env); i > 0; i--) {
        const char *old = json_string_value(json_array_get(env, i - 1));
        if (old && strncmp(old, word, n) == 0)
            (void)json_array_remove(env, i - 1); /* the index is there */
    }
    return json_array_append_new(env, json_string(word));
}

/* The object of @key, made where it is missing. */
static json_t *member(json_t *j, const char *key, json_t *(*make)(void))
{
    json_t *there = json_object_get(j, key);
    if (json_is_object(there) || json_is_array(there))
        return there;
    return json_object_set_new(j, key, make()) < 0 ? NULL : json_object_get(j, key);
}

/* @base with the changes: heap, or NULL with @err. */
static char *change(const char *base, const char *changes, struct err *err)
{
    CLEANUP_JSON json_t *j = json_parse(base, strlen(base), "its config", err);
    json_t *start = j ? member(j, "config", json_object) : NULL;
    int r = start ? 0 : -1;
    for (const char *word = changes; r == 0 && *word; word += strlen(word) + 1) {
        if (word[0] == '=') {
            r = json_object_set_new(start, "WorkingDir", json_string(word + 1));
        } else {
            json_t *env = member(start, "Env", json_array);
            r = env && strchr(word, '=') ? set_variable(env, word) : -1;
        }
    }
    char *text = r == 0 ? json_dumps(j, JSON_COMPACT) : NULL;
    if (!text &&
        (!err || err->code == ERR_OK)) /* what is no UTF-8 is no text of a config, either */
        (void)err_set(err, ERR_INVALID_ARGUMENT,
                      "what the image is to say cannot be in a config");
    return text;
}

static int publish(const struct store *s, const struct commit_args *args, const char *base,
                   const diff_id_text *ids, size_t n, struct err *err)
{
    uint64_t sizes[MANIFEST_LAYERS_MAX];
    for (size_t i = 0; i < n; i++)
        sizes[i] = store_layer_bytes(s, ids[i]);
    CLEANUP_FREE char *changed = change(base, args->changes, err);
    CLEANUP_FREE char *config = changed ? image_config(ids, n, changed, err) : NULL;
    CLEANUP_FREE char *manifest =
        config ? image_manifest(config, strlen(config), ids, sizes, n, err) : NULL;
    if (!manifest)
        return -1;
    struct image_parts parts = {manifest, config, strlen(manifest), strlen(config),
                                args->reference};
    return image_publish(s, &parts, err);
}

int commit_image(const struct store *s, const struct commit_args *args,
                 char ret_id[static DIGEST_HEX + 1], struct err *err)
{
    CLEANUP_CONFIG struct config parent = {0};
    CLEANUP_LAYER struct layer_work w = LAYER_WORK_NONE;
    struct store_ref ref;
    struct stream_source from;
    diff_id_text ids[MANIFEST_LAYERS_MAX];
    CLEANUP_FREE char *base = read_parent(s, args->parent, &parent, err);
    size_t n = parent.n_diff_ids;
    if (!base)
        return -1;
    if (n == MANIFEST_LAYERS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "the image has %zu layers already", n);
    if (n > 0)
        memcpy(ids, parent.diff_ids, n * sizeof(ids[0]));
    stream_source_init(&from, args->input);
    if (layer_begin(s, NULL, &w, err) < 0)
        return -1;
    w.whole = true;
    if (layer_fill(&w, &from.source, args->max_bytes, err) < 0)
        return -1;
    memcpy(ids[n++], w.diff_id, sizeof(ids[0]));
    if (publish(s, args, base, (const diff_id_text *)ids, n, err) < 0 ||
        store_get_ref(s, args->reference, &ref, err) < 0)
        return -1;
    memcpy(ret_id, ref.config, DIGEST_HEX + 1);
    store_ref_done(&ref);
    return 0;
}
