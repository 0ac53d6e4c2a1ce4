/*
 * A remote process attached to this program's stdin, stdout and stderr, until it ends (run,
 * exec, sh), and the same loop for one stream in one direction (logs, files).
 *
 * One poll() over: the signals, the library's queue, stdin, stdout, stderr.
 */
#ifndef CWS_CLI_ATTACH_H
#define CWS_CLI_ATTACH_H

#include "cli/cli.h"

struct attach_options {
    bool forward_stdin; /* the process was made with want_stdin */
    bool tty;           /* the process was made with tty; stdin and stdout are terminals */
};

/**
 * attach_process() - stream until the process ended, a signal arrived, or nobody reads our
 * output Return: the command's exit code; EXIT_ERROR with the error printed; EXIT_SIGNAL + n;
 * EXIT_FINE after a broken pipe. In the last two cases the process has been cancelled.
 */
int attach_process(struct cli *cli, cws_process *process, const struct attach_options *options);

/** attach_reader() - copy @reader to @fd until it ends. A broken pipe is EXIT_FINE. */
int attach_reader(struct cli *cli, cws_reader *reader, int fd);
/** attach_bytes() - the same for @size bytes in memory. */
int attach_bytes(struct cli *cli, const void *data, size_t size, int fd);
/**
 * attach_writer() - copy @fd to @writer until its end, close it, wait for @op, which is
 * cancelled on a signal
 * @ret_size: bytes copied; set on EXIT_FINE
 */
int attach_writer(struct cli *cli, cws_op *op, cws_writer *writer, int fd, uint64_t *ret_size);

#endif
