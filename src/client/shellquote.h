/*
 * Words quoted for a POSIX shell, as Python's shlex does it.
 */
#ifndef CWS_CLIENT_SHELLQUOTE_H
#define CWS_CLIENT_SHELLQUOTE_H

#include <stddef.h>

/** shell_quote_join() - the words joined by blanks; NULL when out of memory. */
char *shell_quote_join(char *const *argv, size_t n);
/** shell_cd() - a script that runs the command in the directory @cwd; NULL when out of memory. */
char *shell_cd(const char *cwd, char *const *argv, size_t n);

#endif
