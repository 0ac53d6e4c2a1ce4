/* See value.h. */
#include "image/value.h"

#include <string.h>

void value_done(struct image_value *v)
{
    store_ref_done(&v->ref);
    image_config_done(&v->config);
}

static int read_config(const struct store *s, struct image_value *v, struct err *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t n;
    if (store_get(s, STORE_CONFIG, v->ref.config, &text, &n, err) < 0 ||
        image_config_parse(text, n, &v->config, err) < 0)
        return err_set(err, ERR_DATA_LOSS, "`%s` is damaged in the store: %s", v->ref.reference,
                       err_text(err));
    return 0;
}

static int look_for_layers(const struct store *s, struct image_value *v, struct err *err)
{
    for (size_t i = 0; i < v->config.n_diff_ids; i++) {
        if (!store_has_layer(s, v->config.diff_ids[i]))
            return err_set(err, ERR_DATA_LOSS,
                           "`%s` is damaged in the store: layer %s is not there",
                           v->ref.reference, v->config.diff_ids[i]);
        v->size_bytes += store_layer_bytes(s, v->config.diff_ids[i]);
    }
    return 0;
}

int value_read(const struct store *s, const char *reference, struct image_value *ret,
               struct err *err)
{
    CLEANUP_VALUE struct image_value v = {0};
    if (store_get_ref(s, reference, &v.ref, err) < 0 || read_config(s, &v, err) < 0)
        return -1;
    *ret = v;
    v = (struct image_value){0};
    return 0;
}

int value_load(const struct store *s, const char *reference, struct image_value *ret,
               struct err *err)
{
    CLEANUP_VALUE struct image_value v = {0};
    if (value_read(s, reference, &v, err) < 0 || look_for_layers(s, &v, err) < 0)
        return -1;
    *ret = v;
    v = (struct image_value){0};
    return 0;
}

static json_t *words_json(const struct words *w)
{
    json_t *array = json_array();
    for (size_t i = 0; i < w->n; i++)
        (void)json_array_append_new(array, json_string(w->items[i])); /* parsed as UTF-8 */
    return array;
}

json_t *value_json(const struct image_value *v)
{
    const struct config *c = &v->config;
    json_t *layers = json_array();
    for (size_t i = 0; i < c->n_diff_ids; i++)
        (void)json_array_append_new(layers, json_string(c->diff_ids[i]));
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:i, s:o, s:I, s:I, s:I, s:s*}",
        "reference", v->ref.reference, "id", json_sprintf("sha256:%s", v->ref.config),
        "manifest", json_sprintf("sha256:%s", v->ref.manifest), "layers", layers, "env",
        words_json(&c->env), "entrypoint", words_json(&c->entrypoint), "cmd",
        words_json(&c->cmd), "user", c->user, "working_dir", c->working_dir, "stop_signal",
        c->stop_signal, "volumes", words_json(&c->volumes), "size", (json_int_t)v->size_bytes,
        "created_s", (json_int_t)v->ref.created_s, "used_s", (json_int_t)v->ref.used_s, "base",
        c->host ? CONFIG_BASE_HOST : NULL);
}
