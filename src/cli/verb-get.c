/* cwsandbox get: what the service knows about one sandbox. */
#include "cli/cli.h"
#include "cli/facts.h"
#include "cli/verbs.h"

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
    CLEANUP_FREE char *created = time_human(facts_time(view->told, "create_time"));
    CLEANUP_FREE char *age = facts_age(view->told);
    CLEANUP_FREE char *reason = facts_reason(view->told);
    CLEANUP_FREE char *tags = facts_tags(view->told);
    CLEANUP_FREE char *command = facts_command(view->told);
    CLEANUP_FREE char *limits = facts_limits(view->told);
    CLEANUP_FREE char *usage = facts_usage(view->told);
    const struct {
        const char *label, *value;
    } rows[] = {
        {"SANDBOX ID", view->id},
        {"STATUS", view->status},
        {"RUNNER ID", view->runner_id},
        {"RUNNER GROUP ID", view->runner_group_id},
        {"STARTED AT", started},
        {"RETURNCODE", code}, /* those of the published client end here */
        {"REASON", reason},
        {"CREATED AT", created},
        {"AGE", age},
        {"TAGS", tags},
        {"COMMAND", command},
        {"LIMITS", limits},
        {"USAGE", usage},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        (void)printf("%-15s  ", rows[i].label);
        print_plain(stdout, or_dash(rows[i].value));
        (void)putchar('\n');
    }
    facts_print_containers(view->told, stdout);
    facts_print_services(view->told, stdout);
}

static void print_json(const struct sandbox_view *view)
{
    struct json j = {.out = stdout};
    facts_print_json(view, &j);
    (void)putchar('\n');
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
