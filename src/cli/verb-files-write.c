/*
 * cwsandbox files write: a local file, or standard input, into a sandbox.
 *
 * Files up to SINGLE_CALL_MAX go in one call, which the service applies whole or not at all.
 * What is larger, or of a size that nobody knows, is streamed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/localfile.h"
#include "cli/verbs.h"
#include "cli/view.h"

/* Half of the unary cap that services start from (32 MiB): above it the library streams anyway. */
#define SINGLE_CALL_MAX ((off_t)16 << 20)

struct args {
    int data_plane;
    const char *id, *remote, *local, *container;
    uint64_t timeout_ns;
    bool quiet;
};

static const struct option options[] = {
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long the whole transfer may take; 300 when not given."},
    {"quiet", 'q', OPTION_FLAG, NULL, NULL, NULL, offsetof(struct args, quiet),
     "Print nothing on success."},
    CONTAINER_OPTION(struct args),
    DATA_PLANE_OPTION(struct args),
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
    {"REMOTE", OPERAND_ONE, offsetof(struct args, remote), "Absolute path in the sandbox."},
    {"LOCAL", OPERAND_ONE, offsetof(struct args, local),
     "The file to copy; '-' is standard input.", COMPLETE_FILES},
};

static cws_file_options file_options(const struct args *args)
{
    return (cws_file_options){.timeout_ns = args->timeout_ns, .container = args->container};
}

static int write_single(struct cli *cli, cws_sandbox *sb, const struct args *args,
                        uint64_t *ret_size)
{
    size_t size;
    CLEANUP_FREE void *content = localfile_read(args->local, &size);
    if (!content)
        return cli_fail("read %s: %s", args->local, strerror(errno));
    cws_file_options how = file_options(args);
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_write_file(sb, args->remote, content, size, &how, &error);
    *ret_size = size;
    return cli_await(cli, call, error, NULL);
}

static int write_streamed(struct cli *cli, cws_sandbox *sb, const struct args *args, int fd,
                          uint64_t *ret_size)
{
    cws_file_options how = file_options(args);
    cws_error *error = NULL;
    cws_writer *writer = NULL;
    CLEANUP_OP cws_op *op =
        cws_sandbox_write_file_stream(sb, args->remote, &how, &writer, &error);
    if (!op)
        return cli_fail_free(error);
    int code = attach_writer(cli, op, writer, fd, ret_size);
    cws_writer_unref(writer);
    return code;
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    bool from_stdin = strcmp(args->local, "-") == 0;
    off_t size = 0;
    CLEANUP_FD int fd = from_stdin ? dup(STDIN_FILENO) : localfile_open(args->local, &size);
    if (fd < 0)
        return cli_usage(cli, "Invalid value for 'LOCAL': File '%s' %s.", args->local,
                         fd == -ENOENT   ? "does not exist"
                         : fd == -EISDIR ? "is a directory"
                         : fd == -EINVAL ? "is not a regular file"
                                         : "cannot be read");
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    uint64_t written = 0;
    code = from_stdin || size > SINGLE_CALL_MAX ? write_streamed(cli, sb, args, fd, &written)
                                                : write_single(cli, sb, args, &written);
    if (code == EXIT_FINE && !args->quiet)
        (void)printf("Wrote %llu bytes to %s.\n", (unsigned long long)written, args->remote);
    return code;
}

const struct verb verb_files_write = {
    .name = "files write",
    .summary = "Copy a file into a sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
