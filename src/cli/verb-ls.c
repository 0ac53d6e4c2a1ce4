/* cwsandbox ls: the sandboxes of this user. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/facts.h"
#include "cli/verbs.h"

struct args {
    int status; /* index in status_choices plus 1 = the number of the wire */
    struct words tags, runner_ids;
    int output;
    uint32_t limit;
};

static const char *const list_formats[] = {"table", "json", "wide", NULL};

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
    {"output", 'o', OPTION_CHOICE, NULL, list_formats, "table", offsetof(struct args, output),
     "Table for people, JSON for programs, or a table of everything."},
};

static void print_table(const cws_op *list)
{
    size_t n = cws_op_n_sandboxes(list);
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

/* ---- wide: as wide as what is in it ---- */

enum { N_WIDE = 11 };
static const char *const wide_heads[N_WIDE] = {"SANDBOX ID", "STATUS", "RUNNER", "STARTED AT",
                                               "AGE",        "LIMITS", "USAGE",  "CONTAINERS",
                                               "TAGS",       "REASON", "COMMAND"};

static void fill_row(char *cells[N_WIDE], const struct sandbox_view *view)
{
    char *const values[N_WIDE] = {
        text_dup(or_dash(view->id)),
        text_dup(or_dash(view->status)),
        text_dup(or_dash(view->runner_id)),
        time_human(view->started_ns),
        facts_age(view->told),
        facts_limits(view->told),
        facts_usage(view->told),
        facts_containers(view->told),
        facts_tags(view->told),
        facts_reason(view->told),
        facts_command(view->told),
    };
    for (size_t i = 0; i < N_WIDE; i++)
        cells[i] = values[i] ? values[i] : text_dup("-");
}

static void print_row(char *const cells[N_WIDE], const int widths[N_WIDE])
{
    for (size_t i = 0; i < N_WIDE; i++) {
        print_plain(stdout, cells[i]);
        int missing = widths[i] - (int)strlen(cells[i]);
        if (i + 1 < N_WIDE)
            (void)printf("%*s", missing + 1, "");
    }
    (void)putchar('\n');
}

static void print_wide(const cws_op *list)
{
    size_t n = cws_op_n_sandboxes(list);
    int widths[N_WIDE];
    char *(*rows)[N_WIDE] = must(calloc(n + 1, sizeof(*rows)));
    for (size_t k = 0; k < N_WIDE; k++)
        rows[0][k] = text_dup(wide_heads[k]);
    for (size_t i = 0; i < n; i++) {
        CLEANUP(sandbox_view_done) struct sandbox_view view;
        sandbox_view_init(&view, cws_op_sandbox(list, i));
        fill_row(rows[i + 1], &view);
    }
    for (size_t k = 0; k < N_WIDE; k++) {
        widths[k] = 0;
        for (size_t i = 0; i <= n; i++)
            if ((int)strlen(rows[i][k]) > widths[k])
                widths[k] = (int)strlen(rows[i][k]);
    }
    for (size_t i = 0; i <= n; i++) {
        print_row(rows[i], widths);
        if (i == 0)
            table_rule(stdout, widths, N_WIDE);
        for (size_t k = 0; k < N_WIDE; k++)
            free(rows[i][k]);
    }
    free(rows);
}

static void print_json(const cws_op *list)
{
    struct json j = {.out = stdout};
    json_begin(&j, NULL, '[');
    for (size_t i = 0; i < cws_op_n_sandboxes(list); i++) {
        CLEANUP(sandbox_view_done) struct sandbox_view view;
        sandbox_view_init(&view, cws_op_sandbox(list, i));
        facts_print_json(&view, &j);
    }
    json_end(&j, ']');
    (void)putchar('\n');
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
    else if (cws_op_n_sandboxes(list) == 0)
        (void)puts("No sandboxes found.");
    else if (args->output == OUTPUT_WIDE)
        print_wide(list);
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
