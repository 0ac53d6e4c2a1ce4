/*
 * Files of this machine, as operands: whole small ones for `run --file`, and copying in pieces
 * for `files`.
 */
#ifndef CWS_CLI_LOCALFILE_H
#define CWS_CLI_LOCALFILE_H

#include <stddef.h>
#include <sys/types.h>

/** localfile_open() - a regular file for reading; the descriptor or -errno (-EISDIR, -EINVAL
 * for other kinds). */
int localfile_open(const char *path, off_t *ret_size);
/** localfile_read() - the whole content, heap, or NULL with errno set. */
void *localfile_read(const char *path, size_t *ret_size);

#endif
