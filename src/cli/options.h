/*
 * The tables that describe a verb, and the one parser that reads them.
 *
 * A verb is data: its options and operands say how they are written, what they mean for people,
 * and where in the verb's own `args` struct the value goes. Parsing, --help, the man page and
 * shell completion all come from these tables; nothing else knows the name of an option.
 *
 * Grammar: `--name VALUE`, `--name=VALUE`, `-n VALUE`, `-nVALUE`, flags may be bundled (`-it`).
 * Options and operands may be mixed until `--`, or until the first word of an operand of kind
 * OPERAND_REST: what follows belongs to somebody else's command and is never looked at.
 */
#ifndef CWS_CLI_OPTIONS_H
#define CWS_CLI_OPTIONS_H

#include <stdio.h>

#include "cli/option.h"

struct cli;

enum operand_kind {
    OPERAND_ONE,          /* const char * */
    OPERAND_MAYBE,        /* const char *, NULL when not given */
    OPERAND_REST,         /* struct words: this word and everything behind it; at least one */
    OPERAND_MAYBE_REST,   /* the same, may be empty */
    OPERAND_AFTER_DASHES, /* struct words: everything behind `--`; may be empty */
    OPERAND_ANYTHING,     /* struct words: everything, options included */
};

struct operand {
    const char *name; /* as help writes it: "SANDBOX_ID" */
    enum operand_kind kind;
    size_t slot;
    const char *help;
    enum completion completion;
    const char *const *choices; /* NULL-terminated, for completion; run() checks */
};

struct verb {
    const char *name; /* "ls", "files read": one or two words */
    const char *summary;
    const char *description; /* paragraphs of --help behind the summary, or NULL */
    bool hidden;             /* for programs: not in the help, not completed */
    const struct option *options;
    size_t n_options;
    const struct operand *operands;
    size_t n_operands;
    size_t args_size;
    /** run() - @args points to the filled args struct; returns the exit code of the program. */
    int (*run)(struct cli *cli, const void *args);
};

enum parse_result {
    PARSE_OK,
    PARSE_HELP,  /* --help was given */
    PARSE_WRONG, /* *ret_problem says which word and why */
};

/**
 * options_parse() - read the words behind the verb into @args
 * @words:       borrowed; string slots point into them
 * @args:        zeroed, verb->args_size bytes; release with options_done() whatever the result
 * @ret_problem: heap, set on PARSE_WRONG only
 */
enum parse_result options_parse(const struct verb *verb, char *const *words, size_t n_words,
                                void *args, char **ret_problem);
/** options_done() - free what options_parse() put into @args. */
void options_done(const struct verb *verb, void *args);

/** option_find() - by long name, which need not end at @len; NULL = no such option. */
const struct option *option_find(const struct verb *verb, const char *name, size_t len);
/** option_takes_value() - it is not a flag. */
bool option_takes_value(const struct option *o);
/** option_find_letter() - by short name. */
const struct option *option_find_letter(const struct verb *verb, char letter);

/** verb_usage() - heap: "cwsandbox ls [OPTIONS]". */
char *verb_usage(const struct verb *verb);
/** option_label() - heap: "-t, --timeout SECONDS". */
char *option_label(const struct option *o);
/** option_help() - heap: its help and its default. */
char *option_help(const struct option *o);
/** print_paragraphs() - @text of a `description`, wrapped and indented, each behind an empty
 * line. */
void print_paragraphs(const char *text, FILE *out);
/** verb_print_help() - the text of --help. */
void verb_print_help(const struct verb *verb, FILE *out);

/* Written as the last option of every table's help by verb_print_help(); the parser knows it by
 * itself. */
#define HELP_OPTION_NAME "help"
#define HELP_OPTION_TEXT "Show this message and exit."

#endif
