/*
 * cwsandbox: the command line. Finds the verb, reads its words, runs it.
 *
 * The program is an ordinary user of libcwsandbox: it includes include/cwsandbox.h and its own
 * room, nothing else.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/verbs.h"

static int run_verb(struct cli *cli, char *const *words, size_t n_words)
{
    const struct verb *verb = cli->verb;
    CLEANUP_FREE void *args = must(calloc(1, verb->args_size ? verb->args_size : 1));
    CLEANUP_FREE char *problem = NULL;
    int code = EXIT_FINE;
    switch (options_parse(verb, words, n_words, args, &problem)) {
    case PARSE_HELP:
        verb_print_help(verb, stdout);
        break;
    case PARSE_WRONG:
        code = cli_usage(cli, "%s", problem);
        break;
    case PARSE_OK:
        code = verb->run(cli, args);
        break;
    }
    options_done(verb, args);
    return code;
}

/* The words are not a verb: an option of the program, a group alone, or a mistake. */
static int run_without_verb(struct cli *cli, char *const *words, size_t n_words)
{
    if (n_words == 0) {
        verbs_print_help(NULL, stderr);
        return EXIT_USAGE;
    }
    const char *word = words[0];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        verbs_print_help(NULL, stdout);
        return EXIT_FINE;
    }
    if (strcmp(word, "--version") == 0) {
        cli->verb = &verb_version;
        return run_verb(cli, words, 0);
    }
    const char *group = verb_is_group(word) ? word : NULL;
    if (group && n_words > 1 &&
        (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0)) {
        verbs_print_help(group, stdout);
        return EXIT_FINE;
    }
    if (group && n_words == 1) {
        verbs_print_help(group, stderr);
        return EXIT_USAGE;
    }
    const char *wrong = group ? words[1] : word;
    (void)fprintf(stderr,
                  "Usage: cwsandbox %s COMMAND [ARGS]...\nTry 'cwsandbox --help' for help.\n\n",
                  group ? group : "[OPTIONS]");
    (void)cli_fail("No such %s '%s'.", *wrong == '-' ? "option" : "command", wrong);
    return EXIT_USAGE;
}

/* Reads `--auth CHOICE` in front of the verb, else CWSANDBOX_AUTH; moves *words behind it. False: a usage error was
 * printed. */
static bool read_auth(struct cli *cli, char *const **words, size_t *n_words)
{
    static const char *const choices[] = {"coreweave_api_key",
                                          "wandb"}; /* cws_auth from 1 on */
    const char *value = getenv("CWSANDBOX_AUTH"), *name = "CWSANDBOX_AUTH",
               *word = *n_words ? **words : "";
    size_t n = 0;
    if (strncmp(word, "--auth=", strlen("--auth=")) == 0) {
        value = word + strlen("--auth=");
        n = 1;
    } else if (strcmp(word, "--auth") == 0) {
        value = *n_words > 1 ? (*words)[1] : NULL;
        n = 2;
    } else if (!value || !*value) {
        return true;
    }
    for (size_t i = 0; value && i < ARRAY_SIZE(choices); i++)
        if (strcasecmp(value, choices[i]) == 0)
            cli->auth = (cws_auth)(i + 1);
    if (cli->auth == CWS_AUTH_DEFAULT) {
        (void)fputs("Usage: cwsandbox [OPTIONS] COMMAND [ARGS]...\nTry 'cwsandbox --help' for "
                    "help.\n\n",
                    stderr);
        (void)cli_fail(
            value ? "Invalid value for '%s': '%s' is not one of 'coreweave_api_key', 'wandb'."
                  : "Option '%s' requires an argument.",
            n ? "--auth" : name, value);
        return false;
    }
    *words += n;
    *n_words -= n;
    return true;
}

/* A descriptor that we open must never become stdin, stdout or stderr of a caller who closed
 * his. */
static void open_missing_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    open_missing_streams();
    (void)signal(SIGPIPE, SIG_IGN); /* `serve` puts it back before it executes the service */
    struct cli cli = {.signal_fd = -1};
    char *const *words = argc > 0 ? argv + 1 : argv;
    size_t n_words = argc > 0 ? (size_t)argc - 1 : 0;
    size_t n_name = 0;
    if (!read_auth(&cli, &words, &n_words))
        return cli_done(&cli, EXIT_USAGE);
    cli.verb = verb_find(words, n_words, &n_name);
    int code = cli.verb ? run_verb(&cli, words + n_name, n_words - n_name)
                        : run_without_verb(&cli, words, n_words);
    return cli_done(&cli, code);
}
