/* See transfer.h. */
#include "cli/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/attach.h"
#include "cli/localfile.h"

/* Half of the unary cap that services start from (32 MiB): above it the library streams anyway. */
#define SINGLE_CALL_MAX ((off_t)16 << 20)

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

static int read_streamed(struct cli *cli, cws_sandbox *sb, const struct transfer *t)
{
    cws_error *error = NULL;
    CLEANUP_READER cws_reader *reader =
        cws_sandbox_read_file_stream(sb, t->remote, &t->how, &error);
    if (!reader)
        return cli_fail_free(error);
    int fd;
    int code = open_output(t->local, &fd);
    if (code != EXIT_FINE)
        return code;
    code = close_output(fd, t->local, attach_reader(cli, reader, fd));
    cws_reader_close(reader);
    return code;
}

static int write_whole(struct cli *cli, const cws_op *op, const struct transfer *t)
{
    size_t size;
    const void *data = cws_op_data(op, &size);
    int fd;
    int code = open_output(t->local, &fd);
    if (code != EXIT_FINE)
        return code;
    return close_output(fd, t->local, attach_bytes(cli, data, size, fd));
}

static bool is_too_large(const cws_error *error)
{
    const char *reason = cws_error_reason(error);
    return reason && strcmp(reason, "CWSANDBOX_FILE_TOO_LARGE") == 0;
}

int transfer_read(struct cli *cli, cws_sandbox *sb, const struct transfer *t)
{
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_read_file(sb, t->remote, &t->how, &error);
    if (!call)
        return cli_fail_free(error);
    CLEANUP_OP cws_op *op = NULL;
    int code = cli_await_quietly(cli, call, &op);
    if (code == EXIT_FINE)
        return write_whole(cli, op, t);
    if (code != EXIT_ERROR || !op)
        return code;
    return is_too_large(cws_op_error(op)) ? read_streamed(cli, sb, t)
                                          : cli_fail_with(cws_op_error(op));
}

static int write_single(struct cli *cli, cws_sandbox *sb, const struct transfer *t,
                        uint64_t *ret_size)
{
    size_t size;
    CLEANUP_FREE void *content = localfile_read(t->local, &size);
    if (!content)
        return cli_fail("read %s: %s", t->local, strerror(errno));
    cws_error *error = NULL;
    cws_op *call = cws_sandbox_write_file(sb, t->remote, content, size, &t->how, &error);
    *ret_size = size;
    return cli_await(cli, call, error, NULL);
}

static int write_streamed(struct cli *cli, cws_sandbox *sb, const struct transfer *t, int fd,
                          uint64_t *ret_size)
{
    cws_error *error = NULL;
    cws_writer *writer = NULL;
    CLEANUP_OP cws_op *op =
        cws_sandbox_write_file_stream(sb, t->remote, &t->how, &writer, &error);
    if (!op)
        return cli_fail_free(error);
    int code = attach_writer(cli, op, writer, fd, ret_size);
    cws_writer_unref(writer);
    return code;
}

int transfer_open(struct cli *cli, const struct transfer *t, off_t *ret_size, int *ret_code)
{
    bool from_stdin = strcmp(t->local, "-") == 0;
    *ret_size = 0;
    int fd = from_stdin ? dup(STDIN_FILENO) : localfile_open(t->local, ret_size);
    if (fd >= 0)
        return fd;
    *ret_code = cli_usage(cli, "Invalid value for 'LOCAL': File '%s' %s.", t->local,
                          fd == -ENOENT   ? "does not exist"
                          : fd == -EISDIR ? "is a directory"
                          : fd == -EINVAL ? "is not a regular file"
                                          : "cannot be read");
    return -1;
}

int transfer_write(struct cli *cli, cws_sandbox *sb, const struct transfer *t, int fd,
                   off_t size, uint64_t *ret_size)
{
    bool streamed = strcmp(t->local, "-") == 0 || size > SINGLE_CALL_MAX;
    return streamed ? write_streamed(cli, sb, t, fd, ret_size)
                    : write_single(cli, sb, t, ret_size);
}
