/* cwsandbox get: what the service knows about one sandbox. */
#include "cli/cli.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    const char *id;
    int output;
};

static const struct option options[] = {
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
};

static void print_table(const struct sandbox_view *view)
{
    CLEANUP_FREE char *started = time_human(view->started_ns);
    CLEANUP_FREE char *code = view->has_returncode ? text_printf("%d", view->returncode) : NULL;
    const char *const labels[] = {"SANDBOX ID",      "STATUS",     "RUNNER ID",
                                  "RUNNER GROUP ID", "STARTED AT", "RETURNCODE"};
    const char *const values[] = {
        view->id, view->status, view->runner_id, view->runner_group_id, started, code};
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
        (void)printf("%-15s  %s\n", labels[i], or_dash(values[i]));
}

static void print_json(const struct sandbox_view *view)
{
    CLEANUP_FREE char *started = time_iso(view->started_ns);
    const char *const keys[] = {"sandbox_id", "status", "runner_id", "runner_group_id",
                                "started_at"};
    const char *const values[] = {view->id, view->status, view->runner_id,
                                  view->runner_group_id, started};
    (void)fputs("{\n", stdout);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        (void)printf("  \"%s\": ", keys[i]);
        json_string(stdout, values[i]);
        (void)fputs(",\n", stdout);
    }
    if (view->has_returncode)
        (void)printf("  \"returncode\": %d\n}\n", view->returncode);
    else
        (void)fputs("  \"returncode\": null\n}\n", stdout);
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, 0, &sb);
    if (code != EXIT_FINE)
        return code;
    CLEANUP(sandbox_view_done) struct sandbox_view view;
    sandbox_view_init(&view, sb);
    if (args->output == OUTPUT_JSON)
        print_json(&view);
    else
        print_table(&view);
    return EXIT_FINE;
}

const struct verb verb_get = {
    .name = "get",
    .summary = "Show one sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
