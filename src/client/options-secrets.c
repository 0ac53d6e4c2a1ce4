/* Secrets that the service puts into the environment, and the one that pulls the image;. */
#include "client/options.h"

#include <string.h>

void option_secret_done(struct option_secret *s)
{
    free(s->store);
    free(s->name);
    free(s->field);
    free(s->env_var);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* 1: the same secret is there already; -1 with *@error: another one has the variable. */
static int find_secret(const cws_options *o, const struct option_secret *wanted,
                       cws_error **error)
{
    const struct option_secret *known = o->secrets.items;
    for (size_t i = 0; i < o->secrets.n; i++) {
        const struct option_secret *s = &known[i];
        if (strcmp(s->env_var, wanted->env_var) != 0)
            continue;
        if (strcmp(s->store, wanted->store) == 0 && strcmp(s->name, wanted->name) == 0 &&
            same_text(s->field, wanted->field))
            return 1;
        return error_set(error, CWS_E_INVALID,
                         "Conflicting secrets for env_var '%s': %s/%s and %s/%s", s->env_var,
                         s->store, s->name, wanted->store, wanted->name);
    }
    return 0;
}

/* An item of its own, so that no half-filled one is ever in a list. */
static int fill_secret(struct option_secret *s, const char *store, const char *name,
                       const char *field, const char *env_var, cws_error **error)
{
    if (option_set_text(&s->store, "store", store, error) < 0 ||
        option_set_text(&s->name, "name", name, error) < 0 ||
        option_set_text(&s->field, "field", field, error) < 0)
        return -1;
    return option_set_text(&s->env_var, "env_var", env_var, error);
}

int cws_options_add_secret(cws_options *o, const char *store, const char *name,
                           const char *field, const char *env_var, cws_error **error)
{
    if (!env_var)
        env_var = name;
    if (option_check_given("secret store", store, error) < 0 ||
        option_check_given("secret name", name, error) < 0 ||
        option_check_given("secret env_var", env_var, error) < 0)
        return -1;
    CLEANUP(option_secret_done) struct option_secret s = {0};
    if (fill_secret(&s, store, name, field, env_var, error) < 0)
        return -1;
    int r = find_secret(o, &s, error);
    if (r != 0)
        return r < 0 ? -1 : 0;
    struct option_secret *item = array_add(&o->secrets, sizeof(*item));
    if (!item)
        return error_give(error, &error_nomem);
    *item = s;
    s = (struct option_secret){0};
    o->secrets.n++;
    return 0;
}

int cws_options_set_pull_credentials(cws_options *o, const char *registry, const char *store,
                                     const char *name, const char *field, cws_error **error)
{
    if (option_check_given("image_pull_credentials registry", registry, error) < 0 ||
        option_check_given("image_pull_credentials store", store, error) < 0 ||
        option_check_given("image_pull_credentials name", name, error) < 0)
        return -1;
    CLEANUP(option_secret_done) struct option_secret s = {0};
    if (fill_secret(&s, store, name, field, registry, error) < 0)
        return -1;
    struct option_secret old = o->pull;
    o->pull = s;
    s = old;
    return 0;
}
