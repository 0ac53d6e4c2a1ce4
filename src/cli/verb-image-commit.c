/* cwsandbox image commit: what a sandbox has written as an image of the service. */
#include "cli/cli.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *id, *reference;
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
    {"REFERENCE", OPERAND_ONE, offsetof(struct args, reference),
     "[registry/]name[:tag], as Docker writes it."},
};

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    CLEANUP_OP cws_op *op = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, 0, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_commit(sb, args->reference, NULL, &error);
    code = cli_await(cli, call, error, &op);
    if (code != EXIT_FINE)
        return code;
    size_t n;
    const char *id = cws_op_data(op, &n);
    (void)printf("%s %.*s\n", args->reference, (int)n, id);
    return EXIT_FINE;
}

const struct verb verb_image_commit = {
    .name = "image commit",
    .summary = "Make an image of what a sandbox has written.",
    .description =
        "It has the layers of the sandbox's image, one more, and its environment, "
        "entry point and user. /tmp is not part of it. The sandbox runs on. The service "
        "must be your own, or its operator must allow it.",
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
