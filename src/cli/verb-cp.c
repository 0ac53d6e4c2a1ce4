/*
 * cwsandbox cp: a file or a directory between this machine and a sandbox, as cp(1) and docker cp have it.
 *
 * One of the two is SANDBOX_ID:PATH. The target of a directory is made if it is missing; one that is there gets it inside, under
 * its own name. A file goes by `files read` and `files write`, whose rules it shares.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/fileview.h"
#include "cli/transfer.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    int data_plane;
    const char *from, *to, *container, *user;
    uint64_t timeout_ns;
    bool recursive;
};

static const struct option options[] = {
    {"recursive", 'r', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, recursive),
     "Copy a directory with what is in it. Links are copied as links."},
    USER_OPTION(struct args),
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long the whole transfer may take; 300 when not given."},
    CONTAINER_OPTION(struct args),
    DATA_PLANE_OPTION(struct args),
};

static const struct operand operands[] = {
    {"SOURCE", OPERAND_ONE, offsetof(struct args, from),
     "A local path, or SANDBOX_ID:PATH with an absolute path.", COMPLETE_FILES},
    {"TARGET", OPERAND_ONE, offsetof(struct args, to), "The other of the two.", COMPLETE_FILES},
};

/* One copy, with the two paths told apart. */
struct copy {
    const struct args *args;
    const char *remote, *local;
    bool upload;
    cws_sandbox *sb;
};

/* The path behind "ID:", which no local path in question begins with: a slash in front of the colon makes it one. NULL: it is local. */
static const char *remote_part(const char *word)
{
    size_t n = strcspn(word, ":/");
    return n > 0 && word[n] == ':' ? word + n + 1 : NULL;
}

static cws_file_options file_options(const struct args *args)
{
    return (cws_file_options){
        .timeout_ns = args->timeout_ns, .container = args->container, .user = args->user};
}

/* The last name of a path, whatever slashes end it. */
static char *last_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    size_t start = n;
    while (start > 0 && path[start - 1] != '/')
        start--;
    return text_printf("%.*s", (int)(n - start), path + start);
}

static bool is_dots(const char *name)
{
    return !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A directory that is there gets the source inside, under its own name; "dir/." says that its content is meant. */
static char *place_in(const char *target, bool target_is_directory, const char *source)
{
    CLEANUP_FREE char *name = last_name(source);
    if (!target_is_directory || is_dots(name))
        return text_dup(target);
    size_t n = strlen(target);
    return text_printf("%s%s%s", target, n > 0 && target[n - 1] == '/' ? "" : "/", name);
}

/* Whether the remote path is a directory, through a link. A service that does not tell has none: it takes no trees either. */
static int remote_is_directory(struct cli *cli, const struct copy *c, bool *ret)
{
    cws_file_options how = file_options(c->args);
    CLEANUP_FREE char *inside = text_printf("%s/", c->remote); /* names a directory only */
    CLEANUP_OP cws_op *op = NULL;
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_stat_file(c->sb, inside, &how, &error);
    if (!call)
        return cli_fail_free(error);
    int code = cli_await_quietly(cli, call, &op);
    *ret = code == EXIT_FINE;
    return code == EXIT_ERROR && op ? EXIT_FINE : code;
}

static int copy_tree(struct cli *cli, const struct copy *c, const char *from, const char *to)
{
    cws_file_options how = file_options(c->args);
    cws_error *error = NULL;
    cws_op *op = c->upload ? cws_sandbox_upload_dir(c->sb, from, to, &how, &error)
                           : cws_sandbox_download_dir(c->sb, from, to, &how, &error);
    return cli_await(cli, op, error, NULL);
}

static int omitted(struct cli *cli, const char *path)
{
    return cli_usage(cli, "'%s' is a directory: -r copies it.", path);
}

static int upload(struct cli *cli, const struct copy *c)
{
    struct stat st;
    bool into;
    if (stat(c->local, &st) < 0)
        return cli_fail("read %s: %s", c->local, strerror(errno));
    bool tree = S_ISDIR(st.st_mode);
    if (tree && !c->args->recursive)
        return omitted(cli, c->local);
    int code = remote_is_directory(cli, c, &into);
    if (code != EXIT_FINE)
        return code;
    CLEANUP_FREE char *to = place_in(c->remote, into, c->local);
    if (tree)
        return copy_tree(cli, c, c->local, to);
    struct transfer t = {.remote = to, .local = c->local, .how = file_options(c->args)};
    off_t size;
    uint64_t n;
    CLEANUP_FD int fd = transfer_open(cli, &t, &size, &code);
    return fd < 0 ? code : transfer_write(cli, c->sb, &t, fd, size, &n);
}

static int download(struct cli *cli, const struct copy *c)
{
    struct stat st;
    bool tree = false;
    int code = c->args->recursive ? remote_is_directory(cli, c, &tree) : EXIT_FINE;
    if (code != EXIT_FINE)
        return code;
    bool there = stat(c->local, &st) == 0 && S_ISDIR(st.st_mode);
    CLEANUP_FREE char *to = place_in(c->local, there, c->remote);
    if (tree)
        return copy_tree(cli, c, c->remote, to);
    return transfer_read(cli, c->sb, &(struct transfer){c->remote, to, file_options(c->args)});
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    const char *from = remote_part(args->from), *to = remote_part(args->to);
    if (!from == !to)
        return cli_usage(cli,
                         "One of the two must be SANDBOX_ID:PATH, the other a local path.");
    const char *word = from ? args->from : args->to, *remote = from ? from : to;
    CLEANUP_FREE char *id = text_printf("%.*s", (int)(remote - 1 - word), word);
    if (*remote != '/')
        return cli_usage(cli, "'%s' must be an absolute path.", remote);
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    struct copy c = {.args = args,
                     .remote = remote,
                     .local = from ? args->to : args->from,
                     .upload = to != NULL,
                     .sb = sb};
    return c.upload ? upload(cli, &c) : download(cli, &c);
}

const struct verb verb_cp = {
    .name = "cp",
    .summary = "Copy files and directories to and from a sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
