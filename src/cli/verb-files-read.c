/*
 * cwsandbox files read: a file of a sandbox to stdout or to a local file.
 *
 * The single call is tried first: its errors say exactly what is wrong with the path. Only a
 * file that is too large for it is streamed, and then of any size.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/attach.h"
#include "cli/cli.h"
#include "cli/verbs.h"
#include "cli/view.h"

struct args {
    int data_plane;
    const char *id, *remote, *local, *container;
    uint64_t timeout_ns;
};

static const struct option options[] = {
    {"output", 'o', OPTION_STRING, "LOCAL", NULL, NULL, offsetof(struct args, local),
     "Write to this file instead of standard output; it is replaced.", COMPLETE_FILES},
    {"timeout", 't', OPTION_SECONDS, "SECONDS", NULL, NULL, offsetof(struct args, timeout_ns),
     "How long the whole transfer may take; 300 when not given."},
    CONTAINER_OPTION(struct args),
    DATA_PLANE_OPTION(struct args),
};

static const struct operand operands[] = {
    {"SANDBOX_ID", OPERAND_ONE, offsetof(struct args, id), "The sandbox.", COMPLETE_SANDBOXES},
    {"REMOTE", OPERAND_ONE, offsetof(struct args, remote), "Absolute path in the sandbox."},
};

/* A read that failed must not have emptied the file, so this is called when there is something
 * to write. */
static int open_output(const char *path, int *ret_fd)
{
    *ret_fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                   : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
    return *ret_fd >= 0
               ? EXIT_FINE
               : cli_fail("open %s: %s", path ? path : "standard output", strerror(errno));
}

/* Closing can report what write did not: a quota, a full disk behind a network. */
static int close_output(int fd, const char *path, int code)
{
    if (close(fd) < 0 && code == EXIT_FINE)
        code = cli_fail("write output: %s", strerror(errno));
    if (code != EXIT_FINE && path)
        (void)fprintf(stderr, "%s is incomplete.\n", path);
    return code;
}

static cws_file_options file_options(const struct args *args)
{
    return (cws_file_options){.timeout_ns = args->timeout_ns, .container = args->container};
}

static int read_streamed(struct cli *cli, cws_sandbox *sb, const struct args *args)
{
    cws_file_options how = file_options(args);
    cws_error *error = NULL;
    CLEANUP_READER cws_reader *reader =
        cws_sandbox_read_file_stream(sb, args->remote, &how, &error);
    if (!reader)
        return cli_fail_free(error);
    int fd;
    int code = open_output(args->local, &fd);
    if (code != EXIT_FINE)
        return code;
    code = close_output(fd, args->local, attach_reader(cli, reader, fd));
    cws_reader_close(reader);
    return code;
}

static int write_whole(struct cli *cli, const cws_op *op, const struct args *args)
{
    size_t size;
    const void *data = cws_op_data(op, &size);
    int fd;
    int code = open_output(args->local, &fd);
    if (code != EXIT_FINE)
        return code;
    return close_output(fd, args->local, attach_bytes(cli, data, size, fd));
}

static bool is_too_large(const cws_error *error)
{
    const char *reason = cws_error_reason(error);
    return reason && strcmp(reason, "CWSANDBOX_FILE_TOO_LARGE") == 0;
}

static int run(struct cli *cli, const void *data)
{
    const struct args *args = data;
    CLEANUP_SANDBOX cws_sandbox *sb = NULL;
    int code = cli_attach(cli, args->id, CWS_DEFAULT_TIMEOUT, args->data_plane, &sb);
    if (code != EXIT_FINE)
        return code;
    cws_file_options how = file_options(args);
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_read_file(sb, args->remote, &how, &error);
    if (!call)
        return cli_fail_free(error);
    CLEANUP_OP cws_op *op = NULL;
    code = cli_await_quietly(cli, call, &op);
    if (code == EXIT_FINE)
        return write_whole(cli, op, args);
    if (code != EXIT_ERROR || !op)
        return code;
    return is_too_large(cws_op_error(op)) ? read_streamed(cli, sb, args)
                                          : cli_fail_with(cws_op_error(op));
}

const struct verb verb_files_read = {
    .name = "files read",
    .summary = "Copy a file out of a sandbox.",
    .options = options,
    .n_options = ARRAY_SIZE(options),
    .operands = operands,
    .n_operands = ARRAY_SIZE(operands),
    .args_size = sizeof(struct args),
    .run = run,
};
