/*
 * What a program can be started with, wherever it runs: said before anything is sent.
 */
#ifndef CWS_CLIENT_COMMAND_H
#define CWS_CLIENT_COMMAND_H

#include "client/error.h"

/** command_check_word() - number @i of @what ("command", "args") is UTF-8 and short enough. 0, or -1 with *@error (CWS_E_INVALID). */
int command_check_word(const char *what, size_t i, const char *word, cws_error **error);
/** command_check_variable() - @name with a value of @value_size bytes is short enough. */
int command_check_variable(const char *what, const char *name, size_t name_size,
                           size_t value_size, cws_error **error);
/** command_check_cwd() - absolute, UTF-8, and short enough. */
int command_check_cwd(const char *cwd, cws_error **error);

#endif
