/* See config.h. */
#include "image/config.h"

#include <signal.h>
#include <string.h>

#include "base/util.h"
#include "image/json.h"

void image_config_done(struct config *c)
{
    str_free_all(c->env.items, c->env.n);
    str_free_all(c->entrypoint.items, c->entrypoint.n);
    str_free_all(c->cmd.items, c->cmd.n);
    str_free_all(c->volumes.items, c->volumes.n);
    free(c->diff_ids);
    free(c->user);
    free(c->working_dir);
    *c = (struct config){0};
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_RESOURCE_EXHAUSTED, "out of memory");
}

static int add_word(struct words *w, const char *text, struct err *err)
{
    w->items[w->n] = strdup(text);
    if (w->items[w->n] == NULL)
        return no_memory(err);
    w->n++;
    return 0;
}

static int reserve(struct words *w, size_t n, const char *key, struct err *err)
{
    if (n > CONFIG_WORDS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "its `%s` has more than %d words", key,
                       CONFIG_WORDS_MAX);
    w->items = calloc(n + 1, sizeof(*w->items));
    return w->items ? 0 : no_memory(err);
}

static int parse_words(const json_t *j, const char *key, struct words *w, struct err *err)
{
    json_t *array;
    if (json_member(j, key, JSON_ARRAY, &array, err) < 0 ||
        reserve(w, json_array_size(array), key, err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text == NULL)
            return err_set(err, ERR_INVALID_ARGUMENT,
                           "its `%s` has something in it that is no text", key);
        if (add_word(w, text, err) < 0)
            return -1;
    }
    return 0;
}

/* NAME=VALUE, each; a name alone says nothing. */
static int check_env(const struct words *env, struct err *err)
{
    for (size_t i = 0; i < env->n; i++)
        if (env->items[i][0] == '=' || strchr(env->items[i], '=') == NULL)
            return err_set(err, ERR_INVALID_ARGUMENT, "its variable `%.100s` is not NAME=VALUE",
                           env->items[i]);
    return 0;
}

/* The keys of an object: {"/data": {}}. */
static int parse_volumes(json_t *j, struct words *w, struct err *err)
{
    json_t *object, *value;
    const char *key;
    if (json_member(j, "Volumes", JSON_OBJECT, &object, err) < 0 ||
        reserve(w, json_object_size(object), "Volumes", err) < 0)
        return -1;
    json_object_foreach(object, key, value)
    {
        if (add_word(w, key, err) < 0)
            return -1;
    }
    return 0;
}

/* "SIGTERM", "TERM", "15", "SIGRTMIN+3"; 0 = none of them. */
static int signal_number(const char *text)
{
    uint64_t n;
    if (parse_u64(text, 64, &n) == 0)
        return (int)n;
    const char *name = str_startswith(text, "SIG");
    name = name ? name : text;
    const char *behind = str_startswith(name, "RTMIN+");
    if (behind && parse_u64(behind, (uint64_t)(SIGRTMAX - SIGRTMIN), &n) == 0)
        return SIGRTMIN + (int)n;
    if (strcmp(name, "RTMIN") == 0)
        return SIGRTMIN;
    for (int i = 1; i < 32; i++)
        if (sigabbrev_np(i) && strcmp(sigabbrev_np(i), name) == 0)
            return i;
    return 0;
}

static int parse_start(json_t *j, struct config *c, struct err *err)
{
    const char *user, *dir, *signal_name;
    if (parse_words(j, "Env", &c->env, err) < 0 || check_env(&c->env, err) < 0 ||
        parse_words(j, "Entrypoint", &c->entrypoint, err) < 0 ||
        parse_words(j, "Cmd", &c->cmd, err) < 0 || parse_volumes(j, &c->volumes, err) < 0 ||
        json_member_text(j, "User", &user, err) < 0 ||
        json_member_text(j, "WorkingDir", &dir, err) < 0 ||
        json_member_text(j, "StopSignal", &signal_name, err) < 0)
        return -1;
    if (user && strlen(user) > CONFIG_USER_MAX)
        return err_set(err, ERR_INVALID_ARGUMENT, "its user is longer than %d bytes",
                       CONFIG_USER_MAX);
    c->user = strdup(user ? user : "");
    c->working_dir = str_dup_printf("%s%s", dir && dir[0] == '/' ? "" : "/", dir ? dir : "");
    if (!c->user || !c->working_dir)
        return no_memory(err);
    c->stop_signal = signal_name && signal_name[0] ? signal_number(signal_name) : SIGTERM;
    if (c->stop_signal <= 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "its stop signal `%.40s` is none",
                       signal_name);
    return 0;
}

static int parse_diff_ids(const json_t *j, struct config *c, struct err *err)
{
    json_t *rootfs, *ids = NULL;
    if (json_member(j, "rootfs", JSON_OBJECT, &rootfs, err) < 0 ||
        (rootfs && json_member(rootfs, "diff_ids", JSON_ARRAY, &ids, err) < 0))
        return -1;
    size_t n = json_array_size(ids);
    if (n == 0)
        return err_set(err, ERR_INVALID_ARGUMENT, "its config names no layers");
    if (n > MANIFEST_LAYERS_MAX)
        return err_set(err, ERR_RESOURCE_EXHAUSTED, "it has more than %d layers",
                       MANIFEST_LAYERS_MAX);
    c->diff_ids = calloc(n, sizeof(*c->diff_ids));
    if (!c->diff_ids)
        return no_memory(err);
    for (; c->n_diff_ids < n; c->n_diff_ids++) {
        const char *text = json_string_value(json_array_get(ids, c->n_diff_ids));
        if (digest_parse(text ? text : "", c->diff_ids[c->n_diff_ids], err) < 0)
            return err_wrap(err, "diff_ids");
    }
    return 0;
}

static int check_platform(const json_t *j, struct err *err)
{
    const char *os, *architecture;
    if (json_member_text(j, "os", &os, err) < 0 ||
        json_member_text(j, "architecture", &architecture, err) < 0)
        return -1;
    CLEANUP_FREE char *platform =
        str_dup_printf("%.40s/%.40s", os ? os : "", architecture ? architecture : "");
    if (!platform)
        return no_memory(err);
    if (strcmp(platform, manifest_platform()) != 0)
        return err_set(err, ERR_FAILED_PRECONDITION, "it is for %s, and this machine is %s",
                       platform, manifest_platform());
    return 0;
}

static int parse_base(const json_t *j, struct config *c, struct err *err)
{
    const char *base;
    if (json_member_text(j, CONFIG_BASE, &base, err) < 0)
        return -1;
    c->host = base && strcmp(base, CONFIG_BASE_HOST) == 0;
    return base && !c->host ? err_set(err, ERR_INVALID_ARGUMENT,
                                      "it stands on `%.40s`, which nothing is", base)
                            : 0;
}

int image_config_parse(const char *text, size_t n, struct config *ret, struct err *err)
{
    CLEANUP_CONFIG struct config c = {0};
    json_t *start;
    CLEANUP_JSON json_t *empty = json_object();
    CLEANUP_JSON json_t *j = json_parse(text, n, "its config", err);
    if (j == NULL || check_platform(j, err) < 0 || parse_diff_ids(j, &c, err) < 0 ||
        parse_base(j, &c, err) < 0 || json_member(j, "config", JSON_OBJECT, &start, err) < 0 ||
        parse_start(start ? start : empty, &c, err) < 0)
        return -1;
    *ret = c;
    c = (struct config){0};
    return 0;
}
