/* cwsandbox files stat: what a path of a sandbox names. */
#include "cli/cli.h"
#include "cli/fileview.h"
#include "cli/verbs.h"

struct args {
    int data_plane;
    const char *id, *container, *user, *path;
    uint64_t timeout_ns;
    int output;
};

static const struct option options[] = {
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "A line for people or JSON for programs."},
    FILE_OPTIONS(struct args),
};

static const struct operand operands[] = {
    SANDBOX_OPERAND(struct args),
    {"PATH", OPERAND_ONE, offsetof(struct args, path),
     "Absolute path in it. A link is shown as a link."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    CLEANUP_OP cws_op *op = NULL;
    cws_error *error = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_file_options how = {args->timeout_ns, args->container, args->user};
    cws_op *call = cws_sandbox_stat_file(sb, args->path, &how, &error);
    code = cli_await(cli, call, error, &op);
    if (code != EXIT_FINE)
        return code;
    size_t n;
    const cws_file_info *info = cws_op_files(op, &n);
    struct json j = {.out = stdout};
    if (args->output != OUTPUT_JSON) {
        fileview_row(info);
        return code;
    }
    fileview_json(info, &j);
    (void)putchar('\n');
    return code;
}

const struct verb verb_files_stat = {
    .name = "files stat",
    .summary = "Show what a path of a sandbox names.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
