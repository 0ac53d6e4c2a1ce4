/* See complete.h. */
#include "cli/complete.h"

#include <string.h>

/* How far the finished words lead. The grammar is options_parse()'s, without the values. */
struct scan {
    const struct verb *verb;
    const struct option *open; /* the next word is its value */
    size_t n_given;            /* operands so far */
    bool dashes;               /* behind `--`: no options any more */
    bool over;                 /* what follows belongs to another command */
};

static bool takes_value(const struct option *o)
{
    return o && option_takes_value(o);
}

/* "-it" opens nothing, "-n" its value, "-n5" is complete. */
static const struct option *open_letter(const struct verb *verb, const char *letters)
{
    for (const char *c = letters; *c; c++) {
        const struct option *o = option_find_letter(verb, *c);
        if (takes_value(o))
            return c[1] ? NULL : o;
    }
    return NULL;
}

static void scan_operand(struct scan *s)
{
    const struct verb *verb = s->verb;
    if (s->n_given >= verb->n_operands)
        return;
    enum operand_kind kind = verb->operands[s->n_given].kind;
    if (kind == OPERAND_REST || kind == OPERAND_MAYBE_REST)
        s->over = true;
    s->n_given++;
}

static void scan_word(struct scan *s, const char *word)
{
    if (s->open) {
        s->open = NULL;
    } else if (s->over) {
        return;
    } else if (s->dashes || word[0] != '-' || !word[1]) {
        scan_operand(s);
    } else if (strcmp(word, "--") == 0) {
        s->dashes = true;
        for (size_t i = 0; i < s->verb->n_operands; i++)
            s->over |= s->verb->operands[i].kind == OPERAND_AFTER_DASHES;
    } else if (word[1] == '-') {
        const struct option *o = option_find(s->verb, word + 2, strlen(word + 2));
        s->open = takes_value(o) ? o : NULL; /* `--name=value` is no name, and finds nothing */
    } else {
        s->open = open_letter(s->verb, word + 1);
    }
}

void complete_print(FILE *out, const char *prefix, const char *lead, const char *word,
                    const char *help)
{
    if (strncmp(word, prefix, strlen(prefix)) != 0)
        return;
    (void)fprintf(out, "%s%s%s%s\n", lead ? lead : "", word, help ? "\t" : "",
                  help ? help : "");
}

static void print_choices(FILE *out, const char *const *choices, const char *prefix,
                          const char *lead)
{
    for (size_t i = 0; choices && choices[i]; i++)
        complete_print(out, prefix, lead, choices[i], NULL);
}

static void print_options(const struct verb *verb, const char *prefix, FILE *out)
{
    for (size_t i = 0; i < verb->n_options; i++)
        complete_print(out, prefix, "--", verb->options[i].name, verb->options[i].help);
    complete_print(out, prefix, "--", HELP_OPTION_NAME, HELP_OPTION_TEXT);
}

/* The value of an option, as a word of its own or behind "--name=", which is @lead then. */
static enum completion complete_value(const struct option *o, const char *prefix,
                                      const char *lead, FILE *out)
{
    print_choices(out, o->choices, prefix, lead);
    return o->completion;
}

/* "--na" or "--name=val". */
static enum completion complete_long(const struct verb *verb, const char *word, FILE *out)
{
    const char *equals = strchr(word, '=');
    if (!equals) {
        print_options(verb, word + 2, out);
        return COMPLETE_NOTHING;
    }
    const struct option *o = option_find(verb, word + 2, (size_t)(equals - word) - 2);
    CLEANUP_FREE char *lead = text_printf("%.*s", (int)(equals + 1 - word), word);
    return takes_value(o) ? complete_value(o, equals + 1, lead, out) : COMPLETE_NOTHING;
}

enum completion complete_verb(const struct verb *verb, char *const *words, size_t n_words,
                              FILE *out)
{
    struct scan s = {.verb = verb};
    const char *word = words[n_words - 1];
    if (verb->n_operands && verb->operands[0].kind == OPERAND_ANYTHING)
        return COMPLETE_NOTHING;
    for (size_t i = 0; i + 1 < n_words; i++)
        scan_word(&s, words[i]);
    if (s.open)
        return complete_value(s.open, word, NULL, out);
    if (s.over)
        return COMPLETE_NOTHING;
    if (!s.dashes && word[0] == '-' && word[1] == '-')
        return complete_long(verb, word, out);
    const struct operand *operand =
        s.n_given < verb->n_operands ? &verb->operands[s.n_given] : NULL;
    if (!s.dashes && (strcmp(word, "-") == 0 || (!operand && !*word))) {
        print_options(verb, "", out);
        return COMPLETE_NOTHING;
    }
    if (!operand)
        return COMPLETE_NOTHING;
    print_choices(out, operand->choices, word, NULL);
    return operand->completion;
}
