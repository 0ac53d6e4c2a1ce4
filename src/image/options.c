/* See options.h. */
#include "image/options.h"

#include <string.h>

#include "base/util.h"

static const struct {
    const char *name;
    size_t min_operands, max_operands;
} verbs[VERB_MAX] = {
    [VERB_PULL] = {"pull", 1, 1},       [VERB_IMPORT] = {"import", 1, 2},
    [VERB_EXPORT] = {"export", 2, 2},   [VERB_LS] = {"ls", 0, 0},
    [VERB_INSPECT] = {"inspect", 1, 1}, [VERB_RM] = {"rm", 1, SIZE_MAX},
    [VERB_PRUNE] = {"prune", 0, 0},     [VERB_FETCH] = {"fetch", 0, 0},
};

static int parse_verb(const char *word, struct image_options *o, struct err *err)
{
    for (int i = 0; i < VERB_MAX; i++) {
        if (word && strcmp(word, verbs[i].name) == 0) {
            o->verb = (enum image_verb)i;
            return 0;
        }
    }
    return err_set(err, ERR_INVALID_ARGUMENT,
                   "`%s` is none of pull, import, export, ls, inspect, rm, prune",
                   word ? word : "");
}

/* An option with a value; how many words it took, 0 = not one of them. */
static int parse_valued(const char *name, const char *value, struct image_options *o,
                        struct err *err)
{
    const struct {
        const char *name;
        const char **text;
        uint64_t *number;
    } rows[] = {{"--store", &o->store, NULL},
                {"--registries", &o->registries, NULL},
                {"--secrets", &o->secrets, NULL},
                {"--unused-for", NULL, &o->unused_s},
                {"--keep-bytes", NULL, &o->keep_bytes}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(name, rows[i].name) != 0)
            continue;
        if (!value || (rows[i].number && parse_u64(value, UINT64_MAX - 1, rows[i].number) < 0))
            return err_set(err, ERR_INVALID_ARGUMENT, "%s: `%s` is no value for it", name,
                           value ? value : "");
        if (rows[i].text)
            *rows[i].text = value;
        return 2;
    }
    return 0;
}

static bool parse_flag(const char *name, struct image_options *o)
{
    const struct {
        const char *name;
        bool *flag;
    } rows[] = {{"--json", &o->json},
                {"--rootfs", &o->rootfs},
                {"--quiet", &o->quiet},
                {"--public-only", &o->public_only},
                {"--no-logins", &o->no_logins}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(name, rows[i].name) == 0) {
            *rows[i].flag = true;
            return true;
        }
    }
    return false;
}

int image_options_parse(char *const *argv, struct image_options *ret, struct err *err)
{
    struct image_options o = {.unused_s = UINT64_MAX, .keep_bytes = UINT64_MAX};
    if (parse_verb(argv[1], &o, err) < 0)
        return -1;
    char *const *word = argv + 2;
    while (*word && (*word)[0] == '-' && (*word)[1] == '-' && strcmp(*word, "--") != 0) {
        int n = parse_valued(word[0], word[1], &o, err);
        if (n < 0)
            return -1;
        if (n == 0 && !parse_flag(*word, &o))
            return err_set(err, ERR_INVALID_ARGUMENT, "`%s` is no option", *word);
        word += n ? n : 1;
    }
    word += *word && strcmp(*word, "--") == 0;
    o.operands = word;
    while (word[o.n_operands])
        o.n_operands++;
    if (o.n_operands < verbs[o.verb].min_operands || o.n_operands > verbs[o.verb].max_operands)
        return err_set(err, ERR_INVALID_ARGUMENT, "%s: %zu operands", verbs[o.verb].name,
                       o.n_operands);
    if (o.store && o.store[0] != '/')
        return err_set(err, ERR_INVALID_ARGUMENT, "--store: `%s` is not absolute", o.store);
    *ret = o;
    return 0;
}
