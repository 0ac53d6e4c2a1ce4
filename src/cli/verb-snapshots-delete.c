/* cwsandbox snapshots delete: forget a snapshot and its files. */
#include "cli/cli.h"
#include "cli/verbs.h"

struct args {
    const char *id;
    bool missing_ok, quiet;
    uint64_t timeout_ns;
};

static const struct option options[] = {
    {"missing-ok", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, missing_ok),
     "A snapshot that does not exist is no error."},
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long the service may take to answer; 300 when not given."},
    {"quiet", 'q', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, quiet),
     "Print nothing on success."},
};

static const struct operand operands[] = {
    {"SNAPSHOT_ID", OPERAND_ONE, offsetof(struct args, id), "The snapshot.",
     COMPLETE_SNAPSHOTS},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    int code = cli_connect(cli);
    if (code != EXIT_FINE)
        return code;
    cws_error *error = NULL;
    cws_op *call = cws_snapshot_delete(cli->client, cli->target, args->id, args->missing_ok,
                                       args->timeout_ns, &error);
    code = cli_await(cli, call, error, NULL);
    if (code == EXIT_FINE && !args->quiet)
        (void)printf("Deleted %s.\n", args->id);
    return code;
}

const struct verb verb_snapshots_delete = {
    .name = "snapshots delete",
    .summary = "Delete a snapshot.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
