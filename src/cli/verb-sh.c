/* cwsandbox sh: a terminal in a sandbox. */
#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/terminal.h"
#include "cli/value.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    int data_plane;
    const char *id, *command, *container;
};

static const struct option options[] = {
    {"cmd", 0, OPTION_STRING, "COMMAND", NULL, "/bin/bash", offsetof(struct args, command),
     "What to run instead of the shell; split into words as a shell would."},
    CONTAINER_OPTION(struct args),
    DATA_PLANE_OPTION(struct args),
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
};

static int open_session(struct cli *cli, const struct args *args, const struct words *command)
{
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_exec_options how = {.tty = 1, .want_stdin = 1, .container = args->container};
    terminal_size(&how.tty_width, &how.tty_height);
    cws_error *error = NULL;
    CLEANUP_PROCESS cws_process *process =
        cws_sandbox_exec(sb, command->items, command->n, &how, &error);
    if (!process)
        return cli_fail_free(error);
    return attach_process(cli, process, &(struct attach_options){.tty = true});
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_FREE char *block = NULL;
    CLEANUP(words_done) struct words command = {0};
    if (!value_split_command(args->command, &command, &block))
        return cli_usage(cli, "Invalid value for '--cmd': '%s' has an open quote.",
                         args->command);
    if (command.n == 0)
        return cli_usage(cli, "Invalid value for '--cmd': '%s' is empty.", args->command);
    if (!terminal_usable())
        return cli_fail("sh needs a terminal on standard input and output; use "
                        "'cwsandbox exec' without one");
    return open_session(cli, args, &command);
}

const struct verb verb_sh = {
    .name = "sh",
    .summary = "Open a shell in a sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
