/*
 * What may stand where the cursor is, from the same tables that parse and describe a verb.
 *
 * The scripts for the shells (verb-completion.c) know nothing: they ask `cwsandbox __complete
 * WORD...`, which answers one candidate a line, `WORD<TAB>DESCRIPTION`, or the line COMPLETE_ASK
 * for what the shell does better itself.
 */
#ifndef CWS_CLI_COMPLETE_H
#define CWS_CLI_COMPLETE_H

#include "cli/options.h"

#define COMPLETE_ASK_FILES ":files"

/**
 * complete_print() - one candidate, if it begins with @prefix
 * @lead: printed in front of @word, as the user has it already ("--output="); NULL = nothing
 * @help: NULL = none
 */
void complete_print(FILE *out, const char *prefix, const char *lead, const char *word,
                    const char *help);

/**
 * complete_verb() - print the options, and the values that tables know, that may be the last
 * word
 * @words: those behind the verb's name, @n_words >= 1; the last one is not finished, or ""
 * Return: what else may stand there and is not in a table; the caller prints it.
 */
enum completion complete_verb(const struct verb *verb, char *const *words, size_t n_words,
                              FILE *out);

#endif
