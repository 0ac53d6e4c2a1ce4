/* cwsandbox stop: end a sandbox politely and wait until it ended. */
#include "cli/cli.h"
#include "cli/verbs.h"

struct args {
    const char *id;
    bool missing_ok, quiet;
    uint64_t grace_ns;
};

static const struct option options[] = {
    {"missing-ok", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, missing_ok),
     "A sandbox that does not exist is no error."},
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

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
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
    cws_op *call = cws_sandbox_stop(sb, args->grace_ns, args->missing_ok, &error);
    code = cli_await(cli, call, error, NULL);
    if (code == EXIT_FINE && !args->quiet)
        (void)printf("Stopped sandbox %s.\n", args->id);
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
