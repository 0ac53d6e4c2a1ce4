/* cwsandbox stop: end a sandbox politely and wait until it ended. */
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/verbs.h"

struct args {
    const char *id;
    bool missing_ok, quiet, snapshot, no_wait_ready;
    const char *request_id;
    uint64_t grace_ns;
};

static const struct option options[] = {
    {"missing-ok", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, missing_ok),
     "A sandbox that does not exist is no error."},
    {"snapshot-on-stop", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, snapshot),
     "Keep the files of its scratch volumes as snapshots."},
    {"wait-for-snapshot", 0, OPTION_UNFLAG, NULL, NULL, NULL,
     offsetof(struct args, no_wait_ready),
     "Wait until the snapshots are ready, which is the default."},
    {"no-wait-for-snapshot", 0, OPTION_FLAG, NULL, NULL, NULL,
     offsetof(struct args, no_wait_ready),
     "Do not wait for the snapshots, only for the end of the sandbox."},
    {"request-id", 0, OPTION_STRING, "ID", NULL, NULL, offsetof(struct args, request_id),
     "Name of this request for snapshots: repeated, it makes no others."},
    {"graceful-shutdown-seconds", 0, OPTION_SECONDS0, "SECONDS", NULL, "10.0",
     offsetof(struct args, grace_ns),
     "How long the main process may take to end after SIGTERM before it is killed."},
    {"quiet", 'q', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, quiet),
     "Print nothing on success."},
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
};

/* Fetches first, so that "missing" can be told from "stopped". EXIT_FINE with *ret_sb NULL:
 * missing and allowed. */
static int find(struct cli *cli, const struct args *args, cws_sandbox **ret_sb)
{
    int code = cli_connect(cli);
    if (code != EXIT_FINE)
        return code;
    cws_error *error = NULL;
    cws_op *call = cws_from_id(cli->client, cli->target, args->id, CWS_DEFAULT_TIMEOUT, &error);
    if (!call)
        return cli_fail_free(error);
    CLEANUP_OP cws_op *op = NULL;
    code = cli_await_quietly(cli, call, &op);
    if (code == EXIT_FINE)
        *ret_sb = cws_sandbox_ref(cws_op_sandbox(op, 0));
    if (code != EXIT_ERROR || !op)
        return code;
    const cws_error *why = cws_op_error(op);
    if (args->missing_ok && cws_error_get_kind(why) == CWS_E_NOT_FOUND)
        return EXIT_FINE;
    return cli_fail_with(why);
}

static void print_stopped(const cws_sandbox *sb, const char *id)
{
    (void)printf("Stopped sandbox %s.", id);
    char *snapshot_id;
    for (size_t i = 0; (snapshot_id = cws_sandbox_snapshot_id(sb, i)); i++) {
        (void)printf(" Snapshot %s.", snapshot_id);
        free(snapshot_id);
    }
    (void)putchar('\n');
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    if (!args->snapshot && (args->no_wait_ready || args->request_id))
        return cli_usage(cli, "Option '--%s' requires '--snapshot-on-stop'.",
                         args->request_id ? "request-id" : "no-wait-for-snapshot");
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = find(cli, args, &sb);
    if (code != EXIT_FINE)
        return code;
    if (!sb) {
        if (!args->quiet)
            (void)printf("Sandbox %s is already missing.\n", args->id);
        return EXIT_FINE;
    }
    cws_error *error = NULL;
    cws_stop_options how = {
        .grace_ns = args->grace_ns,
        .missing_ok = args->missing_ok,
        .snapshot = args->snapshot,
        .no_wait_ready = args->no_wait_ready,
        .request_id = args->request_id,
    };
    cws_op *call = cws_sandbox_stop_with(sb, &how, &error);
    code = cli_await(cli, call, error, NULL);
    if (code == EXIT_FINE && !args->quiet)
        print_stopped(sb, args->id);
    return code;
}

const struct verb verb_stop = {
    .name = "stop",
    .summary = "Stop a sandbox and wait until it ended.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
