#include "base/rundir.h"

#include <sys/stat.h>

#include "base/util.h"

char *rundir_path(void)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    if (base != NULL && base[0] == '/' && stat(base, &st) == 0 && S_ISDIR(st.st_mode) &&
        st.st_uid == geteuid())
        return str_dup_printf("%s/cwsandbox", base);
    return str_dup_printf("/tmp/cwsandbox-%u", (unsigned)geteuid());
}
