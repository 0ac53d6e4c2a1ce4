#include "client/command.h"

#include <string.h>

#include "base/util.h"

#define CWD_MAX 4096 /* PATH_MAX of Linux, with NUL */

int command_check_word(const char *what, size_t i, const char *word, cws_error **error)
{
    size_t n = word ? strlen(word) : 0;
    if (!word || !utf8_valid(word, n))
        return error_set(error, CWS_E_INVALID, "%s: the word at index %zu is not valid UTF-8",
                         what, i);
    if (n >= EXEC_MAX_STRING)
        return error_set(error, CWS_E_INVALID,
                         "%s: the word at index %zu is longer than %u bytes, which is the "
                         "most that Linux passes to a program",
                         what, i, EXEC_MAX_STRING - 1);
    return 0;
}

int command_check_variable(const char *what, const char *name, size_t name_size,
                           size_t value_size, cws_error **error)
{
    if (name_size + value_size + 2 <= EXEC_MAX_STRING) /* with '=' and NUL */
        return 0;
    return error_set(error, CWS_E_INVALID,
                     "%s: `%.*s` is longer than %u bytes with its value, which is the most "
                     "that Linux passes to a program",
                     what, (int)MIN(name_size, (size_t)64), name, EXEC_MAX_STRING - 1);
}

int command_check_cwd(const char *cwd, cws_error **error)
{
    if (!*cwd)
        return error_set(error, CWS_E_INVALID, "cwd cannot be empty string");
    if (cwd[0] != '/')
        return error_set(error, CWS_E_INVALID, "cwd must be an absolute path");
    if (!utf8_valid(cwd, strlen(cwd)))
        return error_set(error, CWS_E_INVALID, "cwd is not valid UTF-8");
    if (strlen(cwd) >= CWD_MAX)
        return error_set(error, CWS_E_INVALID, "cwd is longer than %d bytes", CWD_MAX - 1);
    return 0;
}
