/*
 * cwsandbox serve: becomes cwsandboxd. Every word is the service's own; it has its own table
 * and its own --help.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/program.h"
#include "cli/verbs.h"

struct args {
    struct words words;
};

static const struct operand operands[] = {
    {"OPTION", OPERAND_ANYTHING, offsetof(struct args, words),
     "Options of the service; 'cwsandbox serve --help' lists them."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    (void)cli;
    CLEANUP_FREE char *program = program_find("cwsandboxd");
    if (!program) {
        CLEANUP_FREE char *places = program_places();
        return cli_fail("find the service: cwsandboxd is not in %s; install it or set "
                        "CWSANDBOX_SERVICE_PATH",
                        places);
    }
    CLEANUP_FREE char **argv = must(calloc(args->words.n + 2, sizeof(*argv)));
    argv[0] = program;
    for (size_t i = 0; i < args->words.n; i++)
        argv[i + 1] = (char *)args->words.items[i];
    (void)signal(SIGPIPE, SIG_DFL); /* an ignored signal would be inherited */
    (void)execv(program, argv);
    return cli_fail("execute %s: %s", program, strerror(errno));
}

const struct verb verb_serve = {
    .name = "serve",
    .summary = "Run the service in the foreground.",
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
