/*
 * Files with keys and certificates, copied into memory that can be handed to another process: it needs no right to the
 * file, and a daemon that is started again gets what was last accepted, whatever the file says by then.
 */
#ifndef CWS_BASE_SECRET_H
#define CWS_BASE_SECRET_H

#include "base/err.h"

/**
 * secret_copy() - a descriptor of sealed memory (mode 0600, of this user) with the content of @path
 * @private_file: refuse a regular file that everyone may read or write
 * Errors: FAILED_PRECONDITION (cannot be opened or read, open to everyone), INVALID_ARGUMENT (longer than @max_bytes).
 */
int secret_copy(const char *path, size_t max_bytes, bool private_file, struct err *err);

#endif
