/* cwsandbox files ls: what is in a directory of a sandbox. */
#include "cli/cli.h"
#include "cli/fileview.h"
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>

struct args {
    int data_plane;
    const char *id, *container, *user, *path;
    uint64_t timeout_ns;
    int output;
};

static const struct option options[] = {
    {"output", 'o', OPTION_CHOICE, NULL, output_formats, "table", offsetof(struct args, output),
     "Table for people or JSON for programs."},
    FILE_OPTIONS(struct args),
};

static const struct operand operands[] = {
    SANDBOX_OPERAND(struct args),
    {"PATH", OPERAND_ONE, offsetof(struct args, path), "Absolute path of a directory in it."},
};

static int by_name(const void *a, const void *b)
{
    const cws_file_info *const *left = a, *const *right = b;
    return strcmp((*left)->name, (*right)->name);
}

static void print_all(const cws_op *op, bool as_json)
{
    size_t n;
    const cws_file_info *all = cws_op_files(op, &n);
    CLEANUP_FREE const cws_file_info **sorted = must(calloc(n + 1, sizeof(*sorted)));
    struct json j = {.out = stdout};
    for (size_t i = 0; i < n; i++)
        sorted[i] = &all[i];
    qsort(sorted, n, sizeof(*sorted), by_name);
    if (as_json)
        json_begin(&j, NULL, '[');
    for (size_t i = 0; i < n; i++)
        as_json ? fileview_json(sorted[i], &j) : fileview_row(sorted[i]);
    if (!as_json)
        return;
    json_end(&j, ']');
    (void)putchar('\n');
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    CLEANUP_OP cws_op *op = NULL;
    cws_error *error = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_file_options how = {args->timeout_ns, args->container, args->user};
    cws_op *call = cws_sandbox_list_dir(sb, args->path, &how, &error);
    code = cli_await(cli, call, error, &op);
    if (code == EXIT_FINE)
        print_all(op, args->output == OUTPUT_JSON);
    return code;
}

const struct verb verb_files_ls = {
    .name = "files ls",
    .summary = "List a directory of a sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
