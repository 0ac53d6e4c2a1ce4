/* File transfers through a command in the sandbox; see file-op.h. */
#ifndef CWS_CLIENT_FILE_EXEC_H
#define CWS_CLIENT_FILE_EXEC_H

#include "client/file-op.h"

/** file_exec_read() / file_exec_write() - [loop] the fall-backs. */
void file_exec_read(struct file_op *f);
void file_exec_write(struct file_op *f);
/** file_exec_stream() - [loop] begin what always needs a command: all but FILE_READ and FILE_WRITE. */
void file_exec_stream(struct file_op *f);

#endif
