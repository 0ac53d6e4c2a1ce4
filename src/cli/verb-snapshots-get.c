/* cwsandbox snapshots get: what the service knows about one snapshot. */
#include "cli/cli.h"
#include "cli/snapshots.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *id;
    uint64_t timeout_ns;
    int output;
};

static const struct option options[] = {
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long the service may take to answer; 300 when not given."},
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static const struct operand operands[] = {
    {"SNAPSHOT_ID", OPERAND_ONE, offsetof(struct args, id), "The snapshot.",
     COMPLETE_SNAPSHOTS},
};

static void print_json(const cws_snapshot *s)
{
    struct json j = {.out = stdout};
    snapshot_print_json(s, &j);
    (void)putchar('\n');
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    int code = cli_connect(cli);
    if (code != EXIT_FINE)
        return code;
    cws_error *error = NULL;
    CLEANUP_OP cws_op *op = NULL;
    cws_op *call =
        cws_snapshot_get(cli->client, cli->target, args->id, args->timeout_ns, &error);
    code = cli_await(cli, call, error, &op);
    if (code != EXIT_FINE)
        return code;
    if (args->output == OUTPUT_JSON)
        print_json(cws_op_snapshot(op, 0));
    else
        snapshots_print_table(op);
    return EXIT_FINE;
}

const struct verb verb_snapshots_get = {
    .name = "snapshots get",
    .summary = "Show one snapshot.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
