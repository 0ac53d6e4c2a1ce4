/* Errors of file requests: reasons CWSANDBOX_FILE_*, with metadata "filepath". All return -1. */
#ifndef CWS_RUNTIME_FILE_ERROR_H
#define CWS_RUNTIME_FILE_ERROR_H

#include "base/err.h"

/** file_error() - for @sys_errno. */
int file_error(const char *path, int sys_errno, struct err *err);
/** file_too_large() - FILE_TOO_LARGE with both sizes. */
int file_too_large(const char *path, uint64_t size, uint64_t max, struct err *err);
/** file_not_regular() - names what it is by the st_mode @mode. */
int file_not_regular(const char *path, uint32_t mode, struct err *err);

#endif
