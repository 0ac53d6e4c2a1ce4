/* cwsandbox files read: a file of a sandbox to stdout or to a local file. */
#include "cli/cli.h"
#include "cli/fileview.h"
#include "cli/transfer.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    int data_plane;
    const char *id, *remote, *local, *container, *user;
    uint64_t timeout_ns;
};

static const struct option options[] = {
    {"output", 'o', OPTION_STRING, "LOCAL", NULL, NULL, offsetof(struct args, local),
     "Write to this file instead of standard output; it is replaced.", COMPLETE_FILES},
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long the whole transfer may take; 300 when not given."},
    USER_OPTION(struct args),
    CONTAINER_OPTION(struct args),
    DATA_PLANE_OPTION(struct args),
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
    {"REMOTE", OPERAND_ONE, offsetof(struct args, remote), "Absolute path in the sandbox."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    return transfer_read(
        cli, sb,
        &(struct transfer){.remote = args->remote,
                           .local = args->local,
                           .how = {args->timeout_ns, args->container, args->user}});
}

const struct verb verb_files_read = {
    .name = "files read",
    .summary = "Copy a file out of a sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
