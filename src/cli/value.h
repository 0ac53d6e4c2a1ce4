/*
 * Text from the command line <-> values: seconds, counts, choices, points in time, and a
 * command line in one string. Pure functions; nothing here knows a verb.
 */
#ifndef CWS_CLI_VALUE_H
#define CWS_CLI_VALUE_H

#include "cli/option.h"

/**
 * value_parse() - read @text as the kind of @option into its slot; flags have no use for @text
 * @ret_why: heap, set when false is returned: the end of a sentence that starts with the word
 */
bool value_parse(const struct option *option, const char *text, void *slot, char **ret_why);

/** value_parse_time() - "YYYY-MM-DD", "YYYY-MM-DDTHH:MM:SS" or with a space, optional "Z"; UTC.
 */
bool value_parse_time(const char *text, uint64_t *ret_ns);

/**
 * value_split_command() - split one string into words as a shell would: blanks, '…', "…", \
 * @ret_block: heap that the words live in; free it after them
 * Return: false when a quote is not closed or the text ends in a backslash.
 */
bool value_split_command(const char *text, struct words *ret_words, char **ret_block);

#endif
