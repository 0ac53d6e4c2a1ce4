/* See machine-path.h. */
#include "privproto/machine-path.h"

#include <string.h>

bool machine_path_valid(const char *path)
{
    if (*path != '/' || strnlen(path, MACHINE_PATH_MAX) == MACHINE_PATH_MAX)
        return false;
    if (path[1] == 0)
        return true;
    for (const char *part = path; *part; part += 1 + strcspn(part + 1, "/")) {
        size_t n = strcspn(part + 1, "/");

        if (n == 0 || (n <= 2 && strspn(part + 1, ".") >= n))
            return false;
    }
    return true;
}

const char *machine_path_below(const char *path, const char *above)
{
    size_t n = above[1] ? strlen(above) : 0;

    if (strncmp(path, above, n) != 0 || (path[n] && path[n] != '/'))
        return NULL;
    return path[n] ? path + n + 1 : path + n;
}
