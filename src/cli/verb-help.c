/* cwsandbox help: the same text as --help, for those who look for a verb. */
#include "cli/cli.h"
#include "cli/verbs.h"

struct args {
    struct words command;
};

static const struct operand operands[] = {
    {"COMMAND", OPERAND_MAYBE_REST, offsetof(struct args, command), "The command to describe."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    if (args->command.n == 0) {
        verbs_print_help(NULL, stdout);
        return EXIT_FINE;
    }
    char *const *words = (char *const *)args->command.items;
    size_t n_name = 0;
    const struct verb *verb = verb_find(words, args->command.n, &n_name);
    if (verb && n_name == args->command.n) {
        verb_print_help(verb, stdout);
        return EXIT_FINE;
    }
    if (args->command.n == 1 && verb_is_group(words[0])) {
        verbs_print_help(words[0], stdout);
        return EXIT_FINE;
    }
    return cli_usage(cli, "No such command '%s'.", words[verb ? n_name : 0]);
}

const struct verb verb_help = {
    .name = "help",
    .summary = "Describe a command.",
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
