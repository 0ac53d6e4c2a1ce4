/* cwsandbox files rm: a file or a directory of a sandbox, away. */
#include "cli/cli.h"
#include "cli/fileview.h"
#include "cli/verbs.h"

struct args {
    int data_plane;
    const char *id, *container, *user, *path;
    uint64_t timeout_ns;
    bool recursive;
};

static const struct option options[] = {
    {"recursive", 'r', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, recursive),
     "Remove a directory with what is in it. Links are removed, not followed."},
    FILE_OPTIONS(struct args),
};

static const struct operand operands[] = {
    SANDBOX_OPERAND(struct args),
    {"PATH", OPERAND_ONE, offsetof(struct args, path),
     "Absolute path of a file, a link or an empty directory in it."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    cws_error *error = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_file_options how = {args->timeout_ns, args->container, args->user};
    cws_op *call = cws_sandbox_remove_file(sb, args->path, args->recursive, &how, &error);
    return cli_await(cli, call, error, NULL);
}

const struct verb verb_files_rm = {
    .name = "files rm",
    .summary = "Remove a file or a directory of a sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
