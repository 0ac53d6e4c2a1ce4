/*
 * The parser of options.h. One pass over the words, one function per form of a word; values are
 * read by value.c.
 */
#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

#include "cli/value.h"

struct parser {
    const struct verb *verb;
    char *const *words;
    size_t n_words;
    size_t at;      /* the next word */
    size_t n_given; /* operands filled so far */
    void *args;
    char *problem; /* heap; set once, then parsing stops */
    bool help;
};

static void *slot_of(const struct parser *p, size_t offset)
{
    return (char *)p->args + offset;
}

const struct option *option_find(const struct verb *verb, const char *name, size_t len)
{
    for (size_t i = 0; i < verb->n_options; i++)
        if (strlen(verb->options[i].name) == len &&
            strncmp(verb->options[i].name, name, len) == 0)
            return &verb->options[i];
    return NULL;
}

const struct option *option_find_letter(const struct verb *verb, char letter)
{
    for (size_t i = 0; i < verb->n_options; i++)
        if (verb->options[i].letter == letter)
            return &verb->options[i];
    return NULL;
}

bool option_takes_value(const struct option *o)
{
    return o->kind != OPTION_FLAG && o->kind != OPTION_UNFLAG;
}

/* "'--timeout' / '-t'": how messages call an option. */
static char *option_title(const struct option *o)
{
    return o->letter ? text_printf("'--%s' / '-%c'", o->name, o->letter)
                     : text_printf("'--%s'", o->name);
}

static void set_value(struct parser *p, const struct option *o, const char *text)
{
    CLEANUP_FREE char *why = NULL;
    if (value_parse(o, text, slot_of(p, o->slot), &why))
        return;
    CLEANUP_FREE char *title = option_title(o);
    p->problem = text_printf("Invalid value for %s: '%s' %s.", title, text, why);
}

/* The value of an option that stands in the next word. */
static const char *take_value(struct parser *p, const struct option *o)
{
    if (p->at < p->n_words)
        return p->words[p->at++];
    CLEANUP_FREE char *title = option_title(o);
    p->problem = text_printf("Option %s requires a value.", title);
    return NULL;
}

static void parse_long(struct parser *p, const char *word)
{
    const char *name = word + 2;
    const char *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct option *o = option_find(p->verb, name, len);
    if (!o && len == strlen(HELP_OPTION_NAME) && strncmp(name, HELP_OPTION_NAME, len) == 0) {
        p->help = true;
        return;
    }
    if (!o) {
        p->problem = text_printf("No such option: --%.*s", (int)len, name);
        return;
    }
    if (!option_takes_value(o) && equals) {
        p->problem = text_printf("Option '--%s' does not take a value.", o->name);
        return;
    }
    if (!option_takes_value(o)) {
        set_value(p, o, "");
        return;
    }
    const char *value = equals ? equals + 1 : take_value(p, o);
    if (value)
        set_value(p, o, value);
}

/* "-it" is -i -t; "-n5" is -n 5. */
static void parse_letters(struct parser *p, const char *word)
{
    for (const char *c = word + 1; *c && !p->problem && !p->help; c++) {
        const struct option *o = option_find_letter(p->verb, *c);
        if (!o && *c == 'h') {
            p->help = true;
        } else if (!o) {
            p->problem = text_printf("No such option: -%c", *c);
        } else if (!option_takes_value(o)) {
            set_value(p, o, "");
        } else {
            const char *value = c[1] ? c + 1 : take_value(p, o);
            if (value)
                set_value(p, o, value);
            return;
        }
    }
}

/* The operand that the next plain word belongs to, or NULL. */
static const struct operand *next_operand(const struct parser *p)
{
    if (p->n_given >= p->verb->n_operands)
        return NULL;
    const struct operand *o = &p->verb->operands[p->n_given];
    return o->kind == OPERAND_AFTER_DASHES ? NULL : o;
}

static const struct operand *dashes_operand(const struct verb *verb)
{
    for (size_t i = 0; i < verb->n_operands; i++)
        if (verb->operands[i].kind == OPERAND_AFTER_DASHES)
            return &verb->operands[i];
    return NULL;
}

static void take_rest(struct parser *p, const struct operand *o)
{
    while (p->at < p->n_words)
        words_add(slot_of(p, o->slot), p->words[p->at++]);
}

static void parse_operand(struct parser *p, const char *word)
{
    const struct operand *o = next_operand(p);
    if (!o) {
        p->problem = text_printf(dashes_operand(p->verb)
                                     ? "Got unexpected word '%s': write the command after '--'."
                                     : "Got unexpected extra argument (%s)",
                                 word);
        return;
    }
    p->n_given++;
    if (o->kind == OPERAND_REST || o->kind == OPERAND_MAYBE_REST) {
        words_add(slot_of(p, o->slot), word);
        take_rest(p, o);
        return;
    }
    *(const char **)slot_of(p, o->slot) = word;
}

/* Everything behind `--`: the command of a verb that has one, else operands that may start with
 * a dash. */
static void parse_after_dashes(struct parser *p)
{
    const struct operand *command = dashes_operand(p->verb);
    if (command)
        take_rest(p, command);
    while (p->at < p->n_words && !p->problem)
        parse_operand(p, p->words[p->at++]);
}

static void parse_words(struct parser *p)
{
    while (p->at < p->n_words && !p->problem && !p->help) {
        const char *word = p->words[p->at++];
        if (strcmp(word, "--") == 0)
            parse_after_dashes(p);
        else if (word[0] == '-' && word[1] == '-')
            parse_long(p, word);
        else if (word[0] == '-' && word[1])
            parse_letters(p, word);
        else
            parse_operand(p, word);
    }
}

static void check_complete(struct parser *p)
{
    if (p->n_given >= p->verb->n_operands)
        return;
    const struct operand *o = &p->verb->operands[p->n_given];
    if (o->kind == OPERAND_ONE || o->kind == OPERAND_REST)
        p->problem = text_printf("Missing argument '%s'.", o->name);
}

static void set_defaults(struct parser *p)
{
    for (size_t i = 0; i < p->verb->n_options && !p->problem; i++)
        if (p->verb->options[i].default_text)
            set_value(p, &p->verb->options[i], p->verb->options[i].default_text);
}

enum parse_result options_parse(const struct verb *verb, char *const *words, size_t n_words,
                                void *args, char **ret_problem)
{
    struct parser p = {.verb = verb, .words = words, .n_words = n_words, .args = args};
    if (verb->n_operands && verb->operands[0].kind == OPERAND_ANYTHING) {
        take_rest(&p, &verb->operands[0]);
        return PARSE_OK;
    }
    set_defaults(&p);
    parse_words(&p);
    /* Read from left to right: what comes first, --help or a mistake, is what is answered. */
    if (p.help && !p.problem)
        return PARSE_HELP;
    if (!p.problem)
        check_complete(&p);
    if (!p.problem)
        return PARSE_OK;
    *ret_problem = p.problem;
    return PARSE_WRONG;
}

void options_done(const struct verb *verb, void *args)
{
    for (size_t i = 0; i < verb->n_options; i++)
        if (verb->options[i].kind == OPTION_LIST)
            words_done((struct words *)((char *)args + verb->options[i].slot));
    for (size_t i = 0; i < verb->n_operands; i++)
        if (verb->operands[i].kind != OPERAND_ONE && verb->operands[i].kind != OPERAND_MAYBE)
            words_done((struct words *)((char *)args + verb->operands[i].slot));
}
