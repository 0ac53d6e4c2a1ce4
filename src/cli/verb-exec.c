/*
 * cwsandbox exec: run a command in an existing sandbox, attached to this program.
 *
 * Unlike the published client, words behind the first word of the command always belong to the
 * command: `exec ID ls -t` lists by time. Nobody needs to know which letters we happen to use.
 */
#include "cli/attach.h"

#include <stdlib.h>

#include "cli/cli.h"
#include "cli/environment.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    int data_plane;
    const char *id, *cwd, *container, *user;
    struct words command, env;
    uint64_t timeout_ns;
    bool interactive, tty;
};

static const struct option options[] = {
    {"cwd", 'w', OPTION_STRING, "DIR", NULL, NULL, offsetof(struct args, cwd),
     "Absolute directory to run the command in."},
    {"env", 'e', OPTION_LIST, "NAME=VALUE", NULL, NULL, offsetof(struct args, env),
     "Set a variable; NAME alone takes the value it has here. Repeatable."},
    {"user", 'u', OPTION_STRING, "USER[:GROUP]", NULL, NULL, offsetof(struct args, user),
     "User to run it as, a name or a number of the sandbox; root when not given."},
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "Kill the command after this time; 300 when not given, no limit on a terminal."},
    {"interactive", 'i', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, interactive),
     "Forward standard input to the command."},
    {"tty", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, tty),
     "Give the command a terminal; standard input and output must be one."},
    CONTAINER_OPTION(struct args),
    DATA_PLANE_OPTION(struct args),
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
    {"COMMAND", OPERAND_REST, offsetof(struct args, command),
     "The command and its arguments; no shell is involved."},
};

static int run_in(struct cli *cli, const struct args *args, char *const *env)
{
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_exec_options how = {
        .cwd = args->cwd,
        .timeout_ns = args->timeout_ns,
        .want_stdin = args->interactive,
        .tty = args->tty,
        .discard_output = 1,
        .container = args->container,
        .env = (const char *const *)env,
        .n_env = args->env.n,
        .user = args->user,
    };
    if (args->tty)
        terminal_size(&how.tty_width, &how.tty_height);
    cws_error *error = NULL;
    CLEANUP_PROCESS cws_process *process =
        cws_sandbox_exec(sb, args->command.items, args->command.n, &how, &error);
    if (!process)
        return cli_fail_free(error);
    struct attach_options attach = {.forward_stdin = args->interactive, .tty = args->tty};
    return attach_process(cli, process, &attach);
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    if (args->cwd && args->cwd[0] != '/')
        return cli_usage(cli, "Invalid value for '--cwd' / '-w': '%s' is not an absolute path.",
                         args->cwd);
    if (args->tty && !terminal_usable())
        return cli_fail("--tty needs a terminal on standard input and output");
    CLEANUP_FREE char **env = must(calloc(args->env.n + 1, sizeof(*env)));
    int code = EXIT_FINE;
    for (size_t i = 0; i < args->env.n && code == EXIT_FINE; i++)
        code = env_word(cli, args->env.items[i], &env[i]);
    if (code == EXIT_FINE)
        code = run_in(cli, args, env);
    for (size_t i = 0; i < args->env.n; i++)
        free(env[i]);
    return code;
}

const struct verb verb_exec = {
    .name = "exec",
    .summary = "Run a command in a sandbox and exit with its exit code.",
    .description =
        "Options are read until the command begins; what follows is the command's own.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
