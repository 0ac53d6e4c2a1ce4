/*
 * Help generated from the option tables: what is printed is what the parser takes.
 */
#include <string.h>

#include "cli/options.h"

#define HELP_WIDTH 96
#define LABEL_WIDTH_MAX 34

static char *operand_usage(const struct operand *o)
{
    switch (o->kind) {
    case OPERAND_ONE:
        return text_dup(o->name);
    case OPERAND_MAYBE:
        return text_printf("[%s]", o->name);
    case OPERAND_REST:
        return text_printf("%s...", o->name);
    case OPERAND_MAYBE_REST:
        return text_printf("[%s...]", o->name);
    case OPERAND_AFTER_DASHES:
        return text_printf("[-- %s...]", o->name);
    case OPERAND_ANYTHING:
        return text_printf("[%s...]", o->name);
    }
    return text_dup(o->name);
}

char *verb_usage(const struct verb *verb)
{
    bool own_options = verb->n_operands == 0 || verb->operands[0].kind != OPERAND_ANYTHING;
    char *usage = text_printf("cwsandbox %s%s", verb->name, own_options ? " [OPTIONS]" : "");
    for (size_t i = 0; i < verb->n_operands; i++) {
        CLEANUP_FREE char *before = usage;
        CLEANUP_FREE char *operand = operand_usage(&verb->operands[i]);
        usage = text_printf("%s %s", before, operand);
    }
    return usage;
}

static char *choices_metavar(const struct option *o)
{
    char *text = text_dup("[");
    for (size_t i = 0; o->choices[i]; i++) {
        CLEANUP_FREE char *before = text;
        text = text_printf("%s%s%s", before, i ? "|" : "", o->choices[i]);
    }
    CLEANUP_FREE char *before = text;
    return text_printf("%s]", before);
}

char *option_label(const struct option *o)
{
    CLEANUP_FREE char *metavar =
        o->kind == OPTION_CHOICE ? choices_metavar(o) : text_dup(o->metavar ? o->metavar : "");
    const char *blank = *metavar ? " " : "";
    return o->letter ? text_printf("-%c, --%s%s%s", o->letter, o->name, blank, metavar)
                     : text_printf("--%s%s%s", o->name, blank, metavar);
}

char *option_help(const struct option *o)
{
    return o->default_text ? text_printf("%s  [default: %s]", o->help, o->default_text)
                           : text_dup(o->help);
}

/* Words of @text, wrapped at HELP_WIDTH; the first line continues at column @indent. */
static void print_wrapped(FILE *out, const char *text, size_t indent)
{
    size_t column = indent;
    while (*(text += strspn(text, " "))) {
        size_t len = strcspn(text, " ");
        if (column > indent && column + 1 + len > HELP_WIDTH) {
            (void)fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            (void)fputc(' ', out);
            column++;
        }
        (void)fprintf(out, "%.*s", (int)len, text);
        column += len;
        text += len;
    }
    (void)fputc('\n', out);
}

static void print_row(FILE *out, const char *label, const char *help, size_t width)
{
    (void)fprintf(out, "  %-*s", (int)width, label);
    if (strlen(label) > width)
        (void)fprintf(out, "\n%*s", (int)width + 2, "");
    (void)fputs("  ", out);
    print_wrapped(out, help, width + 4);
}

static void print_operands(const struct verb *verb, FILE *out)
{
    size_t width = 0;
    for (size_t i = 0; i < verb->n_operands; i++)
        if (strlen(verb->operands[i].name) > width)
            width = strlen(verb->operands[i].name);
    if (verb->n_operands)
        (void)fputs("\nArguments:\n", out);
    for (size_t i = 0; i < verb->n_operands; i++)
        print_row(out, verb->operands[i].name, verb->operands[i].help, width);
}

static size_t label_width(const struct verb *verb)
{
    size_t width = strlen("-h, --help");
    for (size_t i = 0; i < verb->n_options; i++) {
        CLEANUP_FREE char *label = option_label(&verb->options[i]);
        size_t len = strlen(label);
        if (len > width && len <= LABEL_WIDTH_MAX)
            width = len;
    }
    return width;
}

static void print_options(const struct verb *verb, FILE *out)
{
    if (verb->n_operands && verb->operands[0].kind == OPERAND_ANYTHING)
        return;
    size_t width = label_width(verb);
    (void)fputs("\nOptions:\n", out);
    for (size_t i = 0; i < verb->n_options; i++) {
        const struct option *o = &verb->options[i];
        CLEANUP_FREE char *label = option_label(o);
        CLEANUP_FREE char *help = option_help(o);
        print_row(out, label, help, width);
    }
    print_row(out, "-h, --help", HELP_OPTION_TEXT, width);
}

/* Paragraphs are separated by a newline in the table; lines that start with a blank (examples)
 * are kept as they are. */
void print_paragraphs(const char *text, FILE *out)
{
    bool after_example = false;
    while (*text) {
        size_t len = strcspn(text, "\n");
        bool example = *text == ' ';
        CLEANUP_FREE char *line = text_printf("%.*s", (int)len, text);
        (void)fputs(example && after_example ? "  " : "\n  ", out);
        if (example)
            (void)fprintf(out, "%s\n", line);
        else
            print_wrapped(out, line, 2);
        after_example = example;
        text += len + (text[len] == '\n');
    }
}

void verb_print_help(const struct verb *verb, FILE *out)
{
    CLEANUP_FREE char *usage = verb_usage(verb);
    (void)fprintf(out, "Usage: %s\n\n  ", usage);
    print_wrapped(out, verb->summary, 2);
    if (verb->description)
        print_paragraphs(verb->description, out);
    print_operands(verb, out);
    print_options(verb, out);
}
