/* cwsandbox snapshots create: keep the files of a sandbox's scratch volume. */
#include "cli/cli.h"
#include "cli/json.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *id, *request_id;
    uint64_t timeout_ns;
    bool no_wait;
    int output;
};

static const struct option options[] = {
    {"wait", 0, OPTION_UNFLAG, NULL, NULL, NULL, offsetof(struct args, no_wait),
     "Wait until the snapshot is ready, which is the default."},
    {"no-wait", 0, OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, no_wait),
     "Leave when the service has accepted it."},
    {"request-id", 0, OPTION_STRING, "ID", NULL, NULL, offsetof(struct args, request_id),
     "Name of this request: repeated, it makes no other snapshot."},
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long finding the sandbox may take; 300 when not given."},
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "The id alone or JSON for programs."},
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
};

static void print_id(const char *id, int output)
{
    if (output != OUTPUT_JSON) {
        (void)puts(id);
        return;
    }
    struct json j = {.out = stdout};
    json_begin(&j, NULL, '{');
    json_text(&j, "file_system_snapshot_id", id);
    json_end(&j, '}');
    (void)putchar('\n');
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, args->timeout_ns, 0, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_error *error = NULL;
    CLEANUP_OP cws_op *op = NULL;
    cws_op *call = cws_sandbox_snapshot(sb, !args->no_wait, args->request_id, &error);
    code = cli_await(cli, call, error, &op);
    if (code != EXIT_FINE)
        return code;
    size_t size;
    const char *bytes = cws_op_data(op, &size);
    CLEANUP_FREE char *id = text_printf("%.*s", (int)size, bytes);
    print_id(id, args->output);
    return EXIT_FINE;
}

const struct verb verb_snapshots_create = {
    .name = "snapshots create",
    .summary = "Keep the files of a sandbox's scratch volume as a snapshot.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
