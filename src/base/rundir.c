#include "base/rundir.h"

#include <sys/stat.h>

#include "base/util.h"

static bool is_our_directory(const char *path)
{
    struct stat st;
    return path != NULL && path[0] == '/' && stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
           st.st_uid == geteuid();
}

/* In /tmp anybody may have made it first: to read along, or to keep us from it. */
static bool is_squatted(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && (!S_ISDIR(st.st_mode) || st.st_uid != geteuid());
}

char *rundir_path(void)
{
    const char *base = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
    if (is_our_directory(base))
        return str_dup_printf("%s/cwsandbox", base);
    CLEANUP_FREE char *path = str_dup_printf("/tmp/cwsandbox-%u", (unsigned)geteuid());
    if (path != NULL && is_squatted(path) && is_our_directory(home))
        return str_dup_printf("%s/.cwsandbox", home);
    return TAKE_PTR(path);
}
