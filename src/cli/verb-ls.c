/* cwsandbox ls: the sandboxes of this user. */
#include "cli/cli.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    int status; /* index in status_choices plus 1 = the number of the wire */
    struct words tags, runner_ids;
    int output;
    uint32_t limit;
};

/* All states but "unspecified", which is no state to ask for; the order is the wire's. */
static const struct option options[] = {
    {"status", 's', OPTION_CHOICE, NULL, status_names + 1, NULL, offsetof(struct args, status),
     "Only sandboxes in this state; a final state includes those that ended."},
    {"tag", 't', OPTION_LIST, "TAG", NULL, NULL, offsetof(struct args, tags),
     "Only sandboxes with this tag; repeat for several, all must match."},
    {"runner-id", 'T', OPTION_LIST, "ID", NULL, NULL, offsetof(struct args, runner_ids),
     "Only sandboxes on this runner; repeat for several."},
    {"limit", 'n', OPTION_COUNT, "N", NULL, NULL, offsetof(struct args, limit),
     "Only the first N; all when not given or 0."},
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
};

static void print_table(const cws_op *list)
{
    size_t n = cws_op_n_sandboxes(list);
    if (n == 0) {
        (void)puts("No sandboxes found.");
        return;
    }
    (void)printf("%-40s %-14s %-20s %s\n", "SANDBOX ID", "STATUS", "RUNNER", "STARTED AT");
    static const int widths[] = {40, 14, 20, 24};
    table_rule(stdout, widths, ARRAY_SIZE(widths));
    for (size_t i = 0; i < n; i++) {
        CLEANUP(sandbox_view_done) struct sandbox_view view;
        sandbox_view_init(&view, cws_op_sandbox(list, i));
        CLEANUP_FREE char *started = time_human(view.started_ns);
        (void)printf("%-40s %-14s %-20s %s\n", or_dash(view.id), or_dash(view.status),
                     or_dash(view.runner_id), or_dash(started));
    }
}

static void print_json(const cws_op *list)
{
    size_t n = cws_op_n_sandboxes(list);
    (void)fputs("[", stdout);
    for (size_t i = 0; i < n; i++) {
        CLEANUP(sandbox_view_done) struct sandbox_view view;
        sandbox_view_init(&view, cws_op_sandbox(list, i));
        CLEANUP_FREE char *started = time_iso(view.started_ns);
        const char *const keys[] = {"sandbox_id", "status", "runner_id", "runner_group_id",
                                    "started_at"};
        const char *const values[] = {view.id, view.status, view.runner_id,
                                      view.runner_group_id, started};
        (void)fputs(i ? ",\n  {\n" : "\n  {\n", stdout);
        for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
            (void)printf("    \"%s\": ", keys[k]);
            json_string(stdout, values[k]);
            (void)fputs(k + 1 < ARRAY_SIZE(keys) ? ",\n" : "\n", stdout);
        }
        (void)fputs("  }", stdout);
    }
    (void)fputs(n ? "\n]\n" : "]\n", stdout);
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    int code = cli_connect(cli);
    if (code != EXIT_FINE)
        return code;
    cws_list_options wanted = {
        .tags = args->tags.items,
        .n_tags = args->tags.n,
        .runner_ids = args->runner_ids.items,
        .n_runner_ids = args->runner_ids.n,
        .status = args->status,
        .limit = args->limit,
    };
    cws_error *error = NULL;
    CLEANUP_OP cws_op *list = NULL;
    cws_op *call = cws_list(cli->client, cli->target, &wanted, &error);
    code = cli_await(cli, call, error, &list);
    if (code != EXIT_FINE)
        return code;
    if (args->output == OUTPUT_JSON)
        print_json(list);
    else
        print_table(list);
    return EXIT_FINE;
}

const struct verb verb_ls = {
    .name = "ls",
    .summary = "List sandboxes.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .args_size = sizeof(struct args),
    .run = run,
};
