/* The options as flags: how the daemon gets what the front has read from file, environment and command line. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "server/options.h"

static int add(struct text_list *l, char *take_text)
{
    CLEANUP_FREE char *text = take_text;
    char **items = text != NULL ? realloc(l->items, (l->n_items + 2) * sizeof(*items)) : NULL;
    if (items == NULL)
        return -ENOMEM;
    l->items = items;
    items[l->n_items++] = TAKE_PTR(text);
    items[l->n_items] = NULL;
    return 0;
}

static int add_flag(struct text_list *l, const char *name, const char *value)
{
    return add(l, str_dup_printf("--%s=%s", name, value));
}

static int add_number(struct text_list *l, const char *name, uint64_t value, const char *unit)
{
    return add(l, str_dup_printf("--%s=%llu%s", name, (unsigned long long)value, unit));
}

static int add_option(struct text_list *l, const struct options *o,
                      const struct option_def *def)
{
    static const char *const levels[LOG_LEVEL_MAX] = {"error", "warn", "info", "debug"};
    const void *field = (const char *)o + def->offset;
    int r = 0;
    switch (def->type) {
    case OPTION_FLAG:
        return add_flag(l, def->name, *(const bool *)field ? "true" : "false");
    case OPTION_TEXT: {
        const char *text = *(char *const *)field;
        return text != NULL ? add_flag(l, def->name, text) : 0;
    }
    case OPTION_LIST: {
        const struct text_list *list = field;
        for (size_t i = 0; i < list->n_items && r == 0; i++)
            r = add_flag(l, def->name, list->items[i]);
        return r;
    }
    case OPTION_NUMBER:
    case OPTION_SIZE:
        return add_number(l, def->name, *(const uint64_t *)field, "");
    case OPTION_CPU:
        return add_number(l, def->name, *(const uint64_t *)field, "m");
    case OPTION_DURATION: /* whole seconds are all that can be said */
        return add_number(l, def->name, *(const uint64_t *)field / NS_PER_SEC, "s");
    case OPTION_LEVEL:
        return add_flag(l, def->name, levels[*(const enum log_level *)field]);
    case OPTION_TYPE_MAX:
        break;
    }
    return -EINVAL;
}

/* Rows that are the front's alone. */
static bool fronts_own(const char *name)
{
    static const char *const names[] = {
        "config",      "ready-fd",  "check-config", "help", "version",    "data-dir",
        "launch-path", "init-path", "service-name", "user", "image-path", "secret-stores"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

int options_add_flags(const struct options *o, struct text_list *list)
{
    /* The file was read. */
    int r = add_flag(list, "config", "/dev/null");
    for (size_t i = 0; i < options_table_len && r == 0; i++)
        if (!fronts_own(options_table[i].name))
            r = add_option(list, o, &options_table[i]);
    return r;
}

int text_list_add(struct text_list *l, const char *text)
{
    return add(l, strdup(text));
}

void text_list_done(struct text_list *l)
{
    for (size_t i = 0; i < l->n_items; i++)
        free(l->items[i]);
    free(l->items);
    *l = (struct text_list){0};
}
