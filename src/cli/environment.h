/*
 * The words of --env.
 */
#ifndef CWS_CLI_ENVIRONMENT_H
#define CWS_CLI_ENVIRONMENT_H

#include "cli/cli.h"

/** env_word() - "NAME=VALUE" of such a word, or of "NAME" with the value it has here; EXIT_USAGE with the error printed.
 * @ret_pair: heap. */
int env_word(struct cli *cli, const char *word, char **ret_pair);

#endif
