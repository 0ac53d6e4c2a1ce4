/* cwsandbox snapshots list: the snapshots of this user. */
#include "cli/cli.h"
#include "cli/snapshots.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *source;
    int status; /* index in the choices plus 1 = the number of the wire */
    uint64_t timeout_ns;
    int output;
};

/* All states but "unspecified", which is no state to ask for; the order is the wire's. */
static const struct option options[] = {
    {"source-sandbox-id", 0, OPTION_STRING, "ID", NULL, NULL, offsetof(struct args, source),
     "Only snapshots of this sandbox.", COMPLETE_SANDBOXES},
    {"status", 's', OPTION_CHOICE, NULL, snapshot_status_names + 1, NULL,
     offsetof(struct args, status), "Only snapshots in this state."},
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long the service may take to answer; 300 when not given."},
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static void print_table(const cws_op *op)
{
    if (cws_op_n_snapshots(op) == 0)
        (void)puts("No snapshots found.");
    else
        snapshots_print_table(op);
}

static void print_json(const cws_op *op)
{
    struct json j = {.out = stdout};
    json_begin(&j, NULL, '[');
    for (size_t i = 0; i < cws_op_n_snapshots(op); i++)
        snapshot_print_json(cws_op_snapshot(op, i), &j);
    json_end(&j, ']');
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
        cws_snapshot_list(cli->client, cli->target, args->source,
                          (cws_snapshot_status)args->status, args->timeout_ns, &error);
    code = cli_await(cli, call, error, &op);
    if (code != EXIT_FINE)
        return code;
    if (args->output == OUTPUT_JSON)
        print_json(op);
    else
        print_table(op);
    return EXIT_FINE;
}

const struct verb verb_snapshots_list = {
    .name = "snapshots list",
    .summary = "List snapshots.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .args_size = sizeof(struct args),
    .run = run,
};
