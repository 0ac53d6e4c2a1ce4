/* cwsandbox files ls, stat, mkdir, mv and rm: what is said of names in a sandbox, and done to them. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/fileview.h"
#include "cli/verbs.h"

struct args { /* of all of them */
    int data_plane;
    const char *id, *container, *user, *path;
    const char *new_path; /* mv */
    uint64_t timeout_ns;
    int output;     /* ls, stat */
    bool recursive; /* rm */
};

typedef cws_op *name_call(cws_sandbox *sb, const struct args *args, const cws_file_options *how,
                          cws_error **error);

/* @ret_op: NULL, or the operation when EXIT_FINE is returned. */
static int run_call(struct cli *cli, const struct args *args, name_call *call, cws_op **ret_op)
{
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    cws_error *error = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_file_options how = {args->timeout_ns, args->container, args->user};
    cws_op *op = call(sb, args, &how, &error);
    return cli_await(cli, op, error, ret_op);
}

#define PATH_OPERAND(help) \
    { \
        "PATH", OPERAND_ONE, offsetof(struct args, path), help \
    }
#define OUTPUT_OPTION(help) \
    { \
        "output", 'o', OPTION_CHOICE, NULL, output_formats, "table", \
            offsetof(struct args, output), help \
    }
#define NAME_VERB(word, says) \
    const struct verb verb_files_##word = { \
        .name = "files " #word, \
        .summary = says, \
        .options = word##_options, \
        .n_options = ARRAY_SIZE(word##_options), \
        .operands = word##_operands, \
        .n_operands = ARRAY_SIZE(word##_operands), \
        .args_size = sizeof(struct args), \
        .run = run_##word, \
    }

/* ---- ls ---- */

static const struct option ls_options[] = {
    OUTPUT_OPTION("Table for people or JSON for programs."),
    FILE_OPTIONS(struct args),
};

static const struct operand ls_operands[] = {
    SANDBOX_OPERAND(struct args),
    PATH_OPERAND("Absolute path of a directory in it."),
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

static cws_op *call_ls(cws_sandbox *sb, const struct args *args, const cws_file_options *how,
                       cws_error **error)
{
    return cws_sandbox_list_dir(sb, args->path, how, error);
}

static int run_ls(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_OP cws_op *op = NULL;
    int code = run_call(cli, args, call_ls, &op);
    if (code == EXIT_FINE)
        print_all(op, args->output == OUTPUT_JSON);
    return code;
}

NAME_VERB(ls, "List a directory of a sandbox.");

/* ---- stat ---- */

static const struct option stat_options[] = {
    OUTPUT_OPTION("A line for people or JSON for programs."),
    FILE_OPTIONS(struct args),
};

static const struct operand stat_operands[] = {
    SANDBOX_OPERAND(struct args),
    PATH_OPERAND("Absolute path in it. A link is shown as a link."),
};

static cws_op *call_stat(cws_sandbox *sb, const struct args *args, const cws_file_options *how,
                         cws_error **error)
{
    return cws_sandbox_stat_file(sb, args->path, how, error);
}

static int run_stat(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_OP cws_op *op = NULL;
    int code = run_call(cli, args, call_stat, &op);
    if (code != EXIT_FINE)
        return code;
    size_t n;
    const cws_file_info *info = cws_op_files(op, &n);
    struct json j = {.out = stdout};
    if (args->output != OUTPUT_JSON) {
        fileview_row(info);
        return code;
    }
    fileview_json(info, &j);
    (void)putchar('\n');
    return code;
}

NAME_VERB(stat, "Show what a path of a sandbox names.");

/* ---- mkdir ---- */

static const struct option mkdir_options[] = {FILE_OPTIONS(struct args)};

static const struct operand mkdir_operands[] = {
    SANDBOX_OPERAND(struct args),
    PATH_OPERAND("Absolute path in it. What is missing above it is made, too."),
};

static cws_op *call_mkdir(cws_sandbox *sb, const struct args *args, const cws_file_options *how,
                          cws_error **error)
{
    return cws_sandbox_make_dir(sb, args->path, 0755, how, error);
}

static int run_mkdir(struct cli *cli, const void *data)
{
    return run_call(cli, data, call_mkdir, NULL);
}

NAME_VERB(mkdir, "Make a directory in a sandbox.");

/* ---- mv ---- */

static const struct option mv_options[] = {FILE_OPTIONS(struct args)};

static const struct operand mv_operands[] = {
    SANDBOX_OPERAND(struct args),
    PATH_OPERAND("Absolute path in it."),
    {"NEW", OPERAND_ONE, offsetof(struct args, new_path),
     "Its new path. A file that has it is gone."},
};

static cws_op *call_mv(cws_sandbox *sb, const struct args *args, const cws_file_options *how,
                       cws_error **error)
{
    return cws_sandbox_rename_file(sb, args->path, args->new_path, how, error);
}

static int run_mv(struct cli *cli, const void *data)
{
    return run_call(cli, data, call_mv, NULL);
}

NAME_VERB(mv, "Give a file or a directory of a sandbox another name.");

/* ---- rm ---- */

static const struct option rm_options[] = {
    {"recursive", 'r', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, recursive),
     "Remove a directory with what is in it. Links are removed, not followed."},
    FILE_OPTIONS(struct args),
};

static const struct operand rm_operands[] = {
    SANDBOX_OPERAND(struct args),
    PATH_OPERAND("Absolute path of a file, a link or an empty directory in it."),
};

static cws_op *call_rm(cws_sandbox *sb, const struct args *args, const cws_file_options *how,
                       cws_error **error)
{
    return cws_sandbox_remove_file(sb, args->path, args->recursive, how, error);
}

static int run_rm(struct cli *cli, const void *data)
{
    return run_call(cli, data, call_rm, NULL);
}

NAME_VERB(rm, "Remove a file or a directory of a sandbox.");
