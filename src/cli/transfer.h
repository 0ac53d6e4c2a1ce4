/*
 * One file between this machine and a sandbox, of any size: what `files read`, `files write` and `cp` do.
 *
 * Reading: the single call is tried first: its errors say exactly what is wrong with the path. Only a file that is too large for it is
 * streamed. Writing: up to SINGLE_CALL_MAX in one call, which the service applies whole or not at all; what is larger, or of a
 * size that nobody knows, is streamed.
 */
#ifndef CWS_CLI_TRANSFER_H
#define CWS_CLI_TRANSFER_H

#include "cli/cli.h"

struct transfer {
    const char *remote;
    const char *local; /* NULL: standard output; "-": standard input */
    cws_file_options how;
};

/** transfer_read() - the local file is replaced. EXIT_FINE, or the error is printed. */
int transfer_read(struct cli *cli, cws_sandbox *sb, const struct transfer *t);
/** transfer_open() - the descriptor to write from; -1 with *@ret_code, and the error printed. */
int transfer_open(struct cli *cli, const struct transfer *t, off_t *ret_size, int *ret_code);
/** transfer_write() - what transfer_open() gave. */
int transfer_write(struct cli *cli, cws_sandbox *sb, const struct transfer *t, int fd,
                   off_t size, uint64_t *ret_size);

#endif
