/* See environment.h. */
#include "cli/environment.h"

#include <stdlib.h>
#include <string.h>

int env_word(struct cli *cli, const char *word, char **ret_pair)
{
    const char *value = strchr(word, '=') ? "" : getenv(word);
    if (!*word || *word == '=')
        return cli_usage(cli, "Invalid value for '--env' / '-e': '%s' has no name.", word);
    if (!value)
        return cli_usage(cli, "Invalid value for '--env' / '-e': '%s' is not set here.", word);
    *ret_pair = strchr(word, '=') ? text_dup(word) : text_printf("%s=%s", word, value);
    return EXIT_FINE;
}
